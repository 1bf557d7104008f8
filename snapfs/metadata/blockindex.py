"""Questions about blocks: which are here, and where they lie."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from snapfs.errors import ViewDamagedError
from snapfs.metadata.blocks import tag_of
from snapfs.metadata.database import Database
from snapfs.metadata.fates import DELETING
from snapfs.model.identity import OPEN, BlockKey, BlockNumber, SegmentNumber


@dataclass(frozen=True, slots=True)
class KnownBlock:
    """A stored copy of a block."""

    number: BlockNumber
    length: int
    pack: int
    "number of the pack that holds it"


@dataclass(frozen=True, slots=True)
class Fates:
    """Names of packs and parts that are on their way out."""

    condemned: tuple[bytes, ...]
    "can be rescued by a commit that names them"
    doomed: tuple[bytes, ...]
    "being deleted, or gone: no commit may rely on them"


@dataclass(frozen=True, slots=True)
class Origin:
    """A segment as it was stored first."""

    pack: bytes
    segment: int
    "its place in the pack"
    first: int
    "number of its first block"
    blocks: int


class Place(msgspec.Struct, frozen=True, gc=False):
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
            if self._usable(number, pack):
                return KnownBlock(BlockNumber(number), length, pack)
        return None

    def end(self) -> int:
        """A number above those of all blocks: 0 where none is known."""
        row = self._db.row("SELECT max(number) + 1 FROM block")
        return row[0] or 0 if row else 0

    def tags_from(self, number: int, count: int) -> list[tuple[int, int]]:
        """The next `count` blocks from this number on, each with the first bytes of its key."""
        return self._db.rows(
            "SELECT number, tag FROM block WHERE number >= ? ORDER BY number LIMIT ?",
            (number, count),
        )

    def any_suspect(self) -> bool:
        """Whether any stored copy is known to be damaged."""
        # The number is written out: only so does SQLite see that the partial index answers it.
        return self._db.row(f"SELECT 1 FROM suspect WHERE last = {OPEN} LIMIT 1") is not None

    def damaged_copies(self, key: BlockKey) -> list[int]:
        """The stored copies of this block that are known to be damaged."""
        return [
            number
            for (number,) in self._db.rows(
                f"SELECT b.number FROM block b JOIN suspect d ON d.block = b.number"
                f" AND d.last = {OPEN} WHERE b.tag = ? AND b.key = ?",
                (tag_of(key), key),
            )
        ]

    def copies(self, key: BlockKey) -> list[int]:
        """All stored copies of this block, whatever is known of them."""
        found = self._db.rows(
            "SELECT number FROM block WHERE tag = ? AND key = ? ORDER BY number", (tag_of(key), key)
        )
        return [int(number) for (number,) in found]

    def is_suspect(self, number: int) -> bool:
        """Whether a copy is known to be damaged."""
        row = self._db.row(
            "SELECT 1 FROM suspect WHERE block = ? AND last = ? LIMIT 1", (number, OPEN)
        )
        return row is not None

    def origin(self, number: int) -> Origin:
        """Where a block was first stored, which is how parts name it, wherever it lies now."""
        row = self._db.row(
            "SELECT p.name, s.place, s.block, s.blocks FROM segment s"
            " JOIN pack p ON p.number = s.pack WHERE s.block <= ? ORDER BY s.block DESC LIMIT 1",
            (number,),
        )
        if row is None or number >= row[2] + row[3]:
            raise ViewDamagedError(
                f"{self._db.path}: block {number} has never been stored",
                hint="'snapfs repair' builds the database again",
            )
        return Origin(row[0], row[1], row[2], row[3])

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

    def places(self, numbers: Collection[int]) -> dict[int, Place]:
        """Where blocks lie now, by their numbers; those that are not known are left out."""
        if len(numbers) == 1:
            (number,) = numbers
            place = self.place(number)
            return {} if place is None else {number: place}
        return {
            number: Place(*place)
            for number, *place in self._db.rows(
                "SELECT b.number, b.key, b.segment, b.offset, b.length FROM json_each(?) j"
                " CROSS JOIN block b ON b.number = j.value",
                (msgspec.json.encode(numbers).decode(),),
            )
        }

    def segment(self, number: SegmentNumber) -> SegmentPlace | None:
        """Where a segment lies."""
        row = self._db.row(
            "SELECT p.name, p.header, s.place, s.offset, s.stored, s.plain"
            " FROM segment s JOIN pack p ON p.number = s.pack WHERE s.number = ?",
            (number,),
        )
        return SegmentPlace(*row) if row else None

    def fates(self, packs: set[int], names: Iterable[bytes] = ()) -> Fates:
        """What is on its way out among packs (by number), and packs and parts (by name)."""
        # What has gone stays in the table for ever: it is asked by what is in hand, not read.
        states: dict[bytes, int] = dict(
            self._db.rows(
                "SELECT f.name, f.state FROM json_each(?) j"
                " CROSS JOIN pack p ON p.number = j.value CROSS JOIN fate f ON f.name = p.name",
                (msgspec.json.encode(sorted(packs)).decode(),),
            )
        )
        for name in names:
            states.update(self._db.rows("SELECT name, state FROM fate WHERE name = ?", (name,)))
        return Fates(
            condemned=tuple(sorted(name for name, state in states.items() if state < DELETING)),
            doomed=tuple(sorted(name for name, state in states.items() if state >= DELETING)),
        )

    def _usable(self, number: int, pack: int) -> bool:
        """Whether a copy is not known to be damaged, nor its pack to be on its way out for good."""
        row = self._db.row(
            "SELECT 1 FROM fate f JOIN pack p ON f.name = p.name"
            " WHERE p.number = ?1 AND f.state >= ?2"
            " UNION ALL SELECT 1 FROM suspect WHERE block = ?3 AND last = ?4",
            (pack, DELETING, number, OPEN),
        )
        return row is None
