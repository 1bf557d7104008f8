"""What a snapshot no longer has: names that an earlier one shows, each in its last version."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import attrgetter

from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moments
from snapfs.metadata.tree import PAGE, Node, Tree
from snapfs.model.identity import Commit, DirectoryNumber

Places = tuple[int, ...]
"""The directories that stand for one path, one for each tree of the source: that of the snapshot
that is asked about first, and 0 where a tree never had it."""

_ROOT = b"/"
_NAMES = (
    "SELECT e.directory, e.name, max(e.first) AS first, max(e.child) AS child,"
    " max(iif(e.child IS NULL, 0, e.first)) AS as_directory,"
    " EXISTS (SELECT 1 FROM entry h WHERE h.directory = ?2 AND h.name = e.name"
    "  AND h.first <= ?3 AND h.last > ?3) AS held"
    " FROM entry e CROSS JOIN temp.moment m ON m.number = e.first"
    " WHERE e.directory = ?1 AND m.shown < min(e.last, ?3 + 1) AND {}"
    " GROUP BY e.name HAVING max(e.child) IS NOT NULL OR NOT held ORDER BY e.name LIMIT ?5"
)
_FURTHER, _ONE = _NAMES.format("e.name > ?4"), _NAMES.format("e.name = ?4")


@dataclass(frozen=True, slots=True)
class LostName:
    """A name that the snapshot lacks, or a directory in which it may lack something."""

    name: bytes
    node: Node
    "its last version; of what is passed through the last one that is a directory"
    inside: Places
    "of a directory"
    held: bool
    "the snapshot has this name: it only leads to what it has not"
    hides: bool
    "it is no directory in its last version and was one before; what that held is not told"


@dataclass(frozen=True, slots=True)
class _Row:
    """What one tree knows of a name."""

    directory: int
    name: bytes
    first: int
    child: int | None
    as_directory: int
    "the last commit that made a directory of it; 0: it never was one"
    held: bool


class Lost:
    """Compares a snapshot with all that wanted snapshots before it, in the log, show.

    `moments` are those of its source. Memory is bounded by a page of names for each level.
    """

    def __init__(
        self, db: Database, moments: Moments, source: int, anchor: DirectoryNumber, commit: Commit
    ) -> None:
        self._db = db
        self._tree = Tree(db)
        self._commit = commit
        others = [other for other in moments.anchors(source) if other != anchor]
        self._anchors: Places = (anchor, *others)

    def find(self, path: bytes) -> LostName | None:
        """The name at an absolute path; None where nothing is lost at or below it."""
        parent, _, name = path.rstrip(b"/").rpartition(b"/")
        if not name:
            return next(self._names(self._anchors, _ONE, _ROOT), None)
        places = tuple(self._directory(anchor, parent) for anchor in self._anchors)
        return next(self._names(places, _ONE, name), None)

    def names(self, places: Places) -> Iterator[LostName]:
        """The names in a directory, in order of their bytes."""
        return self._names(places, _FURTHER, b"")

    def _names(self, places: Places, sql: str, name: bytes) -> Iterator[LostName]:
        streams = [self._rows(place, places[0], sql, name) for place in places if place]
        for found, rows in groupby(merge(*streams, key=attrgetter("name")), attrgetter("name")):
            lost = self._judge(found, places, list(rows))
            if lost is not None:
                yield lost

    def _rows(self, place: int, present: int, sql: str, name: bytes) -> Iterator[_Row]:
        while True:
            page = [
                _Row(*row) for row in self._db.rows(sql, (place, present, self._commit, name, PAGE))
            ]
            yield from page
            if len(page) < PAGE:
                return
            name = page[-1].name

    def _judge(self, name: bytes, places: Places, rows: list[_Row]) -> LostName | None:
        last = max(rows, key=attrgetter("first"))
        as_directory = max(rows, key=attrgetter("as_directory"))
        held = any(row.held for row in rows)
        is_directory = last.first == last.as_directory
        leads = held or is_directory
        row, first = (as_directory, as_directory.as_directory) if leads else (last, last.first)
        number = self._db.row(
            "SELECT node FROM entry WHERE directory = ? AND name = ? AND first = ?",
            (row.directory, name, first),
        )
        node = self._tree.node(number[0]) if number else None
        if node is None:
            return None
        children = {row.directory: row.child or 0 for row in rows}
        return LostName(
            name=name,
            node=node,
            inside=tuple(children.get(place, 0) for place in places) if leads else (),
            held=held,
            hides=not leads and as_directory.as_directory > 0,
        )

    def _directory(self, anchor: int, path: bytes) -> int:
        number = self._tree.child(anchor, _ROOT)
        for name in path.split(b"/"):
            if name and number is not None:
                number = self._tree.child(number, name)
        return number or 0
