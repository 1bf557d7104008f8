"""A repository with a long past, made of rows alone: a million files, and thirty snapshots of them.

Records and parts are real and go through the real log, and each machine applies them as always.
Only packs are missing: questions about history read none.
"""

import os
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from snapfs.formats.packs import PackRow, SegmentRow
from snapfs.formats.parts import BlockPart, DirectoryRow, EntryPart, NodeRow, PartRef
from snapfs.formats.records import Ingest, New, Summary
from snapfs.jobs.init import InitOptions, init
from snapfs.model.identity import NO_COMMIT, Attempt, Commit
from snapfs.repository.repository import Repository, open_repository
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore

HOST, SOURCE = "bench", "data"
PASSPHRASE = "for measuring only"
DAY = 86_400
BEGIN = 1_760_000_000
"seconds since 1970 of the first snapshot"
_SUFFIXES = ("txt", "pdf", "jpg", "py", "log", "html", "dat", "json")
_FILES = 100
"in each directory, at first"
_FOLDERS = 100
"in each directory of directories"
_PER_SEGMENT, _SEGMENTS = 64, 8
"blocks of a segment, segments of a pack"
_PACKS_AT_ONCE = 50
_CHANGED = 0.01
"of all files, from one snapshot to the next"


@dataclass(slots=True)
class _Folder:
    path: bytes
    next: int = 0
    files: dict[bytes, int] = field(default_factory=dict)
    "sizes by name"


@dataclass(slots=True)
class _Delta:
    """What one commit adds: parts that are uploaded as they get full, and counts."""

    repository: Repository
    entries: list[PartRef] = field(default_factory=list)
    nodes: int = 0
    directories: int = 0
    sizes: list[int] = field(default_factory=list)
    "of new files; each is one block"

    async def add(self, rows: list[DirectoryRow], nodes: list[NodeRow], new: int) -> None:
        """Upload a part of these rows, of which so many directories are new."""
        part = EntryPart((), tuple(nodes), tuple(rows), {0: b"root"}, {0: b"root"})
        first = (self.nodes, 0, self.directories)
        self.entries.append(await self.repository.parts.upload(part, first))
        self.repository.parts.drop_own()
        self.nodes += len(nodes)
        self.directories += new

    def file(self, size: int, seconds: int) -> NodeRow:
        """A new file of one new block."""
        self.sizes.append(size)
        return NodeRow(0o100644, 0, 0, seconds, 0, size, 1, 0, b"", (len(self.sizes) - 1,), ())

    async def blocks(self) -> tuple[list[PartRef], list[PackRow], int]:
        """Block parts, all packs, and how many segments they have."""
        refs, packs, blocks, segments = [], list(_packs(self.sizes)), 0, 0
        for at in range(0, len(packs), _PACKS_AT_ONCE):
            some = packs[at : at + _PACKS_AT_ONCE]
            part = BlockPart(tuple(some), ())
            refs.append(await self.repository.parts.upload(part, (blocks, segments, at)))
            self.repository.parts.drop_own()
            segments += sum(len(pack.segments) for pack in some)
            blocks += sum(len(row.lengths) for pack in some for row in pack.segments)
        return refs, packs, segments


