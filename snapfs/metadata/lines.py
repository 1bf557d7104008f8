"""Names of a snapshot's tree as rows, for listings: what stat shows, and nothing that takes time.

A mount lists a hundred thousand names in a second; a row that stays the tuple that SQLite gave
costs a tenth of an object for each.
"""

from collections.abc import Sequence
from typing import NamedTuple

from snapfs.metadata import lookups
from snapfs.metadata.database import Database
from snapfs.model.identity import Commit, DirectoryNumber, NodeNumber

_NODE = "n.number, n.mode, n.uid, n.gid, n.mtime, n.mtime_ns, n.size, n.nlink, n.rdev, n.data"
COLUMNS = f"e.name, e.child, {_NODE}"
"of entry e and node n"
_BY_NAME, _PAGE, _OWN = (
    question(COLUMNS) for question in (lookups.by_name, lookups.page, lookups.own)
)
PAGE = 512
"names that one query reads"
_REGULAR, _TYPE = 0o100000, 0o170000


class Line(NamedTuple):
    """One name with the attributes of its node."""

    name: bytes
    child: DirectoryNumber | None
    "the directory that it is"
    number: NodeNumber
    mode: int
    uid: int
    gid: int
    seconds: int
    "of its mtime"
    nanoseconds: int
    "of its mtime, above the seconds"
    size: int
    links: int
    device: int
    data: bytes | None
    "content of a file, target of a link"

    @property
    def content(self) -> bytes:
        """The content of a regular file as the database has it; see `contents`."""
        return self.data or b"" if self.mode & _TYPE == _REGULAR else b""


class Lines:
    """Look-ups in the history of names. Every one names the commit whose state it asks for."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, directory: int, commit: Commit, name: bytes) -> Line | None:
        """The line of this name."""
        row = self._db.row(_BY_NAME, (directory, commit, name))
        return Line._make(row[1:]) if row and row[0] > commit else None

    def page(
        self, directory: int, commit: Commit, *, after: bytes = b"", limit: int = PAGE
    ) -> Sequence[Line]:
        """The next lines behind the name `after`, in order of their names' bytes."""
        return list(map(Line._make, self._db.rows(_PAGE, (directory, commit, after, limit))))

    def node(self, number: int) -> Line | None:
        """A node without a name."""
        row = self._db.row(f"SELECT x'', NULL, {_NODE} FROM node n WHERE n.number = ?", (number,))
        return Line._make(row) if row else None

    def directory(self, directory: int, commit: Commit) -> Line | None:
        """The line that a directory is in its parent, at a commit."""
        row = self._db.row(_OWN, (directory, commit))
        return Line._make(row[1:]) if row and row[0] > commit else None
