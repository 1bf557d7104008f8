"""Machines that ingest real files into a store, for the tests of ingest."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from snapfs.formats import records
from snapfs.jobs.ingest import lookahead
from snapfs.jobs.ingest.job import ingest
from snapfs.jobs.ingest.lookahead import ReadingHelper
from snapfs.jobs.ingest.options import IngestOptions, IngestReport
from snapfs.jobs.progress import Progress
from snapfs.model.chunker import STANDARD, Chunker
from snapfs.model.identity import NO_COMMIT
from snapfs.model.snapshot import Snapshot
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.sources.roots import plan_roots
from snapfs.stores.base import Store
from tests.build import KEYS, publish
from tests.formats.samples import REPOSITORY, RING_NAME
from tests.manifest import Kept, Manifest, check_sound, manifest_of_snapshot, manifest_of_tree

LATER = 120 * 10**9
"by how much the machines' clocks are ahead: what a test has just written is old enough for them"
TINY = Chunker("fastcdc-2020-nc1", 64, 256, 1024)


@dataclass(slots=True)
class Machine:
    """One host with its own state, and the tree that it captures."""

    repository: Repository
    tree: Path
    host: str = "host"
    name: str = "source"
    kept: Kept = field(default_factory=Kept)

    async def ingest(self, *paths: Path | bytes, **options: object) -> IngestReport:
        """Capture `paths`, the tree where none is given."""
        roots = plan_roots([os.fsencode(path) for path in paths or (self.tree,)], b"/")
        told = {"host": self.host, "name": self.name, "roots": roots, **options}
        return await ingest(self.repository, IngestOptions(**told), Progress())  # type: ignore[arg-type]

    async def capture(self, **options: object) -> IngestReport:
        """Capture the tree; the snapshot must be what the tree is, now and at the end."""
        before = manifest_of_tree(self.tree)
        report = await self.ingest(**options)
        assert report.findings.listed == []
        assert report.snapshot is not None
        assert await self.stored(report.snapshot) == before
        self.kept.add(report.snapshot, before)
        return report

    async def stored(
        self, snapshot: Snapshot | None, *, below: Path | bytes | None = None
    ) -> Manifest:
        """The manifest of what a snapshot has of the tree."""
        assert snapshot is not None
        async with self.repository.reading() as reader:
            return await manifest_of_snapshot(
                self.repository, reader, snapshot, below=below or self.tree
            )

    async def check(self) -> None:
        """All snapshots still are what they were, and the repository is sound."""
        await check_sound(self.repository)
        await self.kept.check(self.repository, below=self.tree)

    def delta(self, report: IngestReport) -> records.New:
        """What the record of a snapshot added."""
        assert report.snapshot is not None
        return records.new_ids(self.repository.replica.head(report.snapshot.number).body)

    def new_nodes(self, report: IngestReport) -> int:
        """How many nodes within the tree a snapshot's record added.

        The directories above the tree are left out: anybody may touch those meanwhile.
        """
        assert report.snapshot is not None
        row = self.repository.db.row(
            "SELECT nodes FROM log WHERE number = ?", (report.snapshot.number,)
        )
        assert row is not None
        new = range(row[0], row[0] + self.delta(report).nodes)
        return sum(node in new for node in set(self.nodes(report).values()))

    def above(self) -> list[int]:
        """When the directories above the tree were last touched."""
        return [parent.stat().st_ctime_ns for parent in self.tree.parents]

    def nodes(self, report: IngestReport) -> dict[bytes, int]:
        """The inode number of everything that a snapshot has of the tree, by path below it."""
        assert report.snapshot is not None
        tree, snapshot = self.repository.tree, report.snapshot
        entry = tree.resolve(snapshot.anchor, snapshot.number, os.fsencode(self.tree))
        found: dict[bytes, int] = {}
        todo = [(b"", entry)]
        while todo:
            path, entry = todo.pop()
            assert entry is not None
            found[path] = entry.node.number
            if entry.child is not None:
                todo.extend(
                    (path + b"/" + inner.name if path else inner.name, inner)
                    for inner in tree.entries(entry.child, snapshot.number)
                )
        return found


@asynccontextmanager
async def machine(
    store: Store, directory: Path, tree: Path, *, host: str = "host", name: str = "source",
    ahead_ns: int = LATER, chunker: Chunker = STANDARD,
) -> AsyncIterator[Machine]:  # fmt: skip
    """A machine whose state lies in `directory`; the repository is created if need be."""
    directories = Directories(directory / "state", directory / "cache")
    world = World(now_ns=lambda: time.time_ns() + ahead_ns)
    async with open_view(store, directories, KEYS, world) as repository:
        if (await repository.log.catch_up()).number == NO_COMMIT:
            body = records.Init(
                REPOSITORY, RING_NAME,
                (chunker.name, chunker.minimum, chunker.average, chunker.maximum),
            )  # fmt: skip
            await publish(repository, body, "builder")
        yield Machine(repository, tree, host, name)


def have_helper_read(patch: pytest.MonkeyPatch) -> None:
    """Have the helper of an ingest read all small files, the first ones too."""
    takes = ReadingHelper.takes

    def takes_soon(reading: ReadingHelper) -> bool:
        if not reading._helper.begun:
            reading._begin()
        deadline = time.monotonic() + 60
        while not (takes(reading) or reading._gone):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return not reading._gone

    patch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    patch.setattr(lookahead, "_FROM", 0)
    patch.setattr(ReadingHelper, "takes", takes_soon)
