"""Questions about blocks: which are here, and where they lie."""

from dataclasses import dataclass

from snapfs.metadata.blocks import tag_of
from snapfs.metadata.database import Database
from snapfs.metadata.heads import DELETING
from snapfs.model.identity import BlockKey, BlockNumber, SegmentNumber


@dataclass(frozen=True, slots=True)
class KnownBlock:
    """A stored copy of a block."""

    number: BlockNumber
    length: int
    pack: int
    "number of the pack that holds it"


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

    def find(self, key: BlockKey) -> KnownBlock | None:
        """A stored copy of this block on which a commit may rely."""
        for number, length, pack in self._db.rows(
            "SELECT b.number, b.length, s.pack FROM block b JOIN segment s ON s.number = b.segment"
            " WHERE b.tag = ? AND b.key = ? ORDER BY b.number",
            (tag_of(key), key),
        ):
            if self._usable(pack):
                return KnownBlock(BlockNumber(number), length, pack)
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

    def fates(self, packs: set[int]) -> tuple[list[bytes], list[bytes]]:
        """The condemned packs among these (by number), and those that are being deleted."""
        condemned: list[bytes] = []
        doomed: list[bytes] = []
        for number, name, state in self._db.rows(
            "SELECT p.number, f.pack, f.state FROM fate f JOIN pack p ON p.name = f.pack"
        ):
            if number in packs:
                (condemned if state < DELETING else doomed).append(name)
        return condemned, doomed

    def _usable(self, pack: int) -> bool:
        """Whether no record has said that this pack is being deleted."""
        row = self._db.row(
            "SELECT 1 FROM fate f JOIN pack p ON f.pack = p.name"
            " WHERE p.number = ? AND f.state >= ?",
            (pack, DELETING),
        )
        return row is None
