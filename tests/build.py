"""Repositories for tests, built from values: a dict of paths becomes a snapshot, without a scan.

    async with built(store, tmp_path) as repository:
        builder = Builder(repository)
        await builder.commit({"/etc/hosts": file(b"127.0.0.1 localhost")})

It computes deltas as an ingest does: what is unchanged keeps its node, known blocks are not stored
again, and one Thing under several paths is one inode with several names.
"""

import os
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapfs.formats import marker, objects, packs, parts, records
from snapfs.formats.packs import Packed, PackRow
from snapfs.formats.parts import BlockPart, DirectoryRow, EntryPart, Item, Items, ListRow, NodeRow
from snapfs.formats.slots import Derivation, Recipe, SlotKind
from snapfs.model.attributes import NANOSECONDS
from snapfs.model.chunker import STANDARD
from snapfs.model.content import LIST_THRESHOLD, list_ends
from snapfs.model.identity import NO_COMMIT, Attempt, BlockKey, Commit, PackName
from snapfs.repository.keys import Keys
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.base import Store
from tests.formats.samples import MASTER, REPOSITORY, RING, RING_NAME

KEYS = Keys(
    repository=REPOSITORY,
    marker=marker.encode(REPOSITORY),
    slot="00",
    recipe=Recipe(SlotKind.PASSPHRASE, Derivation(), ""),
    master=MASTER,
    epochs=RING.epoch_keys(),
    block_id=RING.block_id,
    gear_seed=RING.gear_seed,
)
FIRST_TIME = 1_763_000_000 * NANOSECONDS
"of the first snapshot, 2025-11-13T021320Z; each further one is an hour later"
HOUR = 3600 * NANOSECONDS
MTIME = 1_600_000_000 * NANOSECONDS + 123_456_789


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What is at a path."""

    mode: int
    content: tuple[bytes | int, ...] = ()
    "of a file: bytes, and lengths of holes"
    target: bytes = b""
    uid: int = 0
    gid: int = 0
    mtime_ns: int = MTIME
    rdev: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def size(self) -> int:
        held = sum(item if isinstance(item, int) else len(item) for item in self.content)
        return held + len(self.target)


def file(*content: bytes | int, mode: int = 0o644, **attributes: int | tuple) -> Thing:
    """A regular file; integers in its content are holes."""
    return Thing(mode=stat.S_IFREG | mode, content=content, **attributes)


def folder(mode: int = 0o755, **attributes: int | tuple) -> Thing:
    """A directory. Those that are not named are made like this."""
    return Thing(mode=stat.S_IFDIR | mode, **attributes)


def link(target: bytes, **attributes: int) -> Thing:
    """A symbolic link."""
    return Thing(mode=stat.S_IFLNK | 0o777, target=target, **attributes)


@asynccontextmanager
async def built(store: Store, directory: Path) -> AsyncIterator[Repository]:
    """A view of the repository in `store`, with its state below `directory`; created if need be.

    Several views of one store, each with a directory of its own, are several machines.
    """
    directories = Directories(directory / "state", directory / "cache")
    async with open_view(store, directories, KEYS, World()) as repository:
        if (await repository.log.catch_up()).number == NO_COMMIT:
            chunker = (STANDARD.name, STANDARD.minimum, STANDARD.average, STANDARD.maximum)
            body = records.Init(REPOSITORY, RING_NAME, chunker)
            await repository.publish(_attempt(), lambda: body, "builder")
        yield repository


Tree = dict[bytes, tuple[Thing, frozenset[bytes]]]
"what is at each path, and all the paths of its inode"


@dataclass(slots=True)
class Builder:
    """Commits snapshots of one source. Sizes are those of blocks and segments in plain bytes."""

    repository: Repository
    host: str = "web"
    source: str = "root"
    block_size: int = 64 * 1024
    segment_size: int = 256 * 1024
    head: Commit = NO_COMMIT
    time_ns: int = FIRST_TIME
    tree: Tree = field(default_factory=dict)
    known_directories: set[bytes] = field(default_factory=set)

    async def commit(
        self, things: Mapping[str | bytes, Thing], *, time_ns: int | None = None,
        complete: bool = True,
    ) -> Commit:  # fmt: skip
        """Commit a snapshot that holds exactly these paths; its number."""
        await self.repository.catch_up_all()
        tree = _tree(things)
        delta = _Delta(self, tree)
        entries = delta.entries()
        rows = [await self._store_pack(segments) for segments in _packs(delta.segments())]
        blocks = BlockPart(tuple(rows), ())
        upload = self.repository.parts.upload
        body = records.Ingest(
            host=self.host,
            source=self.source,
            source_head=self.head,
            complete=complete,
            time=self.time_ns if time_ns is None else time_ns,
            new=delta.new(rows),
            blocks=(await upload(blocks, (0, 0, 0)),) if rows else (),
            entries=(await upload(entries, (0, 0, 0)),) if entries.directories else (),
            packs=tuple(row.name for row in rows),
            paths=(b"/",),
        )
        self.head = await self.repository.publish(_attempt(), lambda: body, self.host)
        await self.repository.catch_up_all()
        self.time_ns += HOUR
        self.tree = tree
        self.known_directories |= delta.new_directories
        return self.head

    async def forget(self, *numbers: Commit) -> Commit:
        """Commit a record that forgets these snapshots."""
        ids = tuple(self.repository.replica.head(number).attempt for number in numbers)
        return await self.repository.publish(_attempt(), lambda: records.Forget(ids), self.host)

    async def recall(self, *numbers: Commit) -> Commit:
        """Commit a record that takes forgotten snapshots back."""
        ids = tuple(self.repository.replica.head(number).attempt for number in numbers)
        return await self.repository.publish(_attempt(), lambda: records.Recall(ids), self.host)

    async def _store_pack(self, segments: list[Packed]) -> PackRow:
        name = PackName(os.urandom(16))
        row, data = packs.build(name, segments, REPOSITORY, KEYS.epochs, os.urandom)
        await self.repository.store.put(objects.pack(name), data)
        return row


class _Delta:
    """What a commit adds to the last one of its source."""

    def __init__(self, builder: Builder, tree: Tree) -> None:
        self._builder = builder
        self._old, self._new = builder.tree, tree
        self._before, self._after = _children(self._old), _children(self._new)
        self._blocks: dict[bytes, tuple[int, bytes]] = {}
        "new blocks by key: position and bytes"
        self._lists: list[ListRow] = []
        self._nodes: list[NodeRow] = []
        self._positions: dict[frozenset[bytes], int] = {}
        self.new_directories = {
            path for path, (thing, _) in tree.items() if stat.S_ISDIR(thing.mode)
        } - builder.known_directories

    def entries(self) -> EntryPart:
        rows: dict[bytes, DirectoryRow] = {}
        for directory in sorted({*self._before, *self._after}):
            row = self._directory(directory)
            if row.removed or row.entries:
                rows[directory] = row
        return EntryPart(tuple(self._lists), tuple(self._nodes), tuple(rows.values()), {}, {})

    def segments(self) -> Iterable[Packed]:
        pending: list[tuple[bytes, bytes]] = []
        for key, (_, data) in self._blocks.items():
            pending.append((key, data))
            if sum(len(held) for _, held in pending) >= self._builder.segment_size:
                yield _segment(pending)
                pending = []
        if pending:
            yield _segment(pending)

    def new(self, rows: list[PackRow]) -> records.New:
        return records.New(
            packs=len(rows),
            segments=sum(len(row.segments) for row in rows),
            blocks=len(self._blocks),
            nodes=len(self._nodes),
            lists=len(self._lists),
            directories=len(self.new_directories),
        )

    def _directory(self, directory: bytes) -> DirectoryRow:
        before, after = self._before.get(directory, {}), self._after.get(directory, {})
        removed = tuple(name for name in before if name not in after)
        entries = [
            (name, self._node(path))
            for name, path in after.items()
            if self._old.get(path) != self._new[path]
        ]
        return DirectoryRow(directory, False, removed, tuple(entries))

    def _node(self, path: bytes) -> int:
        thing, names = self._new[path]
        if names not in self._positions:
            self._positions[names] = len(self._nodes)
            self._nodes.append(self._row(thing, len(names)))
        return self._positions[names]

    def _row(self, thing: Thing, nlink: int) -> NodeRow:
        seconds, nanoseconds = divmod(thing.mtime_ns, NANOSECONDS)
        return NodeRow(
            thing.mode, thing.uid, thing.gid, seconds, nanoseconds, thing.size, nlink,
            thing.rdev, thing.target, self._items(thing.content), thing.xattrs,
        )  # fmt: skip

    def _items(self, content: tuple[bytes | int, ...]) -> Items:
        extents = [extent for piece in content for extent in self._extents(piece)]
        while len(extents) > LIST_THRESHOLD:
            extents = self._listed(extents)
        return _items(extents)

    def _extents(self, piece: bytes | int) -> "Iterable[_Extent]":
        if isinstance(piece, int):
            yield _Extent(b"", piece, -1 - piece)
            return
        size = self._builder.block_size
        for at in range(0, len(piece), size):
            data = piece[at : at + size]
            key = packs.block_key(data, KEYS.block_id)
            yield _Extent(key, len(data), self._block(key, data))

    def _block(self, key: bytes, data: bytes) -> int | bytes:
        if key in self._blocks:
            return self._blocks[key][0]
        if self._builder.repository.blocks.find(BlockKey(key)):
            return key
        self._blocks[key] = len(self._blocks), data
        return len(self._blocks) - 1

    def _listed(self, extents: "list[_Extent]") -> "list[_Extent]":
        found, begin = [], 0
        for end in list_ends([extent.key[-1] if extent.key else 1 for extent in extents]):
            group = extents[begin:end]
            length = sum(extent.length for extent in group)
            canonical = parts.canonical_items([(extent.key, extent.length) for extent in group])
            key = parts.list_key(canonical, KEYS.block_id)
            self._lists.append(ListRow(key, length, _items(group)))
            found.append(_Extent(key, length, (len(self._lists) - 1,)))
            begin = end
        return found


@dataclass(frozen=True, slots=True)
class _Extent:
    key: bytes
    length: int
    item: Item


def _tree(things: Mapping[str | bytes, Thing]) -> Tree:
    named = {os.fsencode(path): thing for path, thing in things.items()}
    for path in list(named):
        while (path := _parent(path)) != b"":
            named.setdefault(path, folder())
    named.setdefault(b"/", folder())
    paths: dict[int, set[bytes]] = {}
    for path, thing in named.items():
        paths.setdefault(id(thing), set()).add(path)
    for path, thing in named.items():
        if stat.S_ISDIR(thing.mode):
            paths[id(thing)] = {path}
    return {
        path: (thing, frozenset((path,) if stat.S_ISDIR(thing.mode) else paths[id(thing)]))
        for path, thing in named.items()
    }


def _parent(path: bytes) -> bytes:
    """The directory of a path; that of / is the anchor, which is empty."""
    return b"" if path == b"/" else path.rpartition(b"/")[0] or b"/"


def _children(tree: Tree) -> dict[bytes, dict[bytes, bytes]]:
    """Names and paths by the directory that they are in."""
    found: dict[bytes, dict[bytes, bytes]] = {}
    for path in sorted(tree):
        name = path if path == b"/" else path.rpartition(b"/")[2]
        found.setdefault(_parent(path), {})[name] = path
    return found


def _items(extents: list[_Extent]) -> Items:
    if len(extents) == 1:
        return (extents[0].item,)
    items: list[Item] = []
    for extent in extents:
        items.append(extent.item)
        if extent.key:
            items.append(extent.length)
    return tuple(items)


def _segment(blocks: list[tuple[bytes, bytes]]) -> Packed:
    plain = b"".join(data for _, data in blocks)
    keys = b"".join(key for key, _ in blocks)
    return packs.pack_segment(plain, keys, tuple(len(data) for _, data in blocks), 1)


def _packs(segments: Iterable[Packed]) -> Iterable[list[Packed]]:
    pending: list[Packed] = []
    for segment in segments:
        pending.append(segment)
        if sum(packed.stored for packed in pending) >= packs.TARGET:
            yield pending
            pending = []
    if pending:
        yield pending


def _attempt() -> Attempt:
    return Attempt(os.urandom(16))


async def publish(repository: Repository, body: records.Body, author: str) -> Commit:
    """Append a record that needs nothing uploaded before it."""
    return await repository.publish(Attempt(os.urandom(16)), lambda: body, author)
