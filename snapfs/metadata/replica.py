"""The replica as a whole: its position in the log, its streams, and the pieces they wait for."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from snapfs.errors import ViewDamagedError
from snapfs.formats import records
from snapfs.formats.bases import BasePart, BlockBase, EntryBase
from snapfs.formats.parts import BlockPart, EntryPart, PartRef
from snapfs.formats.records import Head, Ingest
from snapfs.metadata import position, standins
from snapfs.metadata.baseloading import BaseLoading, cursor_of
from snapfs.metadata.bases import Standpoint, base_body, newest_base
from snapfs.metadata.blocks import apply_blocks
from snapfs.metadata.database import Database, Row
from snapfs.metadata.entries import Bases, apply_entries
from snapfs.metadata.heads import Published, apply_heads, check_body
from snapfs.metadata.position import BLOCKS, Tip
from snapfs.metadata.schema import SCHEMA, VERSION
from snapfs.model.identity import OPEN, Commit

AnyPart: TypeAlias = BlockPart | EntryPart | BasePart
_head_decoder = msgspec.msgpack.Decoder(Head)
_ref_decoder = msgspec.msgpack.Decoder(PartRef)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part that a stream has to apply next, or after those before it."""

    stream: int
    record: Commit
    index: int
    "of the part among those of its record and stream"
    ref: PartRef
    base: bool = False
    "the record restates the stream; the part is one of those that it begins with"


