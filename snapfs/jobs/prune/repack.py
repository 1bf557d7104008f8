"""Repacking: what is needed of some packs is copied to new ones, in the order of block numbers.

That is the order in which an ingest met them, so neighbours in a tree stay neighbours in packs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from snapfs.errors import FormatError, ObjectNotFoundError
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import MoveRow
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.replica import Replica
from snapfs.model.identity import SegmentNumber
from snapfs.model.pruning import PackState
from snapfs.repository.copying import BlockCopier, StoredBlock
from snapfs.repository.moving import moves_of

_BATCH_BYTES = 1024**3
"plain bytes that are copied before what was done is committed"
_BATCH_BLOCKS = 150_000
"blocks after which it is, too: they are held in memory"
_AHEAD = 16
"segments that are fetched ahead"


@dataclass(slots=True)
class Repacked:
    """What came of one batch of packs."""

    rows: list[PackRow] = field(default_factory=list)
    "the new packs, durable in the store"
    moves: list[MoveRow] = field(default_factory=list)
    damaged: dict[bytes, str] = field(default_factory=dict)
    "packs of which a needed block cannot be read, and why: nothing of them has moved"


def batches(
    replica: Replica, needed: NumberSet, chosen: list[PackState]
) -> Iterator[tuple[list[PackState], list[StoredBlock]]]:
    """The packs in batches of bounded size, each with its needed blocks in order of number.

    One pass over the blocks; what was found waits in a temporary table.
    """
    _collect(replica, needed, {pack.number for pack in chosen})
    batch: list[PackState] = []
    size = blocks = 0
    for pack in sorted(chosen, key=lambda pack: pack.number):
        batch.append(pack)
        row = replica.db.row(
            "SELECT coalesce(sum(length), 0), count(*) FROM temp.live WHERE pack = ?",
            (pack.number,),
        )
        size, blocks = (size + row[0], blocks + row[1]) if row else (size, blocks)
        if size >= _BATCH_BYTES or blocks >= _BATCH_BLOCKS:
            yield batch, _blocks_of(replica, batch)
            batch, size, blocks = [], 0, 0
    if batch:
        yield batch, _blocks_of(replica, batch)


async def copy_blocks(
    blocks: list[StoredBlock], index: BlockIndex, copier: BlockCopier
) -> Repacked:
    """Copy blocks to new packs.

    A pack of which one cannot be read keeps all of its blocks: what is whole in it may be all that
    is left.
    """
    moved: list[tuple[StoredBlock, int]] = []
    damaged: dict[bytes, str] = {}
    for at, block in enumerate(blocks):
        if at % _AHEAD == 0:
            copier.start(blocks[at : at + 2 * _AHEAD])
        if (pack := _pack_of(index, block)) in damaged:
            continue
        position = copier.positions.get(block.key)
        if position is None:
            try:
                plain = await copier.read(block)
            except (FormatError, ObjectNotFoundError) as error:
                damaged[pack] = error.what
                continue
            position = await copier.add(block.key, plain)
        moved.append((block, position))
    stays = [(each.number, at) for each, at in moved if _pack_of(index, each) not in damaged]
    return Repacked(await copier.flush(), list(moves_of(index, stays)), damaged)


def _pack_of(index: BlockIndex, block: StoredBlock) -> bytes:
    place = index.segment(SegmentNumber(block.segment))
    return place.pack if place else b""


def _collect(replica: Replica, needed: NumberSet, chosen: set[int]) -> None:
    db = replica.db
    db.execute("DROP TABLE IF EXISTS temp.live")
    db.execute("CREATE TEMP TABLE live (pack, number, key, segment, offset, length)")
    db.execute_many(
        "INSERT INTO live VALUES (?, ?, ?, ?, ?, ?)",
        (
            (pack, number, key, segment, offset, length)
            for number, key, segment, offset, length, pack in db.stream(
                "SELECT b.number, b.key, b.segment, b.offset, b.length, s.pack"
                " FROM block b JOIN segment s ON s.number = b.segment ORDER BY b.number"
            )
            if pack in chosen and number in needed
        ),
    )
    db.execute("CREATE INDEX temp.live_pack ON live (pack)")


def _blocks_of(replica: Replica, batch: list[PackState]) -> list[StoredBlock]:
    rows = [
        StoredBlock(*row)
        for pack in batch
        for row in replica.db.rows(
            "SELECT number, key, segment, offset, length FROM temp.live WHERE pack = ?",
            (pack.number,),
        )
    ]
    return sorted(rows, key=lambda block: block.number)
