"""What this machine alone knows: in which state it last found paths to be as the replica has them.

Losing it costs one full read of the sources and uploads nothing.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from snapfs.metadata.database import Database
from snapfs.model.identity import Commit, DirectoryNumber, NodeNumber

SCHEMA = "local.sql"
VERSION = 1
_FITS = range(-(2**63), 2**63)
PAGE = 4096
"known entries that one query reads"


class Known(NamedTuple):
    """An entry that the source's head has, and the state under which it was last confirmed.

    A tuple, as there is one for each file of a source, changed or not.
    """

    name: bytes
    node: NodeNumber
    child: DirectoryNumber | None
    size: int | None
    "None, here and below: not confirmed on this machine"
    mtime_ns: int | None
    ctime_ns: int | None
    inode: int | None


class Confirmed(NamedTuple):
    """The state in which a path was found to be as the replica has, or will have, it."""

    directory: int
    "as `directory_key` gives it"
    name: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def directory_key(host: str, source: str, path: bytes) -> int:
    """What stands for a directory, whether the replica has numbered it yet or not.

    A collision, at 64 bits, would have to share a file's name, size, inode and both times as well.
    """
    text = f"{host}\0{source}\0".encode(errors="surrogateescape") + path
    return int.from_bytes(blake3(text).digest(8), "big", signed=True)


class Local:
    """The local database, with the replica readable beside it, for the one thread of an ingest."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._run: int | None = None

    @classmethod
    def open(cls, path: Path, replica: Path) -> "Local":
        """Open `path`, made anew if it is not there. Raises as Database."""
        local = cls(Database.create_or_open(path, SCHEMA, VERSION))
        local.db.attach(replica, "replica")
        local._settle()
        return local

    def begin_run(self, attempt: bytes) -> None:
        """What is confirmed from here on counts once this attempt is in the log."""
        with self.db.writing():
            self.db.execute("INSERT INTO run (attempt) VALUES (?)", (attempt,))
            row = self.db.row("SELECT last_insert_rowid()")
        assert row is not None
        self._run = row[0]

    def committed(self, record: Commit) -> None:
        """The attempt of the current run became this record."""
        self.db.execute("UPDATE run SET record = ? WHERE number = ?", (record, self._run))

    def confirm(self, confirmed: Iterable[Confirmed]) -> None:
        """Note states for the current run. Those whose numbers SQLite cannot hold are left out:
        such a file is read each time."""
        rows = [
            (*item, self._run)
            for item in confirmed
            if item.mtime_ns in _FITS and item.ctime_ns in _FITS and item.inode in _FITS
        ]  # fmt: skip
        with self.db.writing():
            self.db.execute_many("INSERT OR REPLACE INTO confirmed VALUES (?,?,?,?,?,?,?)", rows)

    def drop(self, directory: int, names: Iterable[bytes]) -> None:
        """Let go of names that are gone."""
        with self.db.writing():
            self.db.execute_many(
                "DELETE FROM confirmed WHERE directory = ? AND name = ?",
                [(directory, name) for name in names],
            )

    def drop_all(self, directories: Iterable[int]) -> None:
        """Let go of directories that are gone, by their keys."""
        with self.db.writing():
            self.db.execute_many(
                "DELETE FROM confirmed WHERE directory = ?", [(key,) for key in directories]
            )

    def known(
        self, number: DirectoryNumber, key: int, head: Commit, *, after: bytes = b""
    ) -> list[Known]:
        """The next entries of a directory at the source's head, in order of their names' bytes.

        A confirmation counts only where it was made for the version that holds: its commit is not
        older than the entry.
        """
        return [
            Known(*row)
            for row in self.db.rows(
                "SELECT e.name, e.node, e.child, c.size, c.mtime, c.ctime, c.inode"
                # Not a join with run: SQLite would gather the whole directory for each page.
                " FROM replica.entry e LEFT JOIN confirmed c"
                "  ON c.directory = ?3 AND c.name = e.name AND"
                "  (SELECT r.record BETWEEN e.first AND ?2 FROM run r WHERE r.number = c.run)"
                " WHERE e.directory = ?1 AND e.name > ?4 AND e.first <= ?2 AND e.last > ?2"
                " ORDER BY e.name LIMIT ?5",
                (number, head, key, after, PAGE),
            )
        ]

    def _settle(self) -> None:
        """Learn what became of each run: the log decides, not what was noted here.

        A run may have been committed by a process that ended before it could note it, and a log
        that was cut may have lost one. What was given up confirms nothing.
        """
        with self.db.writing():
            self.db.execute(
                "UPDATE run SET record ="
                " (SELECT l.number FROM replica.log l"
                "  WHERE l.attempt = run.attempt AND l.source IS NOT NULL)"
            )
