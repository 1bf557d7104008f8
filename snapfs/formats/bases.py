"""Base parts: the rows of a whole stream, with their numbers, as they were at one record.

A base record names them. They take the place of all parts that came before: who has none of those
begins with these. Other parts have no numbers, because a lost race would change them; what a base
restates has been numbered for good, and counting alone would not give the same numbers again once
some rows are left out.

The parts of a stream are applied in order: what a row refers to comes before it.
"""

import re
from itertools import pairwise
from typing import Annotated, TypeAlias

import msgspec

from snapfs.errors import FormatError
from snapfs.formats import objects, parts, wire
from snapfs.formats.parts import PartRef
from snapfs.formats.seal import EpochKeys, Purpose, Random
from snapfs.model.identity import RepositoryId

Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**60)]
"of a row"
Last: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
"a record that ended something; 2^62 while it holds"
EntryKey: TypeAlias = tuple[wire.Count, bytes, wire.Count]
"directory, name and first commit: the order of entries"
_HOLE = -1
_BAD_NAME = re.compile(rb"[/\0]")


class BasePack(msgspec.Struct, frozen=True, array_like=True):
    """A pack."""

    number: Number
    name: wire.Name
    size: wire.Count
    header: bytes


class BaseSegment(msgspec.Struct, frozen=True, array_like=True):
    """A segment, and which blocks were stored in it first."""

    number: Number
    pack: Number
    place: wire.Small
    "index in the pack"
    offset: wire.Count
    "of its sealed bytes in the pack"
    stored: wire.Count
    plain: wire.Count
    block: Number
    "number of the first block that was stored in it"
    blocks: wire.Count


class BaseBlock(msgspec.Struct, frozen=True, array_like=True):
    """A stored copy of a block, where it lies now."""

    number: Number
    key: wire.Hash
    segment: Number
    offset: wire.Count
    length: wire.Count


class BaseSuspect(msgspec.Struct, frozen=True, array_like=True):
    """A block that is known to be damaged."""

    block: Number
    first: wire.Count
    "the record that said so"


class BlockBase(msgspec.Struct, frozen=True, array_like=True):
    """A piece of the stream of blocks."""

    begin: wire.Count
    end: wire.Count
    "of the blocks from `begin` to below `end` there are those below, and no others"
    packs: tuple[BasePack, ...] = ()
    segments: tuple[BaseSegment, ...] = ()
    blocks: tuple[BaseBlock, ...] = ()
    suspects: tuple[BaseSuspect, ...] = ()


class BaseDirectory(msgspec.Struct, frozen=True, array_like=True):
    """A directory; its parent comes before it, or is the anchor of a tree."""

    number: Number
    parent: Number
    name: bytes


class BaseList(msgspec.Struct, frozen=True, array_like=True):
    """A list of extents."""

    number: Number
    key: wire.Hash
    length: wire.Count
    extents: tuple[wire.Signed, ...]
    "code and length by turns: a block's number, -1 for a hole, -2 - n for list n"


class BaseNode(msgspec.Struct, frozen=True, array_like=True):
    """One inode in one state; the fields are those of `NodeRow`."""

    number: Number
    mode: wire.Small
    uid: wire.Small
    gid: wire.Small
    mtime: wire.Signed
    mtime_ns: wire.Small
    size: wire.Count
    nlink: wire.Count
    rdev: wire.Count
    target: bytes
    extents: tuple[wire.Signed, ...]
    "as those of a list"
    xattrs: tuple[tuple[bytes, bytes], ...]


class BaseEntry(msgspec.Struct, frozen=True, array_like=True):
    """A version of a name."""

    directory: Number
    name: bytes
    first: Number
    "the commit that brought it"
    last: Last
    "the commit that ended it"
    node: Number
    child: wire.Count
    "the directory that it is; 0 for none"

    @property
    def key(self) -> EntryKey:
        return (self.directory, self.name, self.first)


