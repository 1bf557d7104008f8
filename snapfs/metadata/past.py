"""Questions about what was: versions of a name, names that are gone, differences of snapshots.

What no snapshot shows any more does not count: the state at a commit that was only progress, or
whose snapshots are all forgotten. On a connection of its own, for a thread of its own: which
directories lead to what is gone or differs is worked out once, and kept in temporary tables.
"""

import enum
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from snapfs.metadata.database import Database
from snapfs.metadata.lines import COLUMNS, PAGE, Line
from snapfs.model.identity import Commit, SourceNumber

_SHOWN = (
    "s.complete AND s.forgotten IS NULL"
    " AND s.number < coalesce((SELECT record FROM cursor WHERE stream = s.source), 1)"
)


def _within(entry: str) -> str:
    """The snapshots of a source that show an entry."""
    return (
        f"FROM snapshot s WHERE s.source = ?1 AND s.number >= {entry}.first"
        f" AND s.number < {entry}.last AND {_SHOWN}"
    )


_WITHIN = _within("e")
_SEEN = f"EXISTS (SELECT 1 {_WITHIN})"
_LAST = (
    f"{_SEEN} AND NOT EXISTS (SELECT 1 FROM entry y WHERE y.directory = e.directory"
    f" AND y.name = e.name AND y.first > e.first AND EXISTS (SELECT 1 {_within('y')}))"
)
"entry e is the last that any snapshot shows of its name"
_NODE = "CROSS JOIN node n ON n.number = e.node"
_SETS_KEPT = 8
"answers to which directories lead somewhere"


class Change(enum.Enum):
    """In which way two snapshots differ in a name. What stands for it in `.changes`."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    MODIFIED_OLD = "modified.old"

    @property
    def shows_old(self) -> bool:
        """Whether what is shown is as in the first snapshot, and not as in the second."""
        return self in (Change.REMOVED, Change.MODIFIED_OLD)

    @property
    def is_of_content(self) -> bool:
        """Whether the name is in both."""
        return self in (Change.MODIFIED, Change.MODIFIED_OLD)


@dataclass(frozen=True, slots=True)
class Version:
    """A state of a name that a snapshot shows."""

    since: Commit
    "the first snapshot that shows it"
    until: Commit
    "the last one"
    line: Line


@dataclass(frozen=True, slots=True)
class Span:
    """Two snapshots of a source that are compared: as it was, and as it became."""

    source: SourceNumber
    old: Commit
    new: Commit


class Past:
    """Look-ups in all that snapshots show. For one thread at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.execute(
            "CREATE TEMP TABLE IF NOT EXISTS leading (subject INTEGER, directory INTEGER,"
            " PRIMARY KEY (subject, directory)) WITHOUT ROWID"
        )
        self._next_set = 0
        self._numbers: dict[Hashable, int] = {}
        "of the sets of directories in the table, by what they lead to"

    # --- versions

    def versions(self, source: SourceNumber, directory: int, name: bytes) -> list[Version]:
        """The states of a name that are no directories, in order of the log."""
        rows = self._db.rows(
            f"SELECT (SELECT min(s.number) {_WITHIN}), (SELECT max(s.number) {_WITHIN}), {COLUMNS}"
            f" FROM entry e {_NODE} WHERE e.directory = ?2 AND e.name = ?3 AND e.child IS NULL"
            " ORDER BY e.first",
            (source, directory, name),
        )
        return [Version(since, until, Line._make(line)) for since, until, *line in rows if since]

    def names(
        self, source: SourceNumber, directory: int, after: bytes, limit: int = PAGE
    ) -> Sequence[Line]:
        """Whatever was in a directory, each name in its last state, in order of name."""
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM entry e {_NODE} WHERE e.directory = ?2 AND e.name > ?3"
            f" AND {_LAST} ORDER BY e.name LIMIT ?4",
            (source, directory, after, limit),
        )
        return [Line._make(row) for row in rows]

    def last(self, source: SourceNumber, directory: int, name: bytes) -> Line | None:
        """A name in its last state."""
        row = self._db.row(
            f"SELECT {COLUMNS} FROM entry e {_NODE} WHERE e.directory = ?2 AND e.name = ?3"
            f" AND {_SEEN} ORDER BY e.first DESC LIMIT 1",
            (source, directory, name),
        )
        return Line._make(row) if row else None

    def last_of_directory(self, source: SourceNumber, directory: int) -> Line | None:
        """A directory in its last state."""
        row = self._db.row("SELECT parent, name FROM directory WHERE number = ?", (directory,))
        return self.last(source, row[0], bytes(row[1])) if row else None

    # --- what is gone

    def gone(
        self,
        source: SourceNumber,
        newest: Commit,
        directory: int,
        after: bytes,
        *,
        exactly: bytes | None = None,
        limit: int = PAGE,
    ) -> Sequence[Line]:
        """Names of a directory that the newest snapshot lacks, in their last state; and those of
        directories that it has, and in which something below is gone."""
        tip = self._db.row("SELECT max(number) FROM log")
        leading = self._leading(("gone", source, newest, tip), _GONE_IN, (source, newest))
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM entry e {_NODE} WHERE e.directory = ?2 AND {_name(exactly)}"
            f" AND {_LAST} AND (e.last <= ?4 OR {_is_leading('?6')}) ORDER BY e.name LIMIT ?5",
            (source, directory, after if exactly is None else exactly, newest, limit, leading),
        )
        return [Line._make(row) for row in rows]

    # --- what differs

    def changed(
        self,
        span: Span,
        change: Change,
        directory: int,
        after: bytes,
        *,
        exactly: bytes | None = None,
        limit: int = PAGE,
    ) -> Sequence[Line]:
        """Names of a directory that differ in this way; and those of directories that are in both
        snapshots, and in which something below does."""
        near, far = (span.old, span.new) if change.shows_old else (span.new, span.old)
        leading = self._leading(
            (span, change), _differing_in(change),
            (span.source, near, far, min(near, far), max(near, far)),
        )  # fmt: skip
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM entry e {_NODE} {_OTHER} WHERE e.directory = ?1"
            f" AND {_name(exactly)} AND e.first <= ?2 AND e.last > ?2"
            f" AND ({_differs(change)} OR o.child IS NOT NULL AND {_is_leading('?6')})"
            " ORDER BY e.name LIMIT ?5",
            # The other query's third value is the name too, so that both can share its condition.
            (directory, near, after if exactly is None else exactly, far, limit, leading),
        )
        return [Line._make(row) for row in rows]

    def _leading(self, key: Hashable, seeds: str, values: tuple[int, ...]) -> int:
        """The number of a set of directories: those with seeds, and all that lead to them."""
        number = self._numbers.get(key)
        if number is None:
            number = self._next_set
            self._next_set += 1
            if len(self._numbers) >= _SETS_KEPT:
                dropped = self._numbers.pop(next(iter(self._numbers)))
                self._db.execute("DELETE FROM leading WHERE subject = ?", (dropped,))
            self._db.execute(
                f"INSERT INTO leading WITH RECURSIVE up(directory) AS ({seeds} UNION"
                " SELECT d.parent FROM up CROSS JOIN directory d ON d.number = up.directory"
                f" WHERE d.parent <> 0) SELECT {number}, directory FROM up",
                values,
            )
            self._numbers[key] = number
        return number

    # --- where a node stood

    def place_of(self, node: int) -> tuple[SourceNumber, int, bytes] | None:
        """Source, directory and name at which a node came; one of its names, if it has several.

        Looks through the directories that its commit changed: all of a source's, for its first.
        """
        row = self._db.row(
            "SELECT number, source FROM log WHERE nodes <= ? ORDER BY number DESC LIMIT 1", (node,)
        )
        if row is None or row[1] is None:
            return None
        found = self._db.row(
            "SELECT e.directory, e.name FROM touched t CROSS JOIN entry e"
            " ON e.directory = t.directory WHERE t.record = ? AND e.node = ? LIMIT 1",
            (row[0], node),
        )
        return (SourceNumber(row[1]), int(found[0]), bytes(found[1])) if found else None


