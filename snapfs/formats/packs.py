"""Packs: segments of blocks, and a footer that says what is in them.

    pack    := header (wraps for CONTENT and INDEX) · segments · footer · trailer
    segment := a section under CONTENT, numbered from 0, padded
    footer  := a section under INDEX, numbered after the segments, last
    trailer := footer length u32 · number of segments u32

A pack describes itself: the index of blocks can be rebuilt from packs alone.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from blake3 import blake3

from snapfs.errors import FormatError
from snapfs.formats import codec, limits, objects, seal, wire
from snapfs.formats.seal import Context, EpochKeys, ObjectKeys, ObjectKind, Purpose, Random
from snapfs.model.identity import BlockKey, PackName, RepositoryId

KEY = 32
"bytes of a block key"
TARGET = 16 * limits.MEBIBYTE
"stored bytes at which a pack is closed"
SEGMENT_TARGET = 512 * 1024
"plain bytes at which a segment is closed"
SEGMENT_BLOCKS = 4096
"blocks at which a segment is closed, however small they are"
PACK_BLOCKS = 65536
"blocks at which a pack is closed"
_TRAILER = struct.Struct(">II")
TRAILER_LENGTH = _TRAILER.size


class SegmentRow(msgspec.Struct, frozen=True, array_like=True):
    """A segment as footer and block part list it. Its offset is the sum of those before it."""

    stored: wire.Count
    "bytes in the pack"
    keys: bytes
    "the keys of its blocks, one after the other"
    lengths: tuple[wire.Count, ...]
    "plain bytes of each block"

    @property
    def plain(self) -> int:
        return sum(self.lengths)

    def block_keys(self) -> list[BlockKey]:
        return [BlockKey(self.keys[at : at + KEY]) for at in range(0, len(self.keys), KEY)]


class PackRow(msgspec.Struct, frozen=True, array_like=True):
    """A pack as a block part lists it. The header is repeated, so that one get reads a segment."""

    name: wire.Name
    size: wire.Count
    "stored bytes of the whole object"
    header: bytes
    segments: tuple[SegmentRow, ...]


class _Footer(msgspec.Struct, frozen=True, array_like=True):
    segments: tuple[SegmentRow, ...]


_footer_decoder = msgspec.msgpack.Decoder(_Footer)


@dataclass(frozen=True, slots=True)
class Packed:
    """A segment that is compressed and not yet sealed."""

    keys: bytes
    lengths: tuple[int, ...]
    codec: codec.Codec
    data: bytes

    @property
    def stored(self) -> int:
        return seal.sealed_length(len(self.data), padded=True)


def block_key(plain: bytes | memoryview, block_id_key: bytes) -> BlockKey:
    """The key of a block."""
    return BlockKey(blake3(plain, key=block_id_key).digest())


def pack_segment(plain: bytes, keys: bytes, lengths: tuple[int, ...], level: int) -> Packed:
    """Compress the blocks that stand one after the other in `plain`."""
    method, data = codec.compress(plain, level)
    return Packed(keys, lengths, method, data)


def context(repository: RepositoryId, name: bytes) -> Context:
    """The context of the pack of this name."""
    return Context(repository, ObjectKind.PACK, objects.pack(name))


def build(
    name: PackName, segments: Iterable[Packed], repository: RepositoryId, keys: EpochKeys,
    random: Random,
) -> tuple[PackRow, bytes]:  # fmt: skip
    """A whole pack and its row. The bytes are not yet verified: `verify` does that."""
    header, opened = seal.new_object(
        context(repository, name), (Purpose.CONTENT, Purpose.INDEX), keys, random
    )
    pieces, rows = [header], []
    for index, segment in enumerate(segments):
        packed = (segment.codec, segment.data, sum(segment.lengths))
        sealed = seal.seal_section(opened, Purpose.CONTENT, index, packed, last=False, padded=True)
        pieces.append(sealed)
        rows.append(SegmentRow(len(sealed), segment.keys, segment.lengths))
    pieces.extend(_footer(opened, tuple(rows)))
    data = b"".join(pieces)
    return PackRow(name, len(data), header, tuple(rows)), data


def open_keys(header: bytes, repository: RepositoryId, name: bytes, keys: EpochKeys) -> ObjectKeys:
    """The keys of a pack from its header. Raises FormatError."""
    return seal.read_header(header, context(repository, name), keys)[1]


def open_segment(opened: ObjectKeys, index: int, sealed: bytes | memoryview) -> bytes:
    """The plain bytes of a segment. Raises FormatError where it is damaged."""
    return seal.open_section(
        opened, Purpose.CONTENT, index, sealed, last=False, limit=limits.SEGMENT
    )


def footer_span(trailer: bytes, size: int) -> tuple[int, int]:
    """Offset and length of the footer of a pack of `size` bytes that ends in `trailer`."""
    length, _ = _unpack_trailer(trailer)
    offset = size - TRAILER_LENGTH - length
    if length > limits.stored_bound(limits.FOOTER) or offset < 0:
        raise FormatError("the trailer of a pack is damaged")
    return offset, length


def open_footer(
    opened: ObjectKeys, footer: bytes, trailer: bytes, footer_offset: int, header_length: int
) -> tuple[SegmentRow, ...]:
    """The segments that a footer lists, checked against their place. Raises FormatError."""
    _, count = _unpack_trailer(trailer)
    plain = seal.open_section(opened, Purpose.INDEX, count, footer, last=True, limit=limits.FOOTER)
    rows = wire.decode(_footer_decoder, plain, opened.context.name).segments
    check_rows(rows, opened.context.name)
    if len(rows) != count or header_length + sum(row.stored for row in rows) != footer_offset:
        raise FormatError(f"{opened.context.name}: its footer does not fit its segments")
    return rows


def read_whole(
    data: bytes, repository: RepositoryId, name: bytes, keys: EpochKeys
) -> tuple[PackRow, ObjectKeys]:
    """The row of a pack from its bytes alone. Raises FormatError."""
    header_length, opened = seal.read_header(data, context(repository, name), keys)
    trailer = data[-TRAILER_LENGTH:]
    offset, length = footer_span(trailer, len(data))
    footer = data[offset : offset + length]
    rows = open_footer(opened, footer, trailer, offset, header_length)
    return PackRow(name, len(data), data[:header_length], rows), opened


def verify(data: bytes, row: PackRow, repository: RepositoryId, keys: EpochKeys,
           block_id_key: bytes) -> None:  # fmt: skip
    """Read a finished pack back as a reader would, down to each block's key.

    Raises FormatError. Memory and processors that flip bits are real: a pack that does not read
    back must not leave the machine while its content can still be read again.
    """
    found, opened = read_whole(data, repository, row.name, keys)
    if found != row:
        raise FormatError(f"{opened.context.name}: does not read back as it was written")
    offset = len(row.header)
    view = memoryview(data)
    for index, segment in enumerate(row.segments):
        plain = open_segment(opened, index, view[offset : offset + segment.stored])
        check_blocks(plain, segment, block_id_key, opened.context.name)
        offset += segment.stored


def check_blocks(plain: bytes, segment: SegmentRow, block_id_key: bytes, name: str) -> None:
    """Check every block of a segment against its key. Raises FormatError."""
    view, position = memoryview(plain), 0
    for key, length in zip(segment.block_keys(), segment.lengths, strict=True):
        if block_key(view[position : position + length], block_id_key) != key:
            raise FormatError(f"{name}: a block does not match its id")
        position += length
    if position != len(plain):
        raise FormatError(f"{name}: a segment has more bytes than its blocks")


def check_rows(rows: tuple[SegmentRow, ...], name: str) -> None:
    """Check that segment rows are within bounds. Raises FormatError."""
    for row in rows:
        sound = (
            len(row.keys) == KEY * len(row.lengths)
            and min(row.lengths, default=0) > 0
            and row.plain <= limits.SEGMENT
            and 0 < row.stored <= limits.stored_bound(limits.SEGMENT)
        )
        if not sound:
            raise FormatError(f"{name}: lists a segment that cannot be")


def check_pack(row: PackRow) -> None:
    """Check that a pack's row is within bounds and its segments within it. Raises FormatError."""
    name = objects.pack(row.name)
    check_rows(row.segments, name)
    begin = len(row.header)
    end = begin + sum(segment.stored for segment in row.segments)
    if not begin <= seal.HEADER_BOUND or not end + TRAILER_LENGTH < row.size <= limits.PACK:
        raise FormatError(f"{name}: is listed as a pack that cannot be")


def _unpack_trailer(trailer: bytes) -> tuple[int, int]:
    if len(trailer) != TRAILER_LENGTH:
        raise FormatError("a pack is cut short")
    length, count = _TRAILER.unpack(trailer)
    return length, count


def _footer(opened: ObjectKeys, rows: tuple[SegmentRow, ...]) -> tuple[bytes, bytes]:
    plain = wire.encode(_Footer(rows))
    packed, data = codec.compress(plain, codec.DEFAULT_LEVEL)
    footer = seal.seal_section(
        opened, Purpose.INDEX, len(rows), (packed, data, len(plain)), last=True
    )
    return footer, _TRAILER.pack(len(footer), len(rows))
