"""A file's content as extents: blocks, holes and lists of extents, each with its length.

A content of more than `LIST_THRESHOLD` extents is cut into lists by the extents themselves, as a
file is cut into blocks, and the lists again, so that one changed block of a huge file renews a few
lists and not millions of ids. Nothing here does I/O.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeAlias

import msgspec

LIST_THRESHOLD = 1024
"extents that a node may hold itself"
LIST_MINIMUM = 64
LIST_MAXIMUM = 1024
LIST_MASK = 0xFF
"a list ends behind a block whose key's last byte is 0: 256 extents more on average"


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A block that the repository has, by its number here."""

    number: int
    length: int


class Hole(msgspec.Struct, frozen=True, gc=False):
    """Zeros that are not stored."""

    length: int


class Listed(msgspec.Struct, frozen=True, gc=False):
    """A list of extents that the repository has, by its number here."""

    number: int
    length: int
    "plain bytes of all that it holds"


Extent: TypeAlias = Stored | Hole | Listed
Content: TypeAlias = tuple[Extent, ...]


class Slice(msgspec.Struct, frozen=True):
    """A run of bytes wanted from one extent."""

    extent: Extent
    start: int
    "offset within the extent"
    length: int


def total_length(extents: Iterable[Extent]) -> int:
    """Plain bytes of these extents."""
    return sum(extent.length for extent in extents)


def hole_length(extents: Iterable[Extent]) -> int:
    """Bytes in holes directly among these extents (lists are not looked into)."""
    return sum(extent.length for extent in extents if isinstance(extent, Hole))


class Layout:
    """Extents with their offsets, for finding those that hold a range."""

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._extents = extents
        self._ends = list(accumulate(extent.length for extent in extents))

    @property
    def length(self) -> int:
        """Plain bytes of all extents."""
        return self._ends[-1] if self._ends else 0

    def slices(self, offset: int, length: int) -> Iterator[Slice]:
        """What parts of the extents make up `length` bytes from `offset`; clipped at the end."""
        end = offset + length
        at = bisect_right(self._ends, offset)
        while at < len(self._extents) and offset < end:
            extent = self._extents[at]
            behind = self._ends[at]
            start = offset - (behind - extent.length)
            taken = min(end, behind) - offset
            yield Slice(extent, start, taken)
            offset += taken
            at += 1


def list_ends(tails: Sequence[int]) -> list[int]:
    """Where a sequence of extents is cut into lists: the positions behind each list's last extent.

    `tails` holds a number for each extent, drawn from its content (the last bytes of its key), so
    that an insertion moves only the cuts next to it.
    """
    ends: list[int] = []
    begin = 0
    for position, tail in enumerate(tails, start=1):
        length = position - begin
        if length >= LIST_MAXIMUM or (length >= LIST_MINIMUM and tail & LIST_MASK == 0):
            ends.append(position)
            begin = position
    if begin < len(tails):
        ends.append(len(tails))
    return ends