async def make(place: Path, directories: Directories, *, files: int, snapshots: int) -> None:
    """Create a repository in the directory `place`, and this machine's view of it."""
    store = ThreadedStore(Files(place))
    await init(store, InitOptions(PASSPHRASE, HOST), World())
    async with open_repository(store, directories, lambda: PASSPHRASE) as repository:
        chance = random.Random(1)
        folders = [
            _Folder(b"/data/%04d/%02d" % divmod(number, _FOLDERS))
            for number in range(max(1, files // _FILES))
        ]
        head = NO_COMMIT
        for serial in range(snapshots):
            delta = _Delta(repository)
            if serial:
                await _change(delta, folders, serial, chance)
            else:
                await _fill(delta, folders, chance)
            head = await _commit(delta, folders, head, serial)
            await repository.catch_up_all()


async def _fill(delta: _Delta, folders: list[_Folder], chance: random.Random) -> None:
    upper = sorted({folder.path.rpartition(b"/")[0] for folder in folders})
    rows = [
        DirectoryRow(b"", False, (), ((b"/", 0),)),
        DirectoryRow(b"/", False, (), ((b"data", 1),)),
        DirectoryRow(
            b"/data", False, (), tuple((path[6:], 2 + at) for at, path in enumerate(upper))
        ),
    ]
    await delta.add(rows, [_directory()] * (2 + len(upper)), 2 + len(upper))
    for path in upper:
        await _fill_one(delta, path, [one for one in folders if one.path.startswith(path)], chance)


async def _fill_one(
    delta: _Delta, path: bytes, folders: list[_Folder], chance: random.Random
) -> None:
    names = tuple(
        (folder.path.rpartition(b"/")[2], delta.nodes + at) for at, folder in enumerate(folders)
    )
    rows = [DirectoryRow(path, False, (), names)]
    nodes = [_directory()] * len(folders)
    for folder in folders:
        fresh = []
        for _ in range(_FILES):
            name, size = _new_file(folder, chance)
            fresh.append((name, delta.nodes + len(nodes)))
            nodes.append(delta.file(size, BEGIN - chance.randrange(1000) * DAY))
        rows.append(DirectoryRow(folder.path, False, (), tuple(sorted(fresh))))
    await delta.add(rows, nodes, len(folders))


async def _change(
    delta: _Delta, folders: list[_Folder], serial: int, chance: random.Random
) -> None:
    """Change files in a fifth of the directories: four fifths modified, the rest come and go."""
    rows: list[DirectoryRow] = []
    nodes: list[NodeRow] = []
    each = round(_CHANGED * _FILES * 5)
    now = BEGIN + serial * DAY
    for folder in sorted(chance.sample(folders, max(1, len(folders) // 5)), key=_path):
        gone, *modified = chance.sample(sorted(folder.files), each)
        del folder.files[gone]
        fresh, _ = _new_file(folder, chance)
        for name in modified:
            folder.files[name] = round(folder.files[name] * chance.uniform(0.9, 1.2)) + 1
        changed = []
        for name in sorted([*modified, fresh]):
            changed.append((name, len(nodes)))
            nodes.append(delta.file(folder.files[name], now - chance.randrange(DAY)))
        rows.append(DirectoryRow(folder.path, False, (gone,), tuple(changed)))
    await delta.add(rows, nodes, 0)


async def _commit(delta: _Delta, folders: list[_Folder], head: Commit, serial: int) -> Commit:
    refs, packs, segments = await delta.blocks()
    new = New(
        packs=len(packs), segments=segments, blocks=len(delta.sizes), nodes=delta.nodes,
        directories=delta.directories,
    )  # fmt: skip
    count = sum(len(folder.files) for folder in folders)
    total = sum(sum(folder.files.values()) for folder in folders)
    body = Ingest(
        host=HOST, source=SOURCE, source_head=head, complete=True,
        time=(BEGIN + serial * DAY) * 10**9, new=new, blocks=tuple(refs),
        entries=tuple(delta.entries), packs=tuple(pack.name for pack in packs), paths=(b"/data",),
        summary=Summary(
            new=len(delta.sizes), unchanged=count - len(delta.sizes), bytes_total=total,
            bytes_new=sum(delta.sizes), bytes_stored=sum(pack.size for pack in packs),
        ),
    )  # fmt: skip
    return await delta.repository.publish(Attempt(os.urandom(16)), lambda: body, HOST)


def _packs(sizes: list[int]) -> Iterator[PackRow]:
    per_pack = _PER_SEGMENT * _SEGMENTS
    for at in range(0, len(sizes), per_pack):
        some = sizes[at : at + per_pack]
        rows = tuple(
            _segment(tuple(some[begin : begin + _PER_SEGMENT]))
            for begin in range(0, len(some), _PER_SEGMENT)
        )
        header = bytes(200)
        size = len(header) + sum(row.stored for row in rows) + 1000
        yield PackRow(os.urandom(16), size, header, rows)


def _segment(lengths: tuple[int, ...]) -> SegmentRow:
    return SegmentRow(sum(lengths) // 2 + 100, os.urandom(32 * len(lengths)), lengths)


def _new_file(folder: _Folder, chance: random.Random) -> tuple[bytes, int]:
    suffix = chance.choice(_SUFFIXES)
    name = b"document-%06d.%s" % (
        folder.next * 7919 + zlib.crc32(folder.path) % 7919,
        suffix.encode(),
    )
    folder.next += 1
    folder.files[name] = min(round(chance.lognormvariate(8, 1.5)) + 1, 60_000)
    return name, folder.files[name]


def _directory() -> NodeRow:
    return NodeRow(0o040755, 0, 0, BEGIN, 0, 0, 1, 0, b"", (), ())


def _path(folder: _Folder) -> bytes:
    return folder.path
