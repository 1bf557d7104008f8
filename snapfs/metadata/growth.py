"""How much each directory gained between two snapshots of one tree."""

from collections.abc import Iterator

from snapfs.metadata import touches
from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moment
from snapfs.metadata.paths import Paths

# Grouped by what leads the loop, so nothing has to be sorted. The plus keeps that from being the
# index that leads to the commits between the two: to read a table of this size takes less.
_GAINED = (
    f"WITH grown (directory, high, low) AS (SELECT directory, {touches.halves('size')} FROM touched"
    " WHERE +record > ?2 AND +record <= ?3"
    " AND +record IN (SELECT number FROM snapshot WHERE anchor = ?1) GROUP BY directory)"
    " SELECT d.parent, d.name, g.high, g.low FROM grown g"
    " CROSS JOIN directory d ON d.number = g.directory WHERE g.high OR g.low"
)


def gained(db: Database, old: Moment, new: Moment) -> Iterator[tuple[bytes, int]]:
    """Path and growth in bytes of each directory whose own files take more or less than before.

    Both snapshots are of one tree. A file counts at each of its names.
    """
    paths = Paths(db)
    low, high = sorted((old.number, new.number))
    sign = 1 if low == old.number else -1
    for parent, name, *halves in db.stream(_GAINED, (old.anchor, low, high)):
        if size := touches.growth(*halves):
            yield paths.entry(parent, bytes(name)), sign * size
