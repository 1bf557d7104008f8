"""The history of one path: its versions in a source, and every name that a directory ever had."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby

from snapfs.metadata.database import Database, Row
from snapfs.metadata.moments import Moment, Moments
from snapfs.metadata.paths import Paths
from snapfs.metadata.sameness import Sameness
from snapfs.metadata.tree import Node, Tree
from snapfs.model.versions import Held, Version, timeline

_ROOT = b"/"


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a directory has or had."""

    name: bytes
    versions: int
    "states that snapshots show"
    first: Moment
    "the oldest snapshot that shows the name"
    last: Moment
    "the newest one"
    node: Node
    "its last state"
    deleted: bool
    "the newest snapshot of the source does not show it"


class History:
    """Looks back along paths, in the sources whose moments are given."""

    def __init__(self, db: Database, moments: Moments) -> None:
        self._db = db
        self._moments = moments
        self._tree = Tree(db)
        self._paths = Paths(db)
        self._sameness = Sameness(db)

    def versions(self, source: int, path: bytes) -> Iterator[Version[Node]]:
        """The distinct states of a path, oldest first, and the times when there was nothing."""
        numbers = [moment.number for moment in self._moments.of(source)]
        return timeline(self._held(source, path), numbers, self._sameness.aspects)

    def names(self, source: int, path: bytes) -> Iterator[Name]:
        """Every name that snapshots show or showed in a directory, in order of their bytes."""
        streams = []
        for anchor in self._moments.anchors(source):
            directory = self._paths.number(anchor, path)
            if directory is not None:
                streams.append(self._shown_in(directory))
        for _, rows in groupby(merge(*streams, key=_by_name), key=lambda row: row[0]):
            yield self._name(source, list(rows))

    def _held(self, source: int, path: bytes) -> Iterator[Held[Node]]:
        parent, _, name = path.rpartition(b"/")
        for anchor in self._moments.anchors(source):
            directory: int | None = anchor if path == _ROOT else self._paths.number(anchor, parent)
            if directory is None:
                continue
            end = self._end(source, anchor)
            for first, last, number in self._db.stream(
                "SELECT first, last, node FROM entry WHERE directory = ? AND name = ?"
                " ORDER BY first",
                (directory, name or _ROOT),
            ):
                node = self._tree.node(number)
                if node is not None:
                    yield Held(first, min(last, end), node)

    def _end(self, source: int, anchor: int) -> int:
        """Behind the last snapshot of a tree. What a tree held when it was left stays open."""
        return max(one.number for one in self._moments.of(source) if one.anchor == anchor) + 1

    def _shown_in(self, directory: int) -> Iterator[Row]:
        return self._db.stream(
            "SELECT e.name, e.first, e.last, e.node, m.anchor, m.shown, m.newest"
            " FROM entry e CROSS JOIN temp.moment m ON m.number = e.first"
            " WHERE e.directory = ? AND m.shown < e.last ORDER BY e.name, e.first",
            (directory,),
        )

    def _name(self, source: int, rows: list[Row]) -> Name:
        name, _, last, number, anchor, _, newest = rows[-1]
        node = self._tree.node(number)
        assert node is not None
        return Name(
            name=bytes(name),
            versions=len(rows),
            first=self._moments.at(rows[0][5]),
            last=self._moments.last_before(anchor, last),
            node=node,
            deleted=not newest < last,
        )


def _by_name(row: Row) -> tuple[bytes, int]:
    return bytes(row[0]), int(row[1])
