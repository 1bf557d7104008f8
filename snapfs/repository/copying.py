"""Copying blocks to new packs. Each is checked against its key before it is sealed again.

Whoever copies decides what to copy, and in which order: neighbours stay neighbours.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from snapfs.errors import FormatError
from snapfs.formats import packs
from snapfs.formats.packs import PackRow
from snapfs.metadata.blockindex import BlockIndex
from snapfs.model.identity import SegmentNumber
from snapfs.repository.segments import SegmentFetcher, Wanted
from snapfs.repository.writer import PackWriter, Segment


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A copy of a block, and where it lies."""

    number: int
    key: bytes
    segment: int
    offset: int
    length: int


class BlockCopier:
    """Reads blocks, and brings them together to new segments.

    A key that was added has its position among the blocks since the last `flush`.
    """

    def __init__(
        self, index: BlockIndex, fetcher: SegmentFetcher, writer: PackWriter, block_id: bytes
    ) -> None:
        self._index = index
        self._fetcher = fetcher
        self._writer = writer
        self._block_id = block_id
        self.positions: dict[bytes, int] = {}
        self._pieces: list[bytes] = []
        self._keys: list[bytes] = []
        self._size = 0

    def start(self, blocks: Iterable[StoredBlock]) -> None:
        """Begin to fetch what will be read soon."""
        places = (self._wanted(block.segment) for block in blocks)
        self._fetcher.start(wanted for wanted in places if wanted is not None)

    async def read(self, block: StoredBlock) -> bytes:
        """The bytes of a block.

        Raises FormatError where they are damaged, ObjectNotFoundError where the pack is not there,
        StoreError.
        """
        wanted = self._wanted(block.segment)
        if wanted is None:
            raise FormatError("its segment is not in the database")
        segment = await self._fetcher.get(wanted)
        plain = segment.data[block.offset : block.offset + block.length]
        if packs.block_key(plain, self._block_id) != block.key:
            raise FormatError("it does not match its id")
        return plain

    def has(self, segment: int) -> bool:
        """Whether a segment is at hand."""
        return self._fetcher.cached(segment) is not None

    async def add(self, key: bytes, plain: bytes) -> int:
        """Take a block that is not in `positions` yet; its position."""
        position = self.positions[key] = len(self.positions)
        self._pieces.append(plain)
        self._keys.append(key)
        self._size += len(plain)
        if self._size >= packs.SEGMENT_TARGET or len(self._pieces) >= packs.SEGMENT_BLOCKS:
            await self._close_segment()
        return position

    async def flush(self) -> list[PackRow]:
        """The rows of the new packs, which are durable in the store. Positions begin anew."""
        await self._close_segment()
        self.positions.clear()
        return await self._writer.flush()

    async def _close_segment(self) -> None:
        if not self._pieces:
            return
        lengths = tuple(len(piece) for piece in self._pieces)
        segment = Segment(b"".join(self._pieces), b"".join(self._keys), lengths)
        self._pieces, self._keys, self._size = [], [], 0
        await self._writer.add(segment)

    def _wanted(self, segment: int) -> Wanted | None:
        place = self._index.segment(SegmentNumber(segment))
        return Wanted(segment, place) if place is not None else None
