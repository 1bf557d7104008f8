"""Block parts of what moves blocks: rows that name older ones, and the parts that hold the rows.

Moves and suspects have parts of their own. A part that only lists packs says nothing but what their
footers say, so that it can be made again if it is lost.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart, MoveRow, PartRef, SuspectRow
from snapfs.formats.records import New
from snapfs.metadata.blockindex import BlockIndex, Origin
from snapfs.repository.pieces import Parts

RowT = TypeVar("RowT", MoveRow, SuspectRow)
_ROWS = 20_000
"blocks that one part moves: about a megabyte"


async def upload_blocks(
    parts: Parts, rows: Sequence[PackRow], moves: Iterable[MoveRow],
    suspects: Iterable[SuspectRow] = (),
) -> tuple[tuple[PartRef, ...], New]:  # fmt: skip
    """Make the block parts of a record durable in the store; what it says of them.

    The packs are durable by now.
    """
    refs: list[PartRef] = []
    packs = segments = blocks = 0
    for row in rows:
        refs.append(await parts.upload(BlockPart((row,), ()), (blocks, segments, packs)))
        packs += 1
        segments += len(row.segments)
        blocks += sum(len(segment.lengths) for segment in row.segments)
    first = (blocks, segments, packs)
    refs += [await parts.upload(part, first) for part in moving_parts(moves, suspects)]
    return tuple(refs), New(packs=packs, segments=segments, blocks=blocks)


def moving_parts(
    moves: Iterable[MoveRow], suspects: Iterable[SuspectRow] = ()
) -> Iterator[BlockPart]:
    """These rows in parts of bounded size."""
    for held in _groups(moves):
        yield BlockPart((), tuple(held))
    for doubted in _groups(suspects):
        yield BlockPart((), (), tuple(doubted))


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


def _groups(rows: Iterable[RowT]) -> Iterator[list[RowT]]:
    group: list[RowT] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row.blocks)
        if size >= _ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group
