"""How a content stands in the database: a msgpack list of integers, code and length by turns.

A code of 0 or more is a block's number, -1 a hole, -2 - n list n. The lengths are repeated from the
block table, so that a read at some offset looks up only the blocks that it needs.
"""

from collections.abc import Iterable

import msgspec

from snapfs.errors import ViewDamagedError
from snapfs.model.content import Content, Extent, Hole, Listed, Stored

_decoder = msgspec.msgpack.Decoder(list[int])
_encoder = msgspec.msgpack.Encoder()
_HOLE = -1
_ONE_EXTENT = 0x92
"how msgpack begins a list of two"
_FIRST_NEGATIVE = 0xD0
"how msgpack begins a negative number: this, or something above"
ONE_BLOCK = "(substr({0}, 1, 1) = x'92' AND substr({0}, 2, 1) < x'd0')"
"SQL: `is_one_block` of a column"
# What msgpack writes for numbers from 0 on is in their order, byte by byte; behind one byte for a
# list of less than 16.
BEGINS_BEFORE = "({0} >= x'a0' OR substr({0}, 2, 1) >= x'd0' OR substr({0}, 2, 9) < {1})"
"SQL: false of a column that begins with a block from the number on that `number` gives"


def encode(extents: Iterable[Extent]) -> bytes:
    """The column's value of a content or list."""
    flat: list[int] = []
    for extent in extents:
        flat.append(_code(extent))
        flat.append(extent.length)
    return _encoder.encode(flat)


def number(block: int) -> bytes:
    """A block's number as it stands in a column."""
    return _encoder.encode(block)


def encode_one(number: int, length: int) -> bytes:
    """The column's value of a content that is one block."""
    return _encoder.encode((number, length))


def decode(data: bytes) -> Content:
    """The content in a column. Raises ViewDamagedError."""
    try:
        flat = _decoder.decode(data)
        if len(flat) == 2:  # as of most files
            return (_extent(flat[0], flat[1]),)
        return tuple(
            _extent(code, length) for code, length in zip(flat[::2], flat[1::2], strict=True)
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise ViewDamagedError(
            f"the local database holds a content that cannot be read ({error})",
            hint="'snapfs repair' builds it again from the repository",
        ) from error


def is_one_block(data: bytes) -> bool:
    """Whether a content is a single block, told without reading it: most files are."""
    return data[0] == _ONE_EXTENT and data[1] < _FIRST_NEGATIVE


def _code(extent: Extent) -> int:
    if isinstance(extent, Stored):
        return extent.number
    return _HOLE if isinstance(extent, Hole) else -2 - extent.number


def _extent(code: int, length: int) -> Extent:
    if code >= 0:
        return Stored(code, length)
    return Hole(length) if code == _HOLE else Listed(-2 - code, length)
