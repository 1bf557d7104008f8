"""What the tests of check share: a repository with its keys in the store, and ways to damage it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from snapfs.formats import objects, records, ring, slots
from snapfs.formats.slots import Derivation, SlotKind
from snapfs.jobs.check import CheckOptions, CheckReport, check
from snapfs.jobs.check.report import Affected
from snapfs.jobs.check.subset import EVERYTHING, Subset
from snapfs.jobs.progress import Progress
from snapfs.model.identity import Commit
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.base import Store
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, Thing, built, file
from tests.formats.samples import MASTER, REPOSITORY, RING, RING_NAME

SLOT = objects.slot("0011223344556677")
_RANDOM = os.urandom


async def put_keys(store: Store) -> None:
    """Put the marker, a slot and the ring, which `built` does without."""
    cheap = Derivation(memory=19 * 1024, time=1, lanes=1)
    slot = slots.create(
        MASTER, "a passphrase", KEYS.marker, kind=SlotKind.PASSPHRASE, label="first",
        created=1_763_000_000, derivation=cheap, random=_RANDOM,
    )  # fmt: skip
    await store.put(objects.MARKER, KEYS.marker)
    await store.put(SLOT, slot)
    await store.put(RING_NAME, ring.encode(RING, REPOSITORY, RING_NAME, MASTER, _RANDOM))


async def checked(
    repository: Repository, *, read: Subset | None = EVERYTHING, listed_paths: int = 100
) -> CheckReport:
    """The report of a check that reads all data."""
    options = CheckOptions(read=read, listed_paths=listed_paths)
    return await check(repository, options, Progress())


async def assert_sound(repository: Repository) -> CheckReport:
    """Fail where a check that reads all data finds anything."""
    report = await checked(repository)
    assert report.problems == ()
    assert report.affected == ()
    assert report.sound
    assert report.compared
    return report


def found(report: CheckReport) -> list[tuple[str, str]]:
    """Kind and object of each problem."""
    return [(problem.kind.value, problem.object) for problem in report.problems]


def paths(report: CheckReport) -> dict[str, int]:
    """Affected paths, as host/source:path, and in how many snapshots."""
    return {_shown(each): each.snapshots for each in report.affected}


def noise(seed: int, length: int) -> bytes:
    """Bytes that do not compress, always the same for a seed."""
    return blake3(b"%d" % seed).digest(length=length)


def big(seed: int) -> Thing:
    """A file of some blocks of its own."""
    return file(noise(seed, 200_000))


@dataclass(slots=True)
class Scene:
    """A repository of two sources, three records of one and two of the other.

    Blocks are 64 KiB, segments 256 KiB: a big file has four blocks, in one segment.
    """

    repository: Repository
    store: MemoryStore
    web: Builder
    mail: Builder
    commits: list[Commit] = field(default_factory=list)

    def id(self, number: int) -> bytes:
        return self.repository.replica.head(Commit(number)).attempt

    def head(self, number: int) -> records.Ingest:
        body = self.repository.replica.head(Commit(number)).body
        assert isinstance(body, records.Ingest)
        return body

    def pack(self, number: int) -> str:
        return objects.pack(self.head(number).packs[0])

    def part(self, number: int, *, blocks: bool) -> str:
        refs = records.part_refs(self.head(number))
        return objects.part(refs[0 if blocks else 1][0].name)

    def flip(self, name: str, at: int) -> None:
        data = bytearray(self.store.objects[name])
        data[at] ^= 1
        self.store.objects[name] = bytes(data)

    def segment(self, number: int, place: int) -> int:
        """Where a segment of the record's pack begins."""
        row = self.repository.db.row(
            "SELECT s.offset FROM segment s JOIN pack p ON p.number = s.pack"
            " WHERE p.name = ? AND s.place = ?",
            (self.head(number).packs[0], place),
        )
        assert row is not None
        return int(row[0])


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    """The repository that damage is done to.

    Record 2: web has /a, /b, /sub/c. Record 3: mail has /box. Record 4: web changes /b.
    Record 5: mail has /box and /new. Record 6: web removes /sub/c and adds /d.
    """
    store = MemoryStore()
    await put_keys(store)
    async with built(store, directory) as repository:
        web = Builder(repository, host="web", source="root")
        mail = Builder(repository, host="mail", source="spool")
        a, b, c, box = big(1), big(2), big(3), big(4)
        made = Scene(repository, store, web, mail)
        made.commits = [
            await web.commit({"/a": a, "/b": b, "/sub/c": c}),
            await mail.commit({"/box": box}),
            await web.commit({"/a": a, "/b": big(5), "/sub/c": c}),
            await mail.commit({"/box": box, "/new": big(6)}),
            await web.commit({"/a": a, "/b": big(5), "/d": big(7)}),
        ]
        assert made.commits == [2, 3, 4, 5, 6]
        yield made


@asynccontextmanager
async def other_machine(made: Scene, directory: Path) -> AsyncIterator[Repository]:
    """A machine that has never seen this repository. It does not catch up."""
    shutil.rmtree(directory, ignore_errors=True)
    directories = Directories(directory / "state", directory / "cache")
    async with open_view(made.store, directories, KEYS, World()) as repository:
        yield repository


def _shown(each: Affected) -> str:
    return f"{each.host}/{each.source}:{os.fsdecode(each.path)}"
