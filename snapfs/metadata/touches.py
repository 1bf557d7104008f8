"""What commits did to directories: sums beside the entries, kept equal to them by whoever writes.

Each transaction that inserts, ends or deletes entries writes their `Touches` as well, so that the
rows of `touched` are at any time what the rows of `entry` add up to.
"""

from collections.abc import Iterable
from typing import TypeAlias

from snapfs.metadata.database import Database
from snapfs.model.identity import OPEN

ENDS = "directory, first, last, size, file"
"the columns of an entry that `Touches` counts"
Ends: TypeAlias = tuple[int, int, int, int, int]
"their values"
_SEVERAL = 2
"`entry.file` of a file with several names"
_ADD = (
    "INSERT INTO touched VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " entries = entries + excluded.entries, size = size + excluded.size,"
    " linked = linked + excluded.linked"
)


class Touches:
    """Changes of entries that are made in one transaction, summed up."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int], list[int]] = {}

    def touch(self, directory: int, record: int) -> None:
        """A commit changes something in a directory."""
        self._sums.setdefault((directory, record), [0, 0, 0])

    def add(self, rows: Iterable[Ends], sign: int = 1) -> None:
        """Entries are there from now on; with a sign of -1, no more."""
        for directory, first, last, size, file in rows:
            self.count(directory, first, sign, size, file)
            if last != OPEN:
                self.count(directory, last, -sign, size, file)

    def count(self, directory: int, record: int, sign: int, size: int, file: int) -> None:
        """An entry begins (1) or ends (-1) at a commit; of what size, and `entry.file`."""
        sums = self._sums.get((directory, record))
        if sums is None:
            sums = self._sums[(directory, record)] = [0, 0, 0]
        sums[0] += sign
        if file:
            sums[1] += sign * size
            if file == _SEVERAL:
                sums[2] += sign * size

    def write(self, db: Database) -> None:
        """Add the sums to the table, within the transaction that changes the entries."""
        db.execute_many(_ADD, ((*key, *sums) for key, sums in self._sums.items()))