class EntryBase(msgspec.Struct, frozen=True, array_like=True):
    """A piece of the entries of one source."""

    begin: EntryKey
    end: EntryKey
    "of the source's entries from `begin` to below `end` there are those below, and no others"
    directories: tuple[BaseDirectory, ...] = ()
    lists: tuple[BaseList, ...] = ()
    nodes: tuple[BaseNode, ...] = ()
    entries: tuple[BaseEntry, ...] = ()
    users: dict[wire.Small, bytes] = {}
    "names of owners, as the source's host knew them"
    groups: dict[wire.Small, bytes] = {}


BasePart: TypeAlias = BlockBase | EntryBase

_block_decoder = msgspec.msgpack.Decoder(BlockBase)
_entry_decoder = msgspec.msgpack.Decoder(EntryBase)


def encode_base(
    part: BasePart, name: bytes, repository: RepositoryId, keys: EpochKeys, random: Random
) -> bytes:
    """A base part's object: those of blocks under INDEX, those of entries under NAMES."""
    purpose = Purpose.INDEX if isinstance(part, BlockBase) else Purpose.NAMES
    return parts.seal_part(part, name, purpose, repository, keys, random)


def decode_block_base(
    data: bytes, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> BlockBase:
    """The base part of blocks in an object. Raises FormatError."""
    plain = parts.open_part(data, Purpose.INDEX, ref, repository, keys)
    part = wire.decode(_block_decoder, plain, objects.part(ref.name))
    numbers = [each.number for each in part.blocks]
    inside = all(part.begin <= number < part.end for number in numbers)
    if not (inside and _is_rising(numbers)):
        raise FormatError(f"{objects.part(ref.name)}: has blocks that it cannot have")
    return part


def decode_entry_base(
    data: bytes, ref: PartRef, repository: RepositoryId, keys: EpochKeys
) -> EntryBase:
    """The base part of entries in an object, its names such as can stand in a directory.

    Raises FormatError.
    """
    plain = parts.open_part(data, Purpose.NAMES, ref, repository, keys)
    part = wire.decode(_entry_decoder, plain, objects.part(ref.name))
    names = [row.name for row in part.directories] + [row.name for row in part.entries]
    if not all(is_sound_name(name) for name in names):
        raise FormatError(f"{objects.part(ref.name)}: has a name that cannot be")
    order = [row.key for row in part.entries]
    inside = all(part.begin <= key < part.end for key in order)
    if not (inside and all(before < after for before, after in pairwise(order))):
        raise FormatError(f"{objects.part(ref.name)}: has entries that it cannot have")
    if any(row.first >= row.last for row in part.entries):
        raise FormatError(f"{objects.part(ref.name)}: has a version that never was")
    if any(row.parent >= row.number for row in part.directories):
        raise FormatError(f"{objects.part(ref.name)}: has a directory before the one it is in")
    # A list holds only those before it: otherwise reading one might have no end.
    lists = all(_are_sound(row.extents, row.length, row.number) for row in part.lists)
    if not (lists and all(_are_sound(row.extents, row.size, None) for row in part.nodes)):
        raise FormatError(f"{objects.part(ref.name)}: has a content that cannot be")
    return part


def is_sound_name(name: bytes) -> bool:
    """Whether it leads no path astray; the root of a tree is the entry "/" of its anchor."""
    return name == b"/" or (name not in (b"", b".", b"..") and not _BAD_NAME.search(name))


def _are_sound(extents: tuple[int, ...], whole: int, below: int | None) -> bool:
    """Whether extents make up a content of this length, and lists come before number `below`."""
    if not extents:
        return True
    codes, lengths = extents[::2], extents[1::2]
    if len(codes) != len(lengths) or min(lengths) < 0 or sum(lengths) != whole:
        return False
    lists = [-2 - code for code in codes if code < _HOLE]
    return below is None or not lists or max(lists) < below


def _is_rising(numbers: list[int]) -> bool:
    return all(before < after for before, after in pairwise(numbers))
