"""Check: this machine's view against a replay that has come exactly as far, table by table.

The view may lie behind the log: heads, blocks and the entries of each source have positions of
their own. It is read in one transaction, so that a job that runs beside does not matter.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from snapfs.errors import ViewDamagedError
from snapfs.formats import objects, records
from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.replay import Position, Replay
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata.compare import differences
from snapfs.metadata.database import Database
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.model.identity import Commit
from snapfs.repository.state import State

_VIEW_HINT = "no snapshot is concerned: 'snapfs repair' builds the local database again"
_CUT_HINT = (
    "write nothing. If an old state of the storage was restored, bring the newer one back; if only "
    "the end of the log was lost, 'snapfs repair' puts it back"
)


class View:
    """This machine's replica, as it stood when the check began."""

    def __init__(self, db: Database, scratch: Scratch) -> None:
        self._db = db
        self._replica = Replica(db)
        self._scratch = scratch
        self.tip = self._replica.tip()
        reached = db.row("SELECT max(record) - 1 FROM cursor") or (None,)
        # A stream never is beyond the heads: where it seems so, heads were lost from the table.
        self.position = Commit(max(self.tip.number, reached[0] or 0))

    async def compare(self, walk: LogWalk, replay: Replay) -> bool:
        """Compare with a replay that has the heads up to `position`; whether that was possible."""
        if walk.broken is not None or not self._is_of_this_log(walk):
            return False
        if await walk.turns_behind() or not self._is_behind_base(replay):
            return False  # the parts that would lead to where it stands may be gone
        await replay.run({stream: self._end(stream) for stream in replay.streams()})
        if not replay.whole:
            return False
        for stream in replay.streams():
            self._align(stream)
        for table in await trio.to_thread.run_sync(differences, self._db, self._scratch.db):
            self._report(table, "is not what the log says")
        return True

    def _is_of_this_log(self, walk: LogWalk) -> bool:
        """Report where the log lacks the last record that this machine knows, or has another."""
        number = self.tip.number
        self.position = min(self.position, walk.last)
        if number == 0:
            return True
        if number > walk.last:
            name = objects.record(Commit(walk.last + 1))
            detail = f"is missing: the log was cut, this machine knows it up to record {number}"
            self._scratch.report(ProblemKind.LOG, name, detail, _CUT_HINT)
            return False
        if self._has_what_was_given_up():
            return False
        known, found = (
            db.row("SELECT attempt, hash FROM log WHERE number = ?", (number,)) or (b"", b"")
            for db in (self._db, self._scratch.db)
        )
        if known[0] != found[0] and known[1] != found[1]:
            if self._scratch.replica.head(number).instead_of is not None:
                self._report("log", f"has record {number}, which was lost and given up")
                return False
            detail = "is another than the one that this machine knows: the log was replaced"
            self._scratch.report(ProblemKind.LOG, objects.record(number), detail, _CUT_HINT)
            return False
        return True

    def _has_what_was_given_up(self) -> bool:
        """Report where others stand in for records that this machine has seen."""
        for number, head in self._scratch.db.rows(
            "SELECT l.number, l.head FROM lost JOIN log l ON l.number = record"
        ):
            known = self._db.row("SELECT head FROM log WHERE number = ?", (number,))
            if known is not None and known[0] != head:
                self._report("log", f"has record {number}, which was lost and given up")
                return True
        return False

    def _is_behind_base(self, replay: Replay) -> bool:
        """Whether all streams that have rows have passed the newest base."""
        base = self._scratch.replica.newest_base()
        return base is None or all(
            (self._cursor(stream) or (1, 0))[0] > base.record or not self._has_rows(stream)
            for stream in replay.streams()
        )

    def _end(self, stream: int) -> Position:
        """Up to where the view has applied a stream."""
        known = self._cursor(stream)
        if known is not None:
            return known
        return (self.position + 1, 0) if self._has_rows(stream) else (records.FIRST, 0)

    def _align(self, stream: int) -> None:
        """Write the replay's position as the view does, where both mean the same.

        Behind the last part of a record, and at the beginning of the next, are one position.
        """
        known = self._cursor(stream)
        if known is not None and self._can_be(stream, *known):
            row = (stream, *known)
            self._scratch.db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", row)
        elif known is None and not self._has_rows(stream):
            self._scratch.db.execute("DELETE FROM cursor WHERE stream = ?", (stream,))

    def _can_be(self, stream: int, record: int, piece: int) -> bool:
        if piece == 0:
            return 1 <= record <= self.position + 1
        if not 1 <= record <= self._scratch.replica.tip().number:
            return False
        refs = records.part_refs(self._scratch.replica.head(Commit(record)).body)
        return 0 < piece <= len(refs[0 if stream == BLOCKS else 1])

    def _cursor(self, stream: int) -> Position | None:
        row = self._db.row("SELECT record, piece FROM cursor WHERE stream = ?", (stream,))
        return (int(row[0]), int(row[1])) if row else None

    def _has_rows(self, stream: int) -> bool:
        """Whether the view holds rows of a stream, whatever its position says."""
        if stream == BLOCKS:
            return self._db.row("SELECT 1 FROM pack LIMIT 1") is not None
        if self._db.row("SELECT 1 FROM owner WHERE source = ? LIMIT 1", (stream,)):
            return True
        anchors = self._scratch.db.rows(
            "SELECT DISTINCT anchor FROM snapshot WHERE source = ?", (stream,)
        )
        return any(
            self._db.row("SELECT 1 FROM entry WHERE directory = ? LIMIT 1", anchor)
            for anchor in anchors
        )

    def _report(self, table: str, detail: str) -> None:
        name = f"{self._db.path.name}: {table}"
        self._scratch.report(ProblemKind.DATABASE, name, detail, _VIEW_HINT)


@contextmanager
def open_view(state: State, scratch: Scratch) -> Iterator[View]:
    """This machine's view, held still while it is open. Raises ViewDamagedError, LocalError."""
    with Database.open_readonly(state.replica) as db:
        db.execute("BEGIN")
        yield View(db, scratch)


async def compare_view(state: State, walk: LogWalk, replay: Replay, scratch: Scratch) -> bool:
    """Replay the log as far as this machine's view has come, and compare. True where it could.

    Raises StoreError, LocalError.
    """
    try:
        with open_view(state, scratch) as view:
            await walk.follow(view.position)
            return await view.compare(walk, replay)
    except ViewDamagedError as error:
        scratch.report(ProblemKind.DATABASE, state.replica.name, error.what, _VIEW_HINT)
        return False
