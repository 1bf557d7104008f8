"""The replica as a whole: its position in the log, its streams, and the pieces they wait for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from snapfs.errors import ViewDamagedError
from snapfs.formats import records
from snapfs.formats.parts import BlockPart, EntryPart, PartRef
from snapfs.formats.records import Head, Ingest
from snapfs.metadata.blocks import apply_blocks
from snapfs.metadata.database import Database, Row
from snapfs.metadata.entries import Bases, apply_entries
from snapfs.metadata.heads import Published, apply_heads, check_source_head
from snapfs.model.identity import NO_COMMIT, Commit

SCHEMA = "replica.sql"
VERSION = 1
BLOCKS = 0
"the stream of block parts; a source's number is the stream of its entries"

_head_decoder = msgspec.msgpack.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Tip:
    """The last record that a replica knows."""

    number: Commit
    hash: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """A part that a stream has to apply next, or after those before it."""

    stream: int
    record: Commit
    index: int
    "of the part among those of its record and stream"
    ref: PartRef


class Replica:
    """The view of the log in one database file. Every process has its own connection to it."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @classmethod
    def open(cls, path: Path) -> "Replica":
        """Open the replica at `path`, an empty one where there is none. Raises as Database."""
        return cls(Database.create_or_open(path, SCHEMA, VERSION))

    def tip(self) -> Tip:
        """The last record known; number 0 where there is none."""
        row = self.db.row("SELECT number, hash FROM log ORDER BY number DESC LIMIT 1")
        return Tip(Commit(row[0]), row[1]) if row else Tip(NO_COMMIT, records.NO_HASH)

    def attempt(self, attempt: bytes) -> Commit | None:
        """The number of the record that this attempt became."""
        row = self.db.row("SELECT number FROM log WHERE attempt = ?", (attempt,))
        return Commit(row[0]) if row else None

    def head(self, number: Commit) -> Head:
        """The head of a record that is known."""
        row = self.db.row("SELECT head FROM log WHERE number = ?", (number,))
        if row is None:
            raise ViewDamagedError(f"{self.db.path}: record {number} is missing")
        return _decode_head(row[0], self.db.path)

    def apply_heads(self, published: Sequence[Published]) -> None:
        """See `heads.apply_heads`."""
        apply_heads(self.db, published)

    def check_source_head(self, body: records.Body) -> None:
        """See `heads.check_source_head`."""
        check_source_head(self.db, body)

    def fact(self, name: str) -> str | None:
        """A fact about the repository: see the table."""
        row = self.db.row("SELECT value FROM fact WHERE name = ?", (name,))
        return str(row[0]) if row else None

    def pending(self, stream: int, limit: int) -> list[Piece]:
        """The next pieces that a stream has to apply, in order, at most `limit`."""
        pieces: list[Piece] = []
        record, index = self._cursor(stream)
        for number, head in self._heads(stream, record):
            refs = _refs(head, stream)
            begin = index if number == record else 0
            pieces.extend(
                Piece(stream, number, at, refs[at])
                for at in range(begin, min(len(refs), begin + limit - len(pieces)))
            )
            if len(pieces) == limit:
                return pieces
        if not pieces:
            self._skip_to(stream, self.tip().number + 1, (record, index))
        return pieces

    def apply_piece(self, piece: Piece, part: BlockPart | EntryPart) -> None:
        """Apply one piece in one transaction, unless another process has done so meanwhile."""
        with self.db.writing():
            record, index = self._cursor(piece.stream)
            if (piece.record, piece.index) < (record, index):
                return
            if isinstance(part, BlockPart):
                self._apply_blocks(piece, part)
            else:
                self._apply_entries(piece, part)
            self.db.execute(
                "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)",
                (piece.stream, piece.record, piece.index + 1),
            )

    def is_current(self, stream: int) -> bool:
        """Whether a stream has applied all that the known heads name."""
        return not self.pending(stream, 1)

    def _apply_blocks(self, piece: Piece, part: BlockPart) -> None:
        row = self._log_row(piece.record)
        new = records.new_ids(self.head(piece.record).body)
        blocks, segments, packs = (int(row[column]) for column in (0, 1, 2))
        apply_blocks(self.db, part, piece.ref, (blocks, segments, packs), new)

    def _apply_entries(self, piece: Piece, part: EntryPart) -> None:
        row = self._log_row(piece.record)
        body = self.head(piece.record).body
        assert isinstance(body, Ingest)
        anchor = self.db.row("SELECT anchor FROM snapshot WHERE number = ?", (piece.record,))
        assert anchor is not None
        blocks, _, _, nodes, lists, directories = (int(value) for value in row)
        bases = Bases(
            commit=piece.record,
            source=piece.stream,
            anchor=int(anchor[0]),
            source_head=body.source_head,
            blocks=blocks,
            nodes=nodes,
            lists=lists,
            directories=directories,
        )
        apply_entries(self.db, part, piece.ref, bases, body.new)

    def _log_row(self, number: Commit) -> Row:
        row = self.db.row(
            "SELECT blocks, segments, packs, nodes, lists, directories FROM log WHERE number = ?",
            (number,),
        )
        if row is None:
            raise ViewDamagedError(f"{self.db.path}: record {number} is missing")
        return row

    def _heads(self, stream: int, begin: int) -> Iterator[tuple[Commit, Head]]:
        for number, head in self.db.stream(
            "SELECT number, head FROM log WHERE number >= ?1 AND (?2 = 0 OR source = ?2)"
            " ORDER BY number",
            (begin, stream),
        ):
            yield Commit(number), _decode_head(head, self.db.path)

    def _cursor(self, stream: int) -> tuple[int, int]:
        row = self.db.row("SELECT record, piece FROM cursor WHERE stream = ?", (stream,))
        return (int(row[0]), int(row[1])) if row else (1, 0)

    def _skip_to(self, stream: int, record: int, seen: tuple[int, int]) -> None:
        """Move a stream that has nothing to apply to the end of what is known."""
        if seen[0] >= record:
            return
        with self.db.writing():
            if self._cursor(stream) == seen:
                self.db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, 0)", (stream, record))


def _refs(head: Head, stream: int) -> tuple[PartRef, ...]:
    return records.part_refs(head.body)[0 if stream == BLOCKS else 1]


def _decode_head(data: bytes, path: Path) -> Head:
    try:
        return _head_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ViewDamagedError(f"{path}: a record cannot be read ({error})") from error
