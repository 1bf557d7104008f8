"""A stream at a base: how it begins with it, and what it drops once it has come that far."""

from collections.abc import Callable
from dataclasses import dataclass

from snapfs.formats.bases import BasePart, BlockBase
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Base
from snapfs.metadata.bases import Standpoint, anything_given_up, refs_of
from snapfs.metadata.database import Database
from snapfs.metadata.leftout_blocks import drop_blocks
from snapfs.metadata.leftout_entries import drop_entries
from snapfs.metadata.loading import Stream, load_blocks, load_entries

_BLOCKS = 0


class MovedOnError(Exception):
    """Another process has gone behind the base meanwhile."""


def cursor_of(db: Database, stream: int) -> tuple[int, int]:
    """How far a stream has been applied: record, and pieces of that."""
    row = db.row("SELECT record, piece FROM cursor WHERE stream = ?", (stream,))
    return (int(row[0]), int(row[1])) if row else (1, 0)


@dataclass(frozen=True, slots=True)
class BaseLoading:
    """One stream and the newest base. The caller sees to it that one thread at a time writes."""

    db: Database
    stream: int
    base: Standpoint
    body: Base

    @property
    def refs(self) -> tuple[PartRef, ...]:
        """The parts of the base for this stream."""
        return refs_of(self.body, self.stream)

    def begin(self, limit: int) -> list[tuple[int, PartRef]]:
        """The next parts to be loaded, with their places, at most `limit`.

        Where there are none the stream has come as far as the record that is restated.
        """
        with self.db.writing():
            if self._is_behind():
                return []
            done = self._state()[0]
            refs = list(enumerate(self.refs))[done:][:limit]
            if not refs:
                self._end()
        return refs

    def apply(self, index: int, part: BasePart) -> None:
        """Apply a part within a transaction, unless another process has gone further."""
        if self._is_behind():
            return
        done, stale = self._state()
        if index != done:
            return
        into = Stream(self.stream, self.base.until, stale)
        if isinstance(part, BlockBase):
            load_blocks(self.db, part, into)
        else:
            load_entries(self.db, part, into)
        self._note(index + 1, stale)
        if index + 1 == len(self.refs):
            self._end()

    def drop(self) -> None:
        """Drop what the base leaves out, in bounded transactions, and go behind it.

        There is no such thing where the stream has begun with this base, and nothing was given up
        since. Another process may do the same: once the stream has moved on, nothing more is
        dropped.
        """
        try:
            if not self._has_begun_here() or anything_given_up(self.db, self.base.until):
                self.leave_out(self._check_waits)
            with self.db.writing():
                self._check_waits()
                self._move(self.base.record + 1)
                self.db.execute("DELETE FROM loading WHERE stream = ?", (self.stream,))
        except MovedOnError:
            return

    def leave_out(self, check: Callable[[], None]) -> None:
        """Drop what the base leaves out, where the stream stands; `check` may end it by raising."""
        if self.stream == _BLOCKS:
            drop_blocks(self.db, self.base.until, check)
        else:
            drop_entries(self.db, self.stream, self.body, check)

    def _check_waits(self) -> None:
        if cursor_of(self.db, self.stream)[0] > self.base.record:
            raise MovedOnError

    def _is_behind(self) -> bool:
        """Whether the stream has passed what is restated: another process may have done it."""
        return cursor_of(self.db, self.stream)[0] > self.base.until

    def _state(self) -> tuple[int, bool]:
        """How many parts are applied, and whether there may be rows that the base lacks.

        Those of an older base that was left half way are such.
        """
        row = self.db.row("SELECT base, piece, stale FROM loading WHERE stream = ?", (self.stream,))
        if row is not None and row[0] == self.base.record:
            return int(row[1]), bool(row[2])
        return 0, row is not None or cursor_of(self.db, self.stream) > (1, 0)

    def _note(self, done: int, stale: bool) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO loading VALUES (?, ?, ?, ?)",
            (self.stream, self.base.record, done, int(stale)),
        )

    def _end(self) -> None:
        """All parts are applied. What the stream had before is still to be dropped, if anything."""
        self._move(self.base.until + 1)

    def _has_begun_here(self) -> bool:
        """Whether the stream was empty before it took this base's rows, and lacks none of them."""
        row = self.db.row(
            "SELECT 1 FROM loading WHERE stream = ? AND base = ? AND NOT stale",
            (self.stream, self.base.record),
        )
        return row is not None

    def _move(self, record: int) -> None:
        self.db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, 0)", (self.stream, record))
