"""How much each directory gained between two snapshots of one tree."""

from collections.abc import Iterator

from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moment
from snapfs.metadata.paths import Paths

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
    "SELECT g.number, sum(iif(e.first <= ?2 AND e.last > ?2, n.size, -n.size))"
    " FROM temp.grown g CROSS JOIN entry e ON e.directory = g.number"
    " CROSS JOIN node n ON n.number = e.node"
    " WHERE (e.first <= ?1 AND e.last > ?1) <> (e.first <= ?2 AND e.last > ?2)"
    " AND n.mode & 61440 = 32768 GROUP BY g.number"
)


def gained(db: Database, old: Moment, new: Moment) -> Iterator[tuple[bytes, int]]:
    """Path and growth in bytes of each directory whose own files take more or less than before.

    Both snapshots are of one tree. A file counts at each of its names.
    """
    paths = Paths(db)
    low, high = sorted((old.number, new.number))
    db.execute(_PLACES)
    db.execute(_TOUCHED, (old.anchor, low, high))
    for directory, grown in db.stream(_GAINED, (old.number, new.number)):
        if grown:
            yield paths.directory(directory), grown
