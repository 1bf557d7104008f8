"""Questions about blocks: which are here, and where they lie."""

from dataclasses import dataclass

from snapfs.metadata.blocks import tag_of
from snapfs.metadata.database import Database
from snapfs.metadata.heads import DELETING
from snapfs.model.identity import BlockKey, BlockNumber, SegmentNumber


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies: within the plain bytes of a segment."""

    key: BlockKey
    segment: SegmentNumber
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SegmentPlace:
    """Where a segment lies: a range of a pack."""

    pack: bytes
    header: bytes
    "of the pack: its sealed keys"
    place: int
    "index in the pack"
    offset: int
    stored: int
    plain: int


class BlockIndex:
    """Look-ups in the block tables. A look-up takes microseconds and is made inline."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, key: BlockKey) -> tuple[BlockNumber, int] | None:
        """Number and length of a stored copy of this block on which a commit may rely."""
        for number, segment, length in self._db.rows(
            "SELECT number, segment, length FROM block WHERE tag = ? AND key = ? ORDER BY number",
            (tag_of(key), key),
        ):
            if self._usable(segment):
                return BlockNumber(number), length
        return None

    def key(self, number: int) -> BlockKey | None:
        """The key of a block."""
        row = self._db.row("SELECT key FROM block WHERE number = ?", (number,))
        return BlockKey(row[0]) if row else None

    def place(self, number: int) -> Place | None:
        """Where a block lies now."""
        row = self._db.row(
            "SELECT key, segment, offset, length FROM block WHERE number = ?", (number,)
        )
        return Place(*row) if row else None

    def segment(self, number: SegmentNumber) -> SegmentPlace | None:
        """Where a segment lies."""
        row = self._db.row(
            "SELECT p.name, p.header, s.place, s.offset, s.stored, s.plain"
            " FROM segment s JOIN pack p ON p.number = s.pack WHERE s.number = ?",
            (number,),
        )
        return SegmentPlace(*row) if row else None

    def condemned(self, numbers: list[int]) -> set[bytes]:
        """The condemned packs among those that hold these blocks."""
        return {
            name
            for number in numbers
            for (name,) in self._db.rows(
                "SELECT f.pack FROM block b JOIN segment s ON s.number = b.segment"
                " JOIN pack p ON p.number = s.pack JOIN fate f ON f.pack = p.name"
                " WHERE b.number = ?",
                (number,),
            )
            if isinstance(name, bytes)
        }

    def _usable(self, segment: int) -> bool:
        """Whether no record has said that the pack of this segment is being deleted."""
        row = self._db.row(
            "SELECT 1 FROM segment s JOIN pack p ON p.number = s.pack"
            " JOIN fate f ON f.pack = p.name WHERE s.number = ? AND f.state >= ?",
            (segment, DELETING),
        )
        return row is None