_GONE_IN = (
    "SELECT DISTINCT t.directory FROM snapshot r CROSS JOIN touched t ON t.record = r.number"
    # The first commit of a source took nothing away.
    " WHERE r.source = ?1 AND r.number <= ?2"
    " AND r.number > (SELECT min(number) FROM snapshot WHERE source = ?1)"
    " AND EXISTS (SELECT 1 FROM entry e WHERE e.directory = t.directory AND e.last <= ?2"
    f" AND {_SEEN} AND NOT EXISTS (SELECT 1 FROM entry x WHERE x.directory = e.directory"
    " AND x.name = e.name AND x.first <= ?2 AND x.last > ?2))"
)
_OTHER = (
    "LEFT JOIN entry o ON o.directory = e.directory AND o.name = e.name"
    " AND o.first <= ?4 AND o.last > ?4"
)


def _differs(change: Change) -> str:
    if change.is_of_content:
        return "e.child IS NULL AND o.name IS NOT NULL AND o.child IS NULL AND o.node <> e.node"
    return "(o.name IS NULL OR (o.child IS NULL) <> (e.child IS NULL))"


def _differing_in(change: Change) -> str:
    """Directories with names that differ: in those alone that a commit between the two touched."""
    other = _OTHER.replace("?4", "?3")
    return (
        "SELECT DISTINCT t.directory FROM snapshot r CROSS JOIN touched t ON t.record = r.number"
        " WHERE r.source = ?1 AND r.number > ?4 AND r.number <= ?5"
        f" AND EXISTS (SELECT 1 FROM entry e {other} WHERE e.directory = t.directory"
        f" AND e.first <= ?2 AND e.last > ?2 AND {_differs(change)})"
    )


def _name(exactly: bytes | None) -> str:
    return "e.name > ?3" if exactly is None else "e.name = ?3"


def _is_leading(subject: str) -> str:
    return (
        "e.child IS NOT NULL AND EXISTS (SELECT 1 FROM leading"
        f" WHERE subject = {subject} AND directory = e.child)"
    )
