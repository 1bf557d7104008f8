"""How much each directory gained between two snapshots of one tree."""

from collections.abc import Iterator

from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moment
from snapfs.metadata.paths import Paths


def gained(db: Database, old: Moment, new: Moment) -> Iterator[tuple[bytes, int]]:
    """Path and growth in bytes of each directory whose own files take more or less than before.

    Both snapshots are of one tree. A file counts at each of its names.
    """
    paths = Paths(db)
    low, high = sorted((old.number, new.number))
    for directory, grown in db.stream(
        "WITH place AS MATERIALIZED (SELECT DISTINCT t.directory FROM snapshot s"
        " JOIN touched t ON t.record = s.number"
        " WHERE s.anchor = ?1 AND s.number > ?2 AND s.number <= ?3)"
        " SELECT e.directory, sum(iif(e.first <= ?5 AND e.last > ?5, n.size, -n.size))"
        " FROM place p CROSS JOIN entry e ON e.directory = p.directory"
        " CROSS JOIN node n ON n.number = e.node"
        " WHERE (e.first <= ?4 AND e.last > ?4) <> (e.first <= ?5 AND e.last > ?5)"
        " AND n.mode & 61440 = 32768 GROUP BY e.directory",
        (old.anchor, low, high, old.number, new.number),
    ):
        if grown:
            yield paths.directory(directory), grown
