"""What differs between two snapshots of one tree: told in order of paths, a directory at a time.

Only directories are looked at in which a commit between the two changed something.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from snapfs.metadata import contents
from snapfs.metadata.bases import bounds
from snapfs.metadata.database import Database, Row, Value
from snapfs.metadata.names import ANCHOR, join
from snapfs.metadata.paths import Paths
from snapfs.metadata.sweep import sweep
from snapfs.metadata.tree import NODE, Node, node_of
from snapfs.model.identity import OPEN

_TABLE = """
DROP TABLE IF EXISTS temp.place;
CREATE TEMP TABLE place (
  number INTEGER PRIMARY KEY,  -- a directory in which something may differ
  name   BLOB                  -- the one entry that is asked about; null: all
);
"""
_TOUCHED = (
    "SELECT d.number, d.parent, d.name FROM (SELECT DISTINCT t.directory FROM snapshot s"
    " JOIN touched t ON t.record = s.number WHERE s.anchor = ? AND s.number > ? AND s.number <= ?)"
    " t CROSS JOIN directory d ON d.number = t.directory"
)
# The same, of a directory ?1 with all below it, and of the one above, ?2.
_TOUCHED_BELOW = (
    "WITH RECURSIVE below (number) AS (SELECT ?1 UNION ALL SELECT d.number FROM below b"
    " JOIN directory d ON d.parent = b.number AND d.parent <> 0)"
    " SELECT d.number, d.parent, d.name FROM (SELECT number FROM below UNION SELECT ?2) b"
    " CROSS JOIN directory d ON d.number = b.number WHERE EXISTS (SELECT 1 FROM touched t"
    " WHERE t.directory = d.number AND t.record > ?3 AND t.record <= ?4)"
)
# ?3 and ?4 are the two commits, the earlier one first. An entry that both have is no difference:
# most have been tested when it is said that they begin before the one and end behind the other.
_ONE_SIDED = "iif(e.first <= ?3, e.last <= ?4 AND e.last > ?3, e.first <= ?4 AND e.last > ?4)"
_EARLY = "e.first <= ?3"
"which of the two has a one-sided entry"
# Files whose names only one of the two has, of places above ?1 and up to ?2. The grouping follows
# the key of `entry` and sorts nothing.
_ALONE = (
    "SELECT s.directory, s.name, s.node, s.early, n.data FROM (SELECT p.number AS directory,"
    f" e.name, e.node, {_EARLY} AS early FROM temp.place p"
    " CROSS JOIN entry e ON e.directory = p.number"
    f" WHERE p.number > ?1 AND p.number <= ?2 AND {_ONE_SIDED}"
    " AND (p.name IS NULL OR e.name = p.name) GROUP BY p.number, e.name HAVING count(*) = 1) s"
    " CROSS JOIN node n ON n.number = s.node WHERE n.mode & 61440 = 32768 AND n.data IS NOT NULL"
)
# Their contents, of one side: 1 is the earlier one. What begins alike may differ. One text for each
# range, as rows would take longer than the query.
_CONTENTS = "SELECT group_concat(hex(substr(data, 1, 24))) FROM ({} AND s.early = ?5{})"
_ALL_CONTENTS = _CONTENTS.format(_ALONE, "")
_OLD_CONTENTS = _CONTENTS.format(_ALONE, f" AND {contents.BEGINS_BEFORE.format('n.data', '?6')}")
_MOVED = (
    f"WITH alone AS MATERIALIZED ({_ALONE}) SELECT directory, name, node, early FROM alone"
    " WHERE data IN (SELECT data FROM alone GROUP BY data HAVING min(early) < max(early))"
)
_INSIDE = (
    f"SELECT e.name, {_EARLY}, {NODE} FROM entry e CROSS JOIN node n ON n.number = e.node"
    f" WHERE e.directory = ?1 AND {_ONE_SIDED} AND (?2 IS NULL OR e.name = ?2) ORDER BY e.name"
)
_ALL = (0, OPEN)
"all places: see `_ALONE`"
_FEW = 500
"directories that were touched, up to which it is no matter whether they are below a path"
_MANY = 500
"places, from which on it pays to look first whether anything can have moved"
_KEPT = 500_000
"contents of which this keeps a hash, at 60 bytes each"


@dataclass(frozen=True, slots=True)
class Change:
    """A path that is another inode, or another state of one, in the two snapshots."""

    path: bytes
    old: Node | None
    new: Node | None


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    path: bytes
    name: bytes | None
    "the one entry that is asked about"

    @property
    def key(self) -> bytes:
        """What all paths below begin with."""
        return self.path.rstrip(b"/") + b"/" if self.path else b""


class Successive:
    """The changes from one commit to another of the same tree, at and below a path."""

    def __init__(self, db: Database, anchor: int, old: int, new: int, path: bytes) -> None:
        self._db = db
        self._commits = (min(old, new), max(old, new))
        self._backwards = old > new
        self._paths = Paths(db)
        touched = self._touched(anchor, path)
        placed = (self._place(number, parent, name, path) for number, parent, name in touched)
        self._places = sorted((one for one in placed if one), key=lambda one: one.key)
        self._prepare(db)

    def _touched(self, anchor: int, path: bytes) -> list[Row]:
        """The directories in which something may differ; where those are many, that matter here."""
        values = (anchor, *self._commits)
        if path == b"/" or len(self._db.rows(f"{_TOUCHED} LIMIT {_FEW}", values)) < _FEW:
            return self._db.rows(_TOUCHED, values)
        above = path.rpartition(b"/")[0] or b"/"
        numbers = [self._paths.number(anchor, one) for one in (path, above)]
        return self._db.rows(_TOUCHED_BELOW, (*numbers, *self._commits))

    def _prepare(self, db: Database) -> None:
        """Give a connection the table of places."""
        db.execute(_TABLE)
        with db.at_once():
            db.execute_many(
                "INSERT INTO temp.place VALUES (?, ?)",
                [(one.number, one.name) for one in self._places],
            )

    def moved(self) -> Iterator[tuple[bytes, int | None, int | None]]:
        """Path, old and new node of files that only one has, where both have their content."""
        if len(self._places) >= _MANY and not self._can_have_moved():
            return
        for directory, name, node, early in self._db.stream(_MOVED, (*_ALL, *self._commits)):
            path = self._paths.entry(directory, name)
            yield (path, None, node) if early == self._backwards else (path, node, None)

    def _can_have_moved(self) -> bool:
        """Whether a content seems to be of a file on either side that the other one lacks.

        First those of the later side, where most begin with a block that the earlier commit did not
        know: if all do, nobody reads the others.
        """
        new_since = contents.number(bounds(self._db, self._commits[0]).blocks)
        later: set[int] = set()
        for found in self._contents(_OLD_CONTENTS, 0, new_since):
            later.update(found)
            if len(later) > _KEPT:
                return True
        return bool(later) and any(
            not later.isdisjoint(found) for found in self._contents(_ALL_CONTENTS, 1)
        )

    def _contents(self, sql: str, early: int, *more: bytes) -> Iterator[list[int]]:
        """Hashes of the contents of files that only one of the two commits has."""
        values: list[Value] = [*self._commits, early, *more]
        with closing(sweep(self._db, sql, values, prepare=self._prepare)) as texts:
            for (text,) in texts:
                if text:
                    yield [hash(one) for one in text.split(",")]

    def changes(self) -> Iterator[Change]:
        """All changes, in order of the paths' bytes."""
        # A directory's own changes surround those below it: /a/b, /a/b-c, /a/b/c, /a/b0.
        open_: list[_Open] = []
        for place in self._places:
            while open_ and not place.key.startswith(open_[-1].key):
                yield from open_.pop().until(None)
            if open_:
                yield from open_[-1].until(place.key)
            open_.append(_Open(place.key, self._inside(place)))
        while open_:
            yield from open_.pop().until(None)

    def _inside(self, place: _Place) -> Iterator[Change]:
        rows = self._db.stream(_INSIDE, (place.number, place.name, *self._commits))
        for name, of_name in groupby(rows, key=_name):
            sides: list[Node | None] = [None, None]
            for _, early, *node in of_name:
                sides[0 if early != self._backwards else 1] = node_of(tuple(node))
            yield Change(join(place.path, name), *sides)

    def _place(self, number: int, parent: int, own: bytes, path: bytes) -> _Place | None:
        """How a directory counts, for what is at and below a path."""
        found = self._paths.entry(parent, own) if parent else ANCHOR
        above, _, name = path.rpartition(b"/")
        place = _Place(number, found, None)
        if place.key.startswith(path.rstrip(b"/") + b"/") or (not found and path == b"/"):
            return place
        if found == (above or b"/") and name:
            return _Place(number, found, name)
        return None


class _Open:
    """A directory whose changes are being told."""

    def __init__(self, key: bytes, changes: Iterator[Change]) -> None:
        self.key = key
        self._changes = changes
        self._next = next(changes, None)

    def until(self, end: bytes | None) -> Iterator[Change]:
        """Those before a path; all that are left for None."""
        while self._next is not None and (end is None or self._next.path < end):
            change = self._next
            self._next = next(self._changes, None)
            yield change


def _name(row: Row) -> bytes:
    return bytes(row[0])
