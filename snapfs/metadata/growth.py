"""How much each directory gained between two snapshots of one tree."""

from collections.abc import Iterator

from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moment
from snapfs.metadata.paths import Paths
from snapfs.metadata.sweep import sweep

_PLACES = """
DROP TABLE IF EXISTS temp.grown;
CREATE TEMP TABLE grown (number INTEGER PRIMARY KEY);
"""
_TOUCHED = (
    "INSERT INTO temp.grown SELECT DISTINCT t.directory FROM snapshot s"
    " JOIN touched t ON t.record = s.number"
    " WHERE s.anchor = ? AND s.number > ? AND s.number <= ?"
)
# Grouped by what leads the loop: nothing has to be sorted.
_GAINED = (
    "SELECT d.parent, d.name, sum(iif(e.first <= ?4 AND e.last > ?4, e.size, -e.size))"
    " FROM temp.grown g CROSS JOIN directory d ON d.number = g.number"
    " CROSS JOIN entry e ON e.directory = g.number"
    " WHERE g.number > ?1 AND g.number <= ?2"
    " AND (e.first <= ?3 AND e.last > ?3) <> (e.first <= ?4 AND e.last > ?4)"
    " AND e.file GROUP BY g.number"
)


def gained(db: Database, old: Moment, new: Moment) -> Iterator[tuple[bytes, int]]:
    """Path and growth in bytes of each directory whose own files take more or less than before.

    Both snapshots are of one tree. A file counts at each of its names.
    """
    paths = Paths(db)
    low, high = sorted((old.number, new.number))

    def prepare(each: Database) -> None:
        each.execute(_PLACES)
        each.execute(_TOUCHED, (old.anchor, low, high))

    for parent, name, grown in sweep(db, _GAINED, (old.number, new.number), prepare=prepare):
        if grown:
            yield paths.entry(parent, bytes(name)), grown
