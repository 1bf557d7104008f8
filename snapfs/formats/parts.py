"""Parts: the rows of a record, in bounded objects of their own, uploaded before the record.

*Block parts* say which packs, segments and blocks are new, and which blocks moved; every writer
needs them. *Entry parts* say what changed in one source; only who reads that source needs them.

No row has a number of any database. Rows refer to rows of the same record by position, to older
blocks and lists by key, to older nodes by path. A position counts from the record's first row, so
`PartRef.first` says at which position a part begins.
"""

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

Reference: TypeAlias = int | bytes
"position in this record, or key of an older block or list"
Item: TypeAlias = int | bytes | tuple[Reference]
"a block, a hole (negative: -1 - its length), or, in a tuple, a list"
Items: TypeAlias = tuple[Item, ...]
"""item, length, item, length, …; a content that is one block is that item alone.

The length of a hole is not repeated: holes stand alone, without a length behind them.
"""


class ListRow(msgspec.Struct, frozen=True, array_like=True):
    """A list of extents, kept once and shared by the contents that have it."""

    key: bytes
    length: int
    items: Items


class NodeRow(msgspec.Struct, frozen=True, array_like=True):
    """One inode in one state."""

    mode: int
    uid: int
    gid: int
    mtime: int
    "whole seconds since 1970"
    mtime_ns: int
    "nanoseconds above `mtime`"
    size: int
    nlink: int
    rdev: int
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
    users: dict[int, bytes]
    "names of the owners of these nodes, as the host knew them"
    groups: dict[int, bytes]


class MoveRow(msgspec.Struct, frozen=True, array_like=True):
    """Blocks of an old pack that this record's packs now hold."""

    pack: bytes
    "name of the old pack"
    segment: int
    "index of a segment in it"
    blocks: tuple[int, ...]
    "places of blocks in that segment"
    positions: tuple[int, ...]
    "where each is now: its position among this record's blocks"


class BlockPart(msgspec.Struct, frozen=True, array_like=True):
    """New packs with their blocks, and blocks that moved."""

    packs: tuple[PackRow, ...]
    moves: tuple[MoveRow, ...]


class PartRef(msgspec.Struct, frozen=True, array_like=True):
    """How a record names a part."""

    name: bytes
    size: int
    "stored bytes"
    hash: bytes
    "BLAKE3 of the stored bytes"
    first: tuple[int, int, int]
    """positions of its first rows: blocks, segments, packs of a block part; nodes, lists, new
    directories of an entry part"""


_block_decoder = msgspec.msgpack.Decoder(BlockPart)
_entry_decoder = msgspec.msgpack.Decoder(EntryPart)


def encode_blocks(
    part: BlockPart, name: bytes, repository: RepositoryId, keys: EpochKeys, random: Random
) -> bytes:
    """A block part's object."""
    return _seal(wire.encode(part), Purpose.INDEX, name, repository, keys, random)


def encode_entries(
    part: EntryPart, name: bytes, repository: RepositoryId, keys: EpochKeys, random: Random
) -> bytes:
    """An entry part's object."""
    return _seal(wire.encode(part), Purpose.NAMES, name, repository, keys, random)


def decode_blocks(
    data: bytes, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> BlockPart:
    """The block part in an object, its rows within bounds. Raises FormatError."""
    plain = _open(data, Purpose.INDEX, ref, repository, keys)
    part = wire.decode(_block_decoder, plain, objects.part(ref.name))
    for row in part.packs:
        if len(row.name) != 16 or row.size > limits.PACK:
            raise FormatError(f"{objects.part(ref.name)}: lists a pack that cannot be")
        packs.check_rows(row.segments, objects.part(ref.name))
    return part


def decode_entries(
    data: bytes, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> EntryPart:
    """The entry part in an object. Raises FormatError."""
    plain = _open(data, Purpose.NAMES, ref, repository, keys)
    return wire.decode(_entry_decoder, plain, objects.part(ref.name))


def digest(data: bytes) -> bytes:
    """BLAKE3 of stored bytes, as records name parts and their predecessor by."""
    return blake3(data).digest()


def list_key(canonical: bytes, block_id_key: bytes) -> bytes:
    """The key of a list. `canonical` is its extents by key: see `canonical_items`."""
    return blake3(b"list" + canonical, key=block_id_key).digest()


def canonical_items(items: list[tuple[bytes, int]]) -> bytes:
    """Extents as (key or b"" for a hole, length), one after the other, for `list_key`."""
    return b"".join(key + length.to_bytes(8, "big") + bytes([len(key)]) for key, length in items)


def _seal(
    plain: bytes, purpose: Purpose, name: bytes, repository: RepositoryId, keys: EpochKeys,
    random: Random,
) -> bytes:  # fmt: skip
    context = Context(repository, ObjectKind.PART, objects.part(name))
    return seal.seal_object(context, purpose, keys, plain, level=LEVEL, random=random)


def _open(
    data: bytes, purpose: Purpose, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> bytes:
    name = objects.part(ref.name)
    if len(data) != ref.size or digest(data) != ref.hash:
        raise FormatError(f"{name}: is not the object that its record names")
    context = Context(repository, ObjectKind.PART, name)
    return seal.open_object(data, context, purpose, keys, limit=limits.PART)
