"""Rows of block parts that name older blocks: by the segment that each was first stored in."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from snapfs.formats.parts import MoveRow, SuspectRow
from snapfs.metadata.blockindex import BlockIndex, Origin


def moves_of(index: BlockIndex, moved: Iterable[tuple[int, int]]) -> Iterator[MoveRow]:
    """Blocks by number, and the positions at which a record's packs hold them now."""
    placed = ((index.origin(number), number, position) for number, position in moved)
    for origin, group in groupby(placed, key=_origin):
        held = list(group)
        places = tuple(number - origin.first for _, number, _ in held)
        positions = tuple(position for _, _, position in held)
        yield MoveRow(origin.pack, origin.segment, places, positions)


def suspects_of(index: BlockIndex, numbers: Iterable[int]) -> Iterator[SuspectRow]:
    """Blocks by number that are not to be relied on."""
    placed = ((index.origin(number), number, 0) for number in numbers)
    for origin, group in groupby(placed, key=_origin):
        places = tuple(number - origin.first for _, number, _ in group)
        yield SuspectRow(origin.pack, origin.segment, places)


def _origin(placed: tuple[Origin, int, int]) -> Origin:
    return placed[0]
