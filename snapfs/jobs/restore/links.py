"""Which inodes with several names have been restored, and where. Memory stays bounded.

The table is in a temporary file of SQLite's, which has no name and goes with the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw
import msgspec

from snapfs.errors import LocalError
from snapfs.model.identity import NodeNumber


class FirstName(msgspec.Struct, frozen=True, gc=False):
    """A name under which an inode was restored, and which inode it became."""

    path: bytes
    "within the target, without a leading slash"
    device: int
    inode: int


class Links:
    """Nodes with several names. Not for use from two threads at once."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def find(self, node: NodeNumber) -> FirstName | None:
        """Where a node was restored."""
        with _local_errors():
            row = self._connection.execute(
                "SELECT path, device, inode FROM link WHERE node = ?", (node,)
            ).fetchone()
        return FirstName(row[0], int(row[1]), int(row[2])) if row else None

    def add(self, node: NodeNumber, name: FirstName) -> None:
        """Remember where a node was restored."""
        with _local_errors():
            # As text: inode numbers of some file systems use all 64 bits.
            self._connection.execute(
                "INSERT OR REPLACE INTO link VALUES (?, ?, ?, ?)",
                (node, name.path, str(name.device), str(name.inode)),
            )


@contextmanager
def open_links() -> Iterator[Links]:
    """An empty table, gone at the end of the block."""
    with _local_errors():
        connection = apsw.Connection("")
        connection.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE link (node INTEGER PRIMARY KEY, path BLOB NOT NULL,"
            " device TEXT NOT NULL, inode TEXT NOT NULL) STRICT"
        )
    try:
        yield Links(connection)
    finally:
        connection.close()


@contextmanager
def _local_errors() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise LocalError(
            f"cannot remember hard links: {error}", hint="TMPDIR names another directory"
        ) from error
