"""New blocks on their way to segments; known ones are referred to.

A block that is new takes the next position among the record's blocks, at once and for good: even
a delta that is thrown away keeps its blocks.
"""

from collections.abc import Callable

from snapfs.errors import DeltaVoidError, FormatError
from snapfs.formats import packs
from snapfs.jobs.ingest.contents import Item
from snapfs.jobs.ingest.known import KnownBlocks
from snapfs.metadata.blockindex import BlockIndex
from snapfs.model.identity import BlockKey
from snapfs.repository.writer import AT_ONCE, Segment


class BlockSink:
    """Dedups blocks against the repository and against those that wait to be committed."""

    def __init__(
        self, index: BlockIndex, block_id_key: bytes, emit: Callable[[list[Segment]], None]
    ) -> None:
        self._index = index
        self._known = KnownBlocks(index)
        self._block_id_key = block_id_key
        self._emit = emit
        self._pending: dict[bytes, int] = {}
        "key → position of blocks that no record names yet"
        self._pieces: list[bytes] = []
        self._keys: list[bytes] = []
        self._size = 0
        self._segments: list[Segment] = []
        "closed, and not yet handed over"
        self.relied: set[int] = set()
        """Numbers of the packs that hold the known blocks which deltas refer to. Kept beyond a
        commit: a file that is still being read refers to blocks of which no entry speaks yet."""
        self._moved: list[tuple[int, int]] = []
        "damaged copies by number, and the position at which the same block is stored anew"
        self.healed = 0
        "damaged copies that were stored anew so far"
        self.new_blocks = 0
        "in the open segment and all since the last commit"
        self.new_bytes = 0
        self.total_new_bytes = 0
        self.look_again()

    def look_again(self) -> None:
        """Learn what is stored, and whether there are damaged copies at all.

        What others store meanwhile is missed until then, and costs a second copy or waits for the
        next ingest.
        """
        self._known.look_again()
        self._any_damaged = self._index.any_suspect()

    def add(self, plain: bytes | memoryview, key: BlockKey | None = None) -> Item:
        """The item of this block, whose key may be known; its bytes are copied if they are new."""
        key = key or packs.block_key(plain, self._block_id_key)
        length = len(plain)
        position = self._pending.get(key)
        if position is not None:
            return Item(position, key, length)
        known = self._known.find(key)
        if known is not None:
            if known.length != length:
                raise FormatError(f"block {key.hex()[:16]} is known with another length")
            self.relied.add(known.pack)
            return Item(key, key, length)
        return Item(self._append(key, plain, length), key, length)

    def rely(self, key: bytes) -> None:
        """A delta will refer to this known block by its key."""
        known = self._index.find(BlockKey(key))
        if known is None:
            raise DeltaVoidError(f"block {key.hex()[:16]} is not in the repository any more")
        self.relied.add(known.pack)

    def take_moved(self) -> list[tuple[int, int]]:
        """Damaged copies that new blocks replace, in order of number; each is given out once."""
        moved, self._moved = sorted(self._moved), []
        return moved

    def flush(self) -> None:
        """Hand over all segments, the open one too."""
        self._close_segment()
        if self._segments:
            segments, self._segments = self._segments, []
            self._emit(segments)

    def committed(self) -> None:
        """All blocks so far are in the replica: they are known from now on."""
        self._pending.clear()
        self._moved.clear()
        self.new_blocks = self.new_bytes = 0
        self.look_again()

    def _append(self, key: BlockKey, plain: bytes | memoryview, length: int) -> int:
        if self._pieces and self._size + length > packs.SEGMENT_TARGET * 3 // 2:
            self._close_segment()
        position = self._pending[key] = self.new_blocks
        if self._any_damaged:
            damaged = self._index.damaged_copies(key)
            self._moved.extend((number, position) for number in damaged)
            self.healed += len(damaged)
        self._pieces.append(bytes(plain))
        self._keys.append(key)
        self._size += length
        self.new_blocks += 1
        self.new_bytes += length
        self.total_new_bytes += length
        if self._size >= packs.SEGMENT_TARGET or len(self._pieces) >= packs.SEGMENT_BLOCKS:
            self._close_segment()
            if len(self._segments) >= AT_ONCE:
                self.flush()
        return position

    def _close_segment(self) -> None:
        if self._pieces:
            lengths = tuple(map(len, self._pieces))
            plain = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._segments.append(Segment(plain, b"".join(self._keys), lengths))
            self._pieces, self._keys, self._size = [], [], 0
