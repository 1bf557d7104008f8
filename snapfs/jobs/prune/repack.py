"""Repacking: what is needed of some packs is copied to new ones, in the order of block numbers.

That is the order in which an ingest met them, so neighbours in a tree stay neighbours in packs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from snapfs.errors import DamagedError, FormatError, ObjectNotFoundError
from snapfs.formats import packs
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import MoveRow
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.replica import Replica
from snapfs.model.identity import SegmentNumber
from snapfs.model.pruning import PackState
from snapfs.repository.keys import Keys
from snapfs.repository.moving import moves_of
from snapfs.repository.segments import SegmentFetcher, Wanted
from snapfs.repository.writer import PackWriter, Segment

_BATCH_BYTES = 1024**3
"plain bytes that are copied before what was done is committed"
_AHEAD = 16
"segments that are fetched ahead"


@dataclass(frozen=True, slots=True)
class LiveBlock:
    """A needed block in a pack that is to go."""

    number: int
    key: bytes
    segment: int
    offset: int
    length: int


@dataclass(slots=True)
class Repacked:
    """What came of one batch of packs."""

    rows: list[PackRow] = field(default_factory=list)
    "the new packs, durable in the store"
    moves: list[MoveRow] = field(default_factory=list)


def batches(
    replica: Replica, needed: NumberSet, chosen: list[PackState]
) -> Iterator[tuple[list[PackState], list[LiveBlock]]]:
    """The packs in batches of bounded size, each with its needed blocks in order of number.

    One pass over the blocks; what was found waits in a temporary table.
    """
    _collect(replica, needed, {pack.number for pack in chosen})
    batch: list[PackState] = []
    size = 0
    for pack in sorted(chosen, key=lambda pack: pack.number):
        batch.append(pack)
        row = replica.db.row(
            "SELECT coalesce(sum(length), 0) FROM temp.live WHERE pack = ?", (pack.number,)
        )
        size += row[0] if row else 0
        if size >= _BATCH_BYTES:
            yield batch, _blocks_of(replica, batch)
            batch, size = [], 0
    if batch:
        yield batch, _blocks_of(replica, batch)


async def copy_blocks(
    blocks: list[LiveBlock], index: BlockIndex, fetcher: SegmentFetcher, writer: PackWriter,
    keys: Keys,
) -> Repacked:  # fmt: skip
    """Copy blocks to new packs. Each is checked against its key before it is sealed again.

    Raises DamagedError for a block that cannot be read: then nothing may be condemned.
    """
    positions: dict[bytes, int] = {}
    moved: list[tuple[int, int]] = []
    open_segment = _OpenSegment()
    for at, block in enumerate(blocks):
        if at % _AHEAD == 0:
            fetcher.start(_wanted(index, item) for item in blocks[at : at + 2 * _AHEAD])
        position = positions.get(block.key)
        if position is None:
            plain = await _read(block, index, fetcher, keys)
            position = positions[block.key] = len(positions)
            if full := open_segment.add(block.key, plain):
                await writer.add(full)
        moved.append((block.number, position))
    if rest := open_segment.take():
        await writer.add(rest)
    rows = await writer.flush()
    return Repacked(rows, list(moves_of(index, moved)))


class _OpenSegment:
    """Blocks that come together to a segment."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._keys: list[bytes] = []
        self._size = 0

    def add(self, key: bytes, plain: bytes) -> Segment | None:
        """Take a block; the segment, once it is full."""
        self._pieces.append(plain)
        self._keys.append(key)
        self._size += len(plain)
        full = self._size >= packs.SEGMENT_TARGET or len(self._pieces) >= packs.SEGMENT_BLOCKS
        return self.take() if full else None

    def take(self) -> Segment | None:
        """What there is."""
        if not self._pieces:
            return None
        lengths = tuple(len(piece) for piece in self._pieces)
        segment = Segment(b"".join(self._pieces), b"".join(self._keys), lengths)
        self._pieces, self._keys, self._size = [], [], 0
        return segment


async def _read(block: LiveBlock, index: BlockIndex, fetcher: SegmentFetcher, keys: Keys) -> bytes:
    try:
        segment = await fetcher.get(_wanted(index, block))
    except (FormatError, ObjectNotFoundError) as error:
        raise _unreadable(block, str(error)) from error
    plain = segment.data[block.offset : block.offset + block.length]
    if packs.block_key(plain, keys.block_id) != block.key:
        raise _unreadable(block, "it does not match its id")
    return plain


def _wanted(index: BlockIndex, block: LiveBlock) -> Wanted:
    place = index.segment(SegmentNumber(block.segment))
    if place is None:
        raise _unreadable(block, "its segment is not in the database")
    return Wanted(block.segment, place)


def _unreadable(block: LiveBlock, detail: str) -> DamagedError:
    return DamagedError(
        f"block {block.key.hex()[:16]} is needed and cannot be read: {detail}",
        hint="nothing was condemned; run 'snapfs check --read-data', then 'snapfs repair'",
    )


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


def _blocks_of(replica: Replica, batch: list[PackState]) -> list[LiveBlock]:
    rows = [
        LiveBlock(*row)
        for pack in batch
        for row in replica.db.rows(
            "SELECT number, key, segment, offset, length FROM temp.live WHERE pack = ?",
            (pack.number,),
        )
    ]
    return sorted(rows, key=lambda block: block.number)
