"""Parts: the rows of a record, in bounded objects of their own, uploaded before the record.

*Block parts* say which packs, segments and blocks are new, and which blocks moved; every writer
needs them. *Entry parts* say what changed in one source; only who reads that source needs them.

No row has a number of any database. Rows refer to rows of the same record by position, to older
blocks and lists by key, to older nodes by path. A position counts from the record's first row, so
`PartRef.first` says at which position a part begins.
"""

import re
from typing import TypeAlias

import msgspec
from blake3 import blake3

from snapfs.errors import FormatError
from snapfs.formats import limits, objects, packs, seal, wire
from snapfs.formats.packs import PackRow
from snapfs.formats.seal import Context, EpochKeys, ObjectKind, Purpose, Random
from snapfs.model.identity import RepositoryId

LEVEL = 6
"of zstd; parts are small and kept for ever"

Reference: TypeAlias = wire.Count | bytes
"position in this record, or key of an older block or list"
Item: TypeAlias = int | bytes | tuple[Reference]
"a block, a hole (negative: -1 - its length), or, in a tuple, a list"
# Bounds are checked by hand here: msgspec 0.22 crashes on them in a union with a fixed tuple.
Items: TypeAlias = tuple[Item, ...]
"""item, length, item, length, …; a content that is one block or list is that item alone.

The length of a hole is not repeated: holes stand alone, without a length behind them.
"""
_BAD_PATH = re.compile(rb"\0|//|/\.{1,2}(?:/|\Z)")


class ListRow(msgspec.Struct, frozen=True, array_like=True):
    """A list of extents, kept once and shared by the contents that have it."""

    key: wire.Hash
    length: wire.Count
    items: Items
    "a list that it holds by position comes before it"


class NodeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One inode in one state."""

    mode: wire.Small
    uid: wire.Small
    gid: wire.Small
    mtime: wire.Signed
    "whole seconds since 1970"
    mtime_ns: wire.Small
    "nanoseconds above `mtime`"
    size: wire.Count
    nlink: wire.Count
    rdev: wire.Count
    target: bytes
    items: Items
    xattrs: tuple[tuple[bytes, bytes], ...]


class DirectoryRow(msgspec.Struct, frozen=True, array_like=True):
    """What changed among the entries of one directory.

    The path b"" is the source's anchor; its one entry, named "/", is the root of the tree.
    """

    path: bytes
    cleared: bool
    "all entries that it had are gone; `entries` then is what it has now"
    removed: tuple[bytes, ...]
    entries: tuple[tuple[bytes, Reference], ...]
    """(name, node): a node's position in this record, or the path at which the previous commit of
    the source has it. A node that is a directory makes its entry one."""


class EntryPart(msgspec.Struct, frozen=True, array_like=True):
    """A piece of an ingest's delta. Directories come after those that hold them."""

    lists: tuple[ListRow, ...]
    nodes: tuple[NodeRow, ...]
    directories: tuple[DirectoryRow, ...]
    users: dict[wire.Small, bytes]
    "names of the owners of these nodes, as the host knew them"
    groups: dict[wire.Small, bytes]


class MoveRow(msgspec.Struct, frozen=True, array_like=True):
    """Blocks that this record's packs now hold. A suspect block that moved is sound again."""

    pack: wire.Name
    "name of the old pack"
    segment: wire.Small
    "index of a segment in it"
    blocks: tuple[wire.Small, ...]
    "places of blocks in that segment"
    positions: tuple[wire.Count, ...]
    "where each is now: its position among this record's blocks"


class SuspectRow(msgspec.Struct, frozen=True, array_like=True):
    """Blocks that were found damaged: no delta may rely on them until they are stored again."""

    pack: wire.Name
    segment: wire.Small
    "index of a segment in it"
    blocks: tuple[wire.Small, ...]
    "places of blocks in that segment"


class BlockPart(msgspec.Struct, frozen=True, array_like=True):
    """New packs with their blocks, blocks that moved, and blocks that are not to be trusted.

    A block is named by the pack and segment that it was first stored in, wherever it lies now.
    """

    packs: tuple[PackRow, ...]
    moves: tuple[MoveRow, ...]
    suspects: tuple[SuspectRow, ...] = ()


class PartRef(msgspec.Struct, frozen=True, array_like=True):
    """How a record names a part."""

    name: wire.Name
    size: wire.Count
    "stored bytes"
    hash: wire.Hash
    "BLAKE3 of the stored bytes"
    first: tuple[wire.Count, wire.Count, wire.Count]
    """positions of its first rows: blocks, segments, packs of a block part; nodes, lists, new
    directories of an entry part"""


_LIST_KEYS = "snapfs list keys 1"
_block_decoder = msgspec.msgpack.Decoder(BlockPart)
_entry_decoder = msgspec.msgpack.Decoder(EntryPart)


