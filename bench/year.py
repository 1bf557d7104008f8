"""A year in some minutes: daily snapshots, and each week forgetting and pruning by their defaults.

    python -m bench.year [--files 2000] [--days 365] [--runs 7] [--folder DIRECTORY]

Time is the program's own: each day of it takes as long as its work. Everything else is real, in one
process, with a store in a directory. In the end every snapshot that is left must be what the tree
was on its day, and a check that reads all data must find nothing. Then the year is asked about. The
numbers are for people; the exit status is 1 where something was wrong.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import trio

from bench.asking import BEFORE, FILE, FIRST, Asker
from bench.changing import DIGEST, ChangingTree, State
from snapfs.formats import objects
from snapfs.formats.slots import Derivation
from snapfs.jobs.check import CheckOptions, check
from snapfs.jobs.check.subset import EVERYTHING
from snapfs.jobs.forget import by_policy, forget
from snapfs.jobs.ingest.job import ingest
from snapfs.jobs.ingest.options import IngestOptions
from snapfs.jobs.init import InitOptions, init
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions
from snapfs.metadata import need
from snapfs.metadata.database import Database
from snapfs.metadata.snapshots import Filter
from snapfs.metadata.tree import Node
from snapfs.model.retention import PRESETS
from snapfs.model.snapshot import Snapshot
from snapfs.repository.reader import ContentReader
from snapfs.repository.replay import replayed
from snapfs.repository.repository import Repository, open_repository
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.sources.roots import plan_roots
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore

_HOST, _SOURCE, _PASSPHRASE = "year", "tree", "for measuring only"
_STORE = "repository"
_QUICK = Derivation(memory=19 * 1024, time=1, lanes=1)
_MEBIBYTE = 1024 * 1024
_AT_ONCE = 4 * _MEBIBYTE
_T = TypeVar("_T")


def main() -> int:
    """Run, and print a table; an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=7, help="of each question in the end")
    parser.add_argument("--folder", type=Path, help="for everything; a temporary one by default")
    given = parser.parse_args()
    folder = Path(given.folder or tempfile.mkdtemp(prefix="snapfs-year-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    sound = trio.run(_run, folder, given.files, given.days, given.seed)
    print("all is right" if sound else f"SOMETHING IS WRONG: see {folder}")
    if sound:
        _ask(folder, given.runs)
    if sound and not given.folder:
        shutil.rmtree(folder)
    return 0 if sound else 1


async def _run(folder: Path, files: int, days: int, seed: int) -> bool:
    tree = ChangingTree(folder / "tree", random.Random(seed))
    tree.root.mkdir()
    tree.populate(files)
    async with _opened(folder) as (clock, repository):
        year = Year(repository, folder / _STORE, tree, clock)
        for day in range(days):
            await year.day(day)
        await year.sizes("as the last prune left it")
        await year.settle()
        await year.sizes("15 days and two prunes later")
        year.table()
        return await year.verify()


def _ask(folder: Path, runs: int) -> None:
    """How long questions about that year take."""
    passphrase = folder / "passphrase"
    passphrase.write_text(_PASSPHRASE)
    tree = f"{folder}/tree"
    questions = (
        ("snapshots",),
        ("ls", f"latest:{tree}/large"),
        ("history", FILE),
        ("history", f"{tree}/large"),
        ("find", "f1*"),
        ("find", "--size", "+1M"),
        ("find", "--newer", "2100-01-01"),
        ("find", "--type", "d", "--owner", "root"),
        ("find", "--deleted", "f1*"),
        ("find", "--any-version", "f1*"),
        ("diff", BEFORE, "latest"),
        ("diff", FIRST, "latest", f"{tree}/d0"),
        ("diff", FIRST, "latest"),
        ("du", "latest"),
        ("stats",),
        ("stats", "--growth"),
        ("stats", "--each"),
        ("sql", "SELECT path, size FROM files WHERE NOT gone ORDER BY size DESC LIMIT 10"),
        ("sql", "SELECT first, count(*), sum(size) FROM files GROUP BY first"),
    )
    asker = Asker(folder / _STORE, _directories(folder), passphrase)
    asker.table(questions, f"{tree}/large", runs, "questions about this year")


def _directories(folder: Path) -> Directories:
    return Directories(folder / "state", folder / "cache")


@dataclass(slots=True)
class Clock:
    """Time that passes when it is told to."""

    now_ns: int = field(default_factory=time.time_ns)

    def now(self) -> int:
        return self.now_ns


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[tuple[Clock, Repository]]:
    clock = Clock()
    world = World(now_ns=clock.now)
    store = ThreadedStore(Files.create(folder / _STORE))
    await init(store, InitOptions(_PASSPHRASE, _HOST, derivation=_QUICK), world)
    directories = _directories(folder)
    async with open_repository(store, directories, lambda: _PASSPHRASE, world) as repository:
        yield clock, repository


@dataclass(frozen=True, slots=True)
class Step:
    """How long a step took."""

    day: int
    wall: float
    "seconds"
    cpu: float
    "seconds of the processor, on all cores: what others do on the machine moves it little"


@dataclass(slots=True)
class Year:
    """The work of each day, timed."""

    repository: Repository
    folder: Path
    "of the repository"
    tree: ChangingTree
    clock: Clock
    steps: dict[str, list[Step]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[int, int] = field(default_factory=dict)
    "day of each snapshot"
    tightness: list[tuple[float, float]] = field(default_factory=list)
    "after each prune: bytes of the packs in use, and of all, for each that is needed or undoable"
    copied: int = 0
    today: int = 0

    async def day(self, day: int) -> None:
        """A snapshot; on each seventh day the repository is tidied up as well."""
        self.today = day
        self.clock.now_ns += DAY_NS
        if day:
            self.tree.live()
        report = await self._timed("ingest", self._ingest)
        self.taken[report] = day
        if day % 7 == 6:
            await self._timed("forget", self._forget)
            await self._timed("prune", self._prune)
        if day % 30 == 29:
            packs = self._stored(objects.PACKS) / _MEBIBYTE
            print(f"day {day + 1}: packs of {packs:.0f} MiB, {self._last('ingest')}", flush=True)

    async def settle(self) -> None:
        """Let what was forgotten and condemned go, as two more weekly prunes do."""
        self.clock.now_ns += 15 * DAY_NS
        await self._prune()
        self.clock.now_ns += 7 * DAY_NS
        await self._prune()

    async def sizes(self, title: str) -> None:
        """Print what is stored, against what is needed."""
        grace = self.clock.now() - PruneOptions(_HOST).forgotten_for_ns
        async with replayed(self.repository) as replica:
            needed = await trio.to_thread.run_sync(_needed, replica.db, None)
            held = await trio.to_thread.run_sync(_needed, replica.db, grace)
        packs = self._stored(objects.PACKS)
        rest = self._stored(objects.LOG) + self._stored(objects.PARTS)
        print(
            f"{title}: packs {packs / _MEBIBYTE:.1f} MiB, needed of them {needed / _MEBIBYTE:.1f} "
            f"MiB ({packs / needed:.3f}x), with what can be undone {held / _MEBIBYTE:.1f} MiB "
            f"({packs / held:.3f}x); log and parts {rest / _MEBIBYTE:.1f} MiB"
        )

    def table(self) -> None:
        """Print the medians of each quarter, and what there is in the end."""
        quarter = (self.today + 1) / 4
        print(f"{'seconds, median':<20}" + "".join(f"{f'Q{at + 1}':>9}" for at in range(4)))
        for name, steps in self.steps.items():
            cells = [[step for step in steps if step.day // quarter == at] for at in range(4)]
            print(f"{name:<20}" + _medians([[step.wall for step in cell] for cell in cells]))
            print(f"{'  of the processor':<20}" + _medians([[s.cpu for s in c] for c in cells]))
        left = list(self.repository.snapshots.stream())
        print(
            f"{len(self.tree.files):,} files, {len(self.taken)} snapshots taken, {len(left)} left; "
            f"{self.repository.replica.tip().number:,} records; "
            f"{self.copied / _MEBIBYTE:.0f} MiB repacked in all"
        )
        for what, multiples in zip(
            ("in use", "with what waits to be deleted"), zip(*self.tightness, strict=True),
            strict=True,
        ):  # fmt: skip
            print(
                f"packs {what} after each prune, to what is needed or can be undone: "
                f"median {statistics.median(multiples):.3f}x, worst {max(multiples):.3f}x"
            )

    async def verify(self) -> bool:
        """Whether each snapshot is what the tree was on its day, and a check finds nothing."""
        wrong = 0
        snapshots = list(self.repository.snapshots.stream())
        async with self.repository.reading() as reader:
            known: dict[int, bytes] = {}
            for snapshot in snapshots:
                expected = self.tree.as_on(self.taken[snapshot.number])
                wrong += expected != await self._states(reader, snapshot, known)
        report = await check(self.repository, CheckOptions(read=EVERYTHING), Progress())
        for problem in report.problems:
            print(f"check: {problem}")
        print(f"{len(snapshots)} snapshots compared, {wrong} differ; check: {report.seconds:.1f} s")
        return wrong == 0 and report.sound

    async def _timed(self, step: str, work: Callable[[], Awaitable[_T]]) -> _T:
        began, busy = time.perf_counter(), time.process_time()
        result = await work()
        wall, cpu = time.perf_counter() - began, time.process_time() - busy
        self.steps[step].append(Step(self.today, wall, cpu))
        return result

    async def _ingest(self) -> int:
        roots = plan_roots([os.fsencode(self.tree.root)], b"/")
        options = IngestOptions(host=_HOST, name=_SOURCE, roots=roots)
        report = await ingest(self.repository, options, Progress())
        assert report.snapshot is not None
        assert not report.findings.listed, report.findings.listed
        return report.snapshot.number

    async def _forget(self) -> None:
        decide = by_policy(PRESETS["standard"], Filter())
        await forget(self.repository, decide, host=_HOST)

    async def _prune(self) -> None:
        report = await prune(self.repository, PruneOptions(host=_HOST), Progress())
        self.copied += report.copied_bytes
        plan = report.plan
        needed = plan.kept_bytes - plan.kept_unused + plan.copied_bytes
        in_use = plan.kept_bytes + report.copied_bytes
        self.tightness.append((in_use / needed, self._stored(objects.PACKS) / needed))

    async def _states(
        self, reader: ContentReader, snapshot: Snapshot, known: dict[int, bytes]
    ) -> dict[bytes, State]:
        """The files of a snapshot. A node that was read before is not read again."""
        tree, found = self.repository.tree, {}
        entry = tree.resolve(snapshot.anchor, snapshot.number, os.fsencode(self.tree.root))
        todo = [(b"", entry.child)] if entry and entry.child else []
        while todo:
            path, directory = todo.pop()
            for inner in tree.entries(directory, snapshot.number):
                below = path + inner.name
                if inner.child is not None:
                    todo.append((below + b"/", inner.child))
                    continue
                node = inner.node
                if node.number not in known:
                    known[node.number] = await _digest(reader, node)
                attributes = node.attributes
                found[below] = State(
                    known[node.number], attributes.size, attributes.mtime_ns, attributes.mode
                )
        return found

    def _stored(self, prefix: str) -> int:
        root = self.folder / prefix
        return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    def _last(self, step: str) -> str:
        return f"{step} {self.steps[step][-1].wall:.2f} s"


def _medians(cells: list[list[float]]) -> str:
    return "".join(f"{statistics.median(c):9.3f}" if c else f"{'-':>9}" for c in cells)


def _needed(db: Database, since_ns: int | None) -> float:
    """The share of the stored bytes that blocks of wanted snapshots, and of the head, take.

    With those of the snapshots that were forgotten after `since_ns`.
    """
    needed = need.needed_blocks(db, need.wanted_commits(db, forgotten_since_ns=since_ns))
    return sum(
        share
        for number, share in db.stream(
            "SELECT b.number, 1.0 * b.length * s.stored / s.plain"
            " FROM block b JOIN segment s ON s.number = b.segment"
        )
        if number in needed
    )


async def _digest(reader: ContentReader, node: Node) -> bytes:
    hasher, offset = blake2b(digest_size=DIGEST), 0
    opened = reader.open(node.content())
    while piece := await opened.read(offset, _AT_ONCE):
        hasher.update(piece)
        offset += len(piece)
    return hasher.digest()


if __name__ == "__main__":
    sys.exit(main())
