"""The database of one check: a fresh replica into which the log is replayed, with notes beside it.

It lies in the state directory, so that memory stays bounded whatever the repository's size, and is
removed in the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from snapfs.formats import objects, records
from snapfs.formats.records import AddsPacks, Delete, Gone, Head, Mend
from snapfs.jobs.check.report import LISTED, Problem, ProblemKind
from snapfs.jobs.progress import Progress
from snapfs.metadata.database import Database, Row
from snapfs.metadata.replica import Replica
from snapfs.model.identity import Commit
from snapfs.repository.scratch import scratch
from snapfs.repository.state import State

_NOTES = """
-- Objects that records name. Of packs, size and hash are null: block parts say more of them.
CREATE TABLE check_named (
  name TEXT PRIMARY KEY, id BLOB NOT NULL, record INTEGER NOT NULL, size INTEGER, hash BLOB,
  seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Packs and parts that a record says are being deleted, or are gone.
CREATE TABLE check_leaving (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
-- What takes the place of block parts that were lost.
CREATE TABLE check_replacing (
  record INTEGER NOT NULL, piece INTEGER NOT NULL, id BLOB NOT NULL, PRIMARY KEY (record, piece)
) STRICT, WITHOUT ROWID;
-- What the store lists.
CREATE TABLE check_stored (name TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- Objects that a problem was reported for.
CREATE TABLE check_reported (object TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
-- Packs in which blocks lie; filled when it is asked first.
CREATE TABLE check_holding (pack INTEGER PRIMARY KEY) STRICT;
-- Packs of which only the first bytes can be relied on; doomed: because a record deletes them.
CREATE TABLE check_lost_pack (
  number INTEGER PRIMARY KEY, size INTEGER NOT NULL, doomed INTEGER NOT NULL
) STRICT;
-- What cannot be given back, and the pack whose fault that is (0: no pack's).
CREATE TABLE check_lost_segment (number INTEGER PRIMARY KEY, pack INTEGER NOT NULL) STRICT;
CREATE TABLE check_lost_place (
  segment INTEGER NOT NULL, offset INTEGER NOT NULL, pack INTEGER NOT NULL,
  PRIMARY KEY (segment, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE check_lost_list (number INTEGER PRIMARY KEY, pack INTEGER NOT NULL) STRICT;
CREATE TABLE check_lost_node (number INTEGER PRIMARY KEY, pack INTEGER NOT NULL) STRICT;
-- Snapshots that are wanted, and the heads of sources, which their next deltas build on.
CREATE TABLE check_needed (
  anchor INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (anchor, number)
) STRICT, WITHOUT ROWID;
"""


class Scratch:
    """The replay and the notes of one check. Used by one thread at a time."""

    def __init__(self, replica: Replica, progress: Progress) -> None:
        self.replica = replica
        self.db: Database = replica.db
        self.progress = progress
        self.problems: list[Problem] = []
        self.problem_count = 0
        self._asked_for_holding = False

    def report(self, kind: ProblemKind, name: str, detail: str, hint: str) -> None:
        """Report a problem, unless there is one for this object already."""
        if self.db.row("INSERT OR IGNORE INTO check_reported VALUES (?) RETURNING 1", (name,)):
            self.problem_count += 1
            self.progress.findings += 1
            if len(self.problems) < LISTED:
                self.problems.append(Problem(kind, name, detail, hint))

    def note_head(self, number: Commit, head: Head) -> None:
        """Note the objects that a record names."""
        body = head.body
        rows: list[Row] = [
            (objects.part(ref.name), ref.name, number, ref.size, ref.hash)
            for ref in records.named_parts(body)
        ]
        if isinstance(body, AddsPacks):
            rows += [(objects.pack(name), name, number, None, None) for name in body.packs]
        self.db.execute_many("INSERT OR IGNORE INTO check_named VALUES (?, ?, ?, ?, ?, 0)", rows)
        if isinstance(body, Mend):
            self._note_replacements(body)
        self.note_leaving(head)

    def _note_replacements(self, body: Mend) -> None:
        """What took the place of a part, and is replaced in turn, is needed no more."""
        for each in body.parts:
            place = (each.record, each.index)
            row = self.db.row(
                "SELECT id FROM check_replacing WHERE (record, piece) = (?, ?)", place
            )
            if row is not None:
                self.note_seen(row[0])
            self.db.execute(
                "INSERT OR REPLACE INTO check_replacing VALUES (?, ?, ?)", (*place, each.part.name)
            )

    def note_leaving(self, head: Head) -> None:
        """Note the packs and parts that a record gives up."""
        match head.body:
            case Delete(deleting=packs, parts=parts) | Gone(gone=packs, parts=parts):
                names = packs + parts
            case _:
                return
        self.db.execute_many(
            "INSERT OR IGNORE INTO check_leaving VALUES (?)", ((name,) for name in names)
        )

    def note_seen(self, name: bytes) -> None:
        """Note that a part was fetched, and is applied or reported."""
        self.db.execute("UPDATE check_named SET seen = 1 WHERE name = ?", (objects.part(name),))

    def is_emptied(self, pack: int) -> bool:
        """Whether all blocks of a pack lie elsewhere by now: then it is needed no more."""
        if not self._asked_for_holding:
            self._asked_for_holding = True
            self.db.execute(
                "INSERT OR IGNORE INTO check_holding"
                " SELECT s.pack FROM block b JOIN segment s ON s.number = b.segment"
            )
        return self.db.row("SELECT 1 FROM check_holding WHERE pack = ?", (pack,)) is None

    def lose_pack(self, number: int, *, size: int, doomed: bool = False) -> None:
        """Note that a pack has no more than its first `size` bytes."""
        self.db.execute(
            "INSERT OR IGNORE INTO check_lost_pack VALUES (?, ?, ?)", (number, size, int(doomed))
        )


@contextmanager
def open_scratch(state: State, progress: Progress) -> Iterator[Scratch]:
    """An empty replay, which is removed in the end. Raises LocalError."""
    with scratch(state) as directory:
        replica = Replica.open_temporary(directory / "replay.db")
        with replica.db as db:
            db.execute(_NOTES)
            yield Scratch(replica, progress)
