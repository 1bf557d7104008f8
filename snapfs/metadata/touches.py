"""What commits did to directories: sums beside the entries, kept equal to them by whoever writes.

Each transaction that inserts, ends or deletes entries writes their `Touches` as well, so that the
rows of `touched` are at any time what the rows of `entry` add up to.

Anybody can make sparse files whose sizes add up to more than an integer of SQLite holds. So sums of
bytes are kept modulo 2^63, which can be added to and taken from in any order: they are what they
seem to be up to 8 EiB, and what became more or less up to 4.
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
_HALF = 2**62


def _added(column: str) -> str:
    """SQL: the sum of two residues as a residue; neither step leaves SQLite's integers."""
    both = f"({column} + excluded.{column})"
    return (
        f"{column} = CASE WHEN {both} >= {_HALF} THEN {both} - {_HALF} - {_HALF}"
        f" WHEN {both} < -{_HALF} THEN {both} + {_HALF} + {_HALF} ELSE {both} END"
    )


_ADD = (
    "INSERT INTO touched VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    f" entries = entries + excluded.entries, {_added('size')}, {_added('linked')}"
)


def residue(number: int) -> int:
    """A number of bytes as the table has it: modulo 2^63, from -2^62 on."""
    return (number + _HALF) % (2 * _HALF) - _HALF


def halves(column: str) -> str:
    """SQL: the two halves of a sum over a column of bytes, neither of which gets too large."""
    return f"sum({column} >> 32), sum({column} & 4294967295)"


def growth(high: int, low: int) -> int:
    """What two halves of a sum say that there is more, or less."""
    return residue((high << 32) + low)


def total(high: int, low: int) -> int:
    """What two halves of a sum say that there is."""
    return growth(high, low) % (2 * _HALF)


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
        db.execute_many(
            _ADD,
            (
                (*key, entries, residue(size), residue(linked))
                for key, (entries, size, linked) in self._sums.items()
            ),
        )
