"""A host as a process of its own: it changes its tree, captures it, and reads what others did.

    python -m tests.trust.worker FOLDER STORE ROUNDS NUMBER

It may be killed at any moment and started again. What it expects of a snapshot it notes in FOLDER
before it captures it, for `verify` to compare.
"""

import contextlib
import pickle
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from uuid import uuid4

import trio

from snapfs.errors import DamagedError, DeltaVoidError
from snapfs.formats import objects, records
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions
from snapfs.jobs.tag import tag
from snapfs.model.identity import Attempt, Commit
from snapfs.model.pruning import PrunePolicy
from snapfs.model.snapshot import Snapshot
from snapfs.stores.base import Store
from snapfs.stores.locate import open_store, parse_url, verbs_at
from tests.jobs.checking import assert_sound, put_keys
from tests.jobs.ingesting import Machine, machine
from tests.manifest import Manifest, manifest_of_tree
from tests.trust.place import populate
from tests.trust.world import label_of

SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Notes:
    """What is expected of snapshots, by their labels; in files, so that a kill loses nothing."""

    folder: Path

    def begin(self, label: str, tree: Path) -> None:
        """A snapshot of the tree as it is may be made."""
        self.folder.mkdir(exist_ok=True)
        draft = self.folder / f"draft-{label}"
        draft.write_bytes(pickle.dumps((tree, manifest_of_tree(tree))))
        draft.rename(self.folder / f"{label}.begun")

    def expected(self, label: str) -> tuple[Path, Manifest]:
        """The tree of a snapshot, and what it held."""
        tree, manifest = pickle.loads((self.folder / f"{label}.begun").read_bytes())
        return tree, manifest

    def note(self, label: str, what: str) -> None:
        """The snapshot is `made`, or may be `forgotten`."""
        (self.folder / f"{label}.{what}").touch()

    def labels(self, what: str) -> set[str]:
        """All labels of which this was noted."""
        return {path.stem for path in self.folder.glob(f"*.{what}")}


@dataclass(slots=True)
class Worker:
    """One host."""

    folder: Path
    number: int
    store: Store
    chance: Random = field(default_factory=Random)

    @property
    def notes(self) -> Notes:
        return Notes(self.folder / "notes")

    def open(self, *, shared: bool = False) -> AbstractAsyncContextManager[Machine]:
        """The host with its own tree, or with the one that all hosts capture as one source."""
        host, tree = f"host{self.number}", self.folder / f"tree{self.number}"
        name = "own"
        if shared:
            host, name, tree = "all", SHARED, self.folder / SHARED
        return machine(self.store, self.folder / f"state{self.number}", tree, host=host, name=name)

    async def round(self) -> None:
        """Change something, then do something."""
        self.change(self.folder / f"tree{self.number}")
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._capture, self._capture, self._capture, self._capture_shared, self._read,
            self._tag, self._forget, self._forget, self._prune,
        ]  # fmt: skip
        await self.chance.choice(kinds)()

    def change(self, tree: Path) -> None:
        """Write some of few contents, so that they come back, and take some files away."""
        for _ in range(self.chance.randrange(6)):
            path = tree / f"d{self.chance.randrange(4)}" / f"f{self.chance.randrange(8)}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if self.chance.random() < 0.7:
                content = Random(self.chance.randrange(50))
                path.write_bytes(content.randbytes(content.choice((0, 100, 5000, 400_000))))
        tree.mkdir(exist_ok=True)

    async def _capture(self) -> None:
        async with self.open() as host:
            await self.ingest(host)

    async def _capture_shared(self) -> None:
        async with self.open(shared=True) as host:
            await self.ingest(host)

    async def ingest(self, host: Machine) -> None:
        """Capture the host's tree. What is expected is noted before, that it was made after."""
        label = f"t{self.number}-{uuid4().hex}"
        self.notes.begin(label, host.tree)
        report = await host.ingest(tags=(label,), progress_rows=self.chance.choice((2, 1000)))
        assert report.findings.listed == []
        self.notes.note(label, "made")

    async def _read(self) -> None:
        async with self.open() as host:
            await host.repository.catch_up_all()
            if snapshot := self._any(host):
                await self.read(host, snapshot)

    async def read(self, host: Machine, snapshot: Snapshot) -> None:
        """Compare a snapshot with what its host has noted; it may be forgotten meanwhile."""
        label = label_of(snapshot)
        try:
            await compare(host, snapshot, self.notes)
        except (DamagedError, AssertionError):
            if label not in self.notes.labels("forgotten"):
                raise

    async def _tag(self) -> None:
        async with self.open() as host:
            await host.repository.catch_up()
            if snapshot := self._any(host):
                await tag(host.repository, [snapshot], ["extra"], [], host.host)

    async def _forget(self) -> None:
        async with self.open() as host:
            await host.repository.catch_up()
            if snapshot := self._any(host):
                await self.forget(host, snapshot)

    async def forget(self, host: Machine, snapshot: Snapshot) -> None:
        """Forget a snapshot. That it may be gone is noted before."""
        self.notes.note(label_of(snapshot), "forgotten")
        body = records.Forget((snapshot.id,))
        attempt = Attempt(host.repository.world.random(16))
        await host.repository.publish(attempt, lambda: body, host.host)

    async def _prune(self) -> None:
        now = self.chance.random() < 0.7
        options = PruneOptions(
            host=f"host{self.number}",
            policy=PrunePolicy(max_unused=0.0),
            condemned_for_ns=0 if now else DAY_NS,
            forgotten_for_ns=0,
            orphaned_for_ns=0 if now else DAY_NS,
        )
        async with self.open() as host:
            # Another prune at the same time is told to end, and nothing is lost by it.
            with contextlib.suppress(DeltaVoidError):
                await prune(host.repository, options, Progress())

    def _any(self, host: Machine) -> Snapshot | None:
        snapshots = list(host.repository.snapshots.stream())
        return self.chance.choice(snapshots) if snapshots else None


async def compare(host: Machine, snapshot: Snapshot, notes: Notes) -> None:
    """Fail where a snapshot is not what was noted."""
    tree, manifest = notes.expected(label_of(snapshot))
    assert await host.stored(snapshot, below=tree) == manifest


async def verify(store: Store, folder: Path) -> int:
    """As a new host sees it: each snapshot is what was noted, none is missing, all is sound.

    Returns the number of snapshots.
    """
    notes = Notes(folder / "notes")
    async with Worker(folder, 99, store).open() as host:
        await host.repository.catch_up_all()
        snapshots = list(host.repository.snapshots.stream())
        for snapshot in snapshots:
            await compare(host, snapshot, notes)
        found = {label_of(snapshot) for snapshot in snapshots}
        assert found >= notes.labels("made") - notes.labels("forgotten")
        names = [item.name async for item in store.list(objects.LOG)]
        assert names == [objects.record(Commit(at + 1)) for at in range(len(names))]
        await assert_sound(host.repository)
    return len(snapshots)


async def begin(store: Store, folder: Path) -> None:
    """An empty repository, and the tree that all hosts share."""
    await put_keys(store)
    populate(folder / SHARED)
    async with Worker(folder, 0, store).open():
        pass


async def _work(folder: Path, place: str, rounds: int, number: int) -> None:
    store = open_store(verbs_at(parse_url(place, folder)))
    worker = Worker(folder, number, store)
    for _ in range(rounds):
        await worker.round()
    await store.aclose()


if __name__ == "__main__":
    folder, place, rounds, number = sys.argv[1:]
    trio.run(_work, Path(folder), place, int(rounds), int(number))