def encode_part(
    part: BlockPart | EntryPart,
    name: bytes,
    repository: RepositoryId,
    keys: EpochKeys,
    random: Random,
) -> bytes:
    """A part's object: block parts under INDEX, entry parts under NAMES."""
    purpose = Purpose.INDEX if isinstance(part, BlockPart) else Purpose.NAMES
    return seal_part(part, name, purpose, repository, keys, random)


def seal_part(
    part: msgspec.Struct, name: bytes, purpose: Purpose, repository: RepositoryId,
    keys: EpochKeys, random: Random,
) -> bytes:  # fmt: skip
    """The object of any part."""
    context = Context(repository, ObjectKind.PART, objects.part(name))
    return seal.seal_object(context, purpose, keys, wire.encode(part), level=LEVEL, random=random)


def decode_blocks(
    data: bytes, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> BlockPart:
    """The block part in an object, its rows within bounds. Raises FormatError."""
    plain = open_part(data, Purpose.INDEX, ref, repository, keys)
    part = wire.decode(_block_decoder, plain, objects.part(ref.name))
    for row in part.packs:
        packs.check_pack(row)
    if any(len(move.blocks) != len(move.positions) for move in part.moves):
        raise FormatError(f"{objects.part(ref.name)}: moves blocks that it does not name")
    return part


def decode_entries(
    data: bytes, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> EntryPart:
    """The entry part in an object, its names such as can stand in a directory.

    Raises FormatError.
    """
    plain = open_part(data, Purpose.NAMES, ref, repository, keys)
    part = wire.decode(_entry_decoder, plain, objects.part(ref.name))
    if not all(_is_sound_directory(row) for row in part.directories):
        raise FormatError(f"{objects.part(ref.name)}: has a name that cannot be")
    first = ref.first[1]
    # A list holds only those before it: otherwise reading one might have no end.
    sound_lists = all(_are_sound(row.items, first + at) for at, row in enumerate(part.lists))
    known = first + len(part.lists)
    if not (sound_lists and all(_are_sound(row.items, known) for row in part.nodes)):
        raise FormatError(f"{objects.part(ref.name)}: has a content that cannot be")
    return part


def open_part(
    data: bytes, purpose: Purpose, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> bytes:
    """The plain bytes of a part that a record names so. Raises FormatError."""
    name = objects.part(ref.name)
    if len(data) != ref.size or digest(data) != ref.hash:
        raise FormatError(f"{name}: is not the object that its record names")
    context = Context(repository, ObjectKind.PART, name)
    return seal.open_object(data, context, purpose, keys, limit=limits.PART)


def digest(data: bytes) -> bytes:
    """BLAKE3 of stored bytes, as records name parts and their predecessor by."""
    return blake3(data).digest()


def list_key(canonical: bytes, block_id_key: bytes) -> bytes:
    """The key of a list. `canonical` is its extents by key: see `canonical_items`."""
    # A key of its own: no file's bytes can be made to have the key of a list.
    list_id_key = blake3(block_id_key, derive_key_context=_LIST_KEYS).digest()
    return blake3(canonical, key=list_id_key).digest()


def canonical_items(items: list[tuple[bytes, int]]) -> bytes:
    """Extents as (key or b"" for a hole, length), one after the other, for `list_key`."""
    return b"".join(key + length.to_bytes(8, "big") + bytes([len(key)]) for key, length in items)


def _is_sound_directory(row: DirectoryRow) -> bool:
    """Whether nothing in it leads a path astray, out of the tree that is being restored."""
    if row.path == b"":
        return all(name == b"/" for name in (*row.removed, *(name for name, _ in row.entries)))
    return (
        row.path.startswith(b"/")
        and not (len(row.path) > 1 and row.path.endswith(b"/"))
        and not _BAD_PATH.search(row.path)
        and all(_is_sound_name(name) for name in row.removed)
        and all(_is_sound_name(name) for name, _ in row.entries)
    )


def _is_sound_name(name: bytes) -> bool:
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name


def _are_sound(items: Items, lists: int) -> bool:
    """Whether items follow the rule of their order. Lists have positions below `lists`."""
    if len(items) == 1:
        return _is_sound_item(items[0], lists)
    rest = iter(items)
    for item in rest:
        if not _is_sound_item(item, lists):
            return False
        if not isinstance(item, int) or item >= 0:
            length = next(rest, None)
            if not isinstance(length, int) or not 0 < length <= wire.MOST:
                return False
    return True


def _is_sound_item(item: Item, lists: int) -> bool:
    if isinstance(item, int):
        return item < -1 or 0 <= item <= wire.MOST
    if isinstance(item, bytes):
        return len(item) == packs.KEY
    return item[0] < lists if isinstance(item[0], int) else len(item[0]) == packs.KEY