class Replica:
    """The view of the log in one database file. Every process has its own connections to it.

    What applies, and `pending`, may be called in any thread: one at a time has the connection that
    writes. The look-ups are for one thread, and never wait where they have a connection of their
    own.
    """

    def __init__(self, db: Database, *, reading: Database | None = None) -> None:
        self.db = db
        self._reading = reading or db
        self._writing = threading.RLock()
        self.lacks_base = False
        """A base was passed over when this was filled: parts of it are lost."""

    @classmethod
    def open(cls, path: Path) -> "Replica":
        """Open the replica at `path`, an empty one where there is none. Raises as Database."""
        return cls(Database.create_or_open(path, SCHEMA, VERSION))

    @classmethod
    def open_temporary(cls, path: Path) -> "Replica":
        """An empty replica that its caller removes in the end. Raises as Database."""
        replica = cls.open(path)
        replica.db.give_up_durability()
        return replica

    def tip(self) -> Tip:
        """See `position.tip`."""
        return position.tip(self._reading)

    def attempt(self, attempt: bytes) -> Commit | None:
        """The number of the record that this attempt became."""
        row = self._reading.row("SELECT number FROM log WHERE attempt = ?", (attempt,))
        return Commit(row[0]) if row else None

    def head(self, number: Commit) -> Head:
        """The head of a record that is known."""
        return _head(self._reading, number)

    def check_body(self, body: records.Body) -> None:
        """See `heads.check_body`."""
        check_body(self._reading, body)

    def apply_heads(self, published: Sequence[Published]) -> None:
        """See `heads.apply_heads`."""
        with self._writing:
            apply_heads(self.db, published)

    def fact(self, name: str) -> str | None:
        """See `position.fact`."""
        return position.fact(self._reading, name)

    def pending(self, stream: int, limit: int) -> list[Piece]:
        """The next pieces that a stream has to apply, in order, at most `limit`.

        A stream that has none is moved to the end of what is known; what a base leaves out is
        dropped on the way. That of a source goes no further than the blocks have come: what its
        entries refer to depends on all blocks before.
        """
        with self._writing:
            # The end comes first: a record that another process adds from here on is not passed.
            end = position.tip(self.db).number + 1
            if stream != BLOCKS:
                end = min(end, self._cursor(BLOCKS)[0])
            pieces = self._pieces_to_base(stream, limit, end)
            if pieces is None:
                cursor = self._cursor(stream)
                pieces = self._pieces(stream, cursor, limit, end)
                if not pieces:
                    self._skip_to(stream, end, cursor)
        return pieces

    def awaited(self, stream: int) -> Commit | None:
        """The record whose part a stream lacks, be it that it waits for blocks; None for none."""
        cursor, base = self._cursor(stream), newest_base(self.db)
        if base is not None and cursor[0] <= base.until:
            loading = BaseLoading(self.db, stream, base, base_body(self.db, base.record))
            if loading.begin(1):
                return base.record
        return next((piece.record for piece in self._pieces(stream, cursor, 1)), None)

    def stop(self, stream: int) -> None:
        """Move a stream whose next part cannot be had to that part's record.

        What comes before that record is whole, and so it is shown.
        """
        with self._writing:
            for piece in self.pending(stream, 1):
                if not piece.base:
                    self._skip_to(stream, piece.record, self._cursor(stream))

    def newest_base(self) -> Standpoint | None:
        """The last base that the heads know of."""
        return newest_base(self._reading)

    def _pieces_to_base(self, stream: int, limit: int, end: int) -> list[Piece] | None:
        """The next pieces up to the newest base; None for a stream that has passed it."""
        base = newest_base(self.db)
        if base is None or self._cursor(stream)[0] > base.record:
            return None
        loading = BaseLoading(self.db, stream, base, base_body(self.db, base.record))
        if self._cursor(stream)[0] <= base.until:
            if end <= base.until:
                return []
            if left := loading.begin(limit):
                return [Piece(stream, base.record, at, ref, base=True) for at, ref in left]
        cursor = self._cursor(stream)
        pieces = self._pieces(stream, cursor, limit, min(end, base.record))
        if pieces:
            return pieces
        if stream != BLOCKS and end <= base.record:
            self._skip_to(stream, end, cursor)
            return []  # what is dropped of lists follows what is dropped of blocks
        loading.drop()
        return None

    def _pieces(
        self, stream: int, cursor: tuple[int, int], limit: int, end: int = OPEN
    ) -> list[Piece]:
        """Those of records from the cursor on, below `end`."""
        pieces: list[Piece] = []
        record, index = cursor
        mended = self._mended(record) if stream == BLOCKS else {}
        for number, head in self._heads(stream, record):
            if number >= end:
                break
            refs = [mended.get((number, at), ref) for at, ref in enumerate(_refs(head, stream))]
            begin = index if number == record else 0
            pieces.extend(
                Piece(stream, number, at, refs[at])
                for at in range(begin, min(len(refs), begin + limit - len(pieces)))
            )
            if len(pieces) == limit:
                break
        return pieces

    def _mended(self, begin: int) -> dict[tuple[int, int], PartRef]:
        """What takes the place of lost block parts, of records from `begin` on."""
        return {
            (record, piece): _ref_decoder.decode(part)
            for record, piece, part in self.db.rows(
                "SELECT record, piece, part FROM mended WHERE record >= ?", (begin,)
            )
        }

    def apply_piece(self, piece: Piece, part: AnyPart) -> None:
        """Apply one piece in one transaction, unless another process has done so meanwhile.

        Raises FormatError where the part contradicts its record.
        """
        with self._writing, self.db.writing():
            if isinstance(part, BlockBase | EntryBase):
                self._apply_base(piece, part)
                return
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

    def _apply_base(self, piece: Piece, part: BasePart) -> None:
        base = newest_base(self.db)
        if base is not None and base.record == piece.record:
            body = base_body(self.db, base.record)
            BaseLoading(self.db, piece.stream, base, body).apply(piece.index, part)

    def waits_for_base(self) -> Commit | None:
        """The base whose parts come next, if the first stream that is behind begins with one."""
        waiting = (self.pending(stream, 1) for stream in sorted(self.streams()))
        first = next((pieces[0] for pieces in waiting if pieces), None)
        return first.record if first and first.base else None

    def needs_base(self, base: Commit) -> bool:
        """Whether this base alone has what a record brought that is lost."""
        return standins.is_needed(self.db, base)

    def streams(self) -> list[int]:
        """See `position.streams`."""
        return position.streams(self.db)

    def is_whole(self) -> bool:
        """Whether all streams stand at the last record. Looks, and moves none."""
        return position.stand_at_tip(self._reading, position.streams(self._reading))

    def is_current(self, stream: int) -> bool:
        """Whether a stream has applied all that the known heads name."""
        return (
            not self.pending(stream, 1) and self._cursor(stream)[0] > position.tip(self.db).number
        )

    def _apply_blocks(self, piece: Piece, part: BlockPart) -> None:
        row = self._log_row(piece.record)
        new = records.new_ids(_head(self.db, piece.record).body)
        blocks, segments, packs = (int(row[column]) for column in (0, 1, 2))
        apply_blocks(self.db, part, piece.ref, (blocks, segments, packs), new, piece.record)

    def _apply_entries(self, piece: Piece, part: EntryPart) -> None:
        row = self._log_row(piece.record)
        body = _head(self.db, piece.record).body
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
            raise _missing(self.db, number)
        return row

    def _heads(self, stream: int, begin: int) -> Iterator[tuple[Commit, Head]]:
        of_source = "" if stream == BLOCKS else " AND source = ?2"
        values = (begin,) if stream == BLOCKS else (begin, stream)
        for number, head in self.db.stream(
            f"SELECT number, head FROM log WHERE number >= ?1{of_source} ORDER BY number", values
        ):
            yield Commit(number), _decode_head(head, self.db.path)

    def _cursor(self, stream: int) -> tuple[int, int]:
        return cursor_of(self.db, stream)

    def _skip_to(self, stream: int, record: int, seen: tuple[int, int]) -> None:
        """Move a stream that has nothing to apply before a record there."""
        if seen[0] >= record:
            return
        with self.db.writing():
            if self._cursor(stream) == seen:
                self.db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, 0)", (stream, record))


def _refs(head: Head, stream: int) -> tuple[PartRef, ...]:
    return records.part_refs(head.body)[0 if stream == BLOCKS else 1]


def _head(db: Database, number: Commit) -> Head:
    row = db.row("SELECT head FROM log WHERE number = ?", (number,))
    if row is None:
        raise _missing(db, number)
    return _decode_head(row[0], db.path)


def _missing(db: Database, number: Commit) -> ViewDamagedError:
    return ViewDamagedError(
        f"{db.path}: record {number} is missing",
        hint="it is only a copy: 'snapfs repair' builds it again from the repository",
    )


def _decode_head(data: bytes, path: Path) -> Head:
    try:
        return _head_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ViewDamagedError(f"{path}: a record cannot be read ({error})") from error
