"""What differs between two snapshots.

Those of one tree are told as they are found (`successive`). Trees of two sources are walked side by
side, and what differs is collected in a temporary table, which sorts it by path. Either way such a
table pairs what was renamed before the first difference is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from typing import TypeAlias

from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moment
from snapfs.metadata.names import join
from snapfs.metadata.sameness import Sameness
from snapfs.metadata.successive import Change, Successive
from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model.difference import Difference, classify
from snapfs.model.identity import Commit

_BATCH = 1000
_Pair: TypeAlias = tuple[bytes, int | None, int | None]
"path, and the nodes that the two snapshots have there"
_TABLES = """
DROP TABLE IF EXISTS temp.change;
DROP TABLE IF EXISTS temp.renamed;
CREATE TEMP TABLE change (
  path BLOB PRIMARY KEY, old INTEGER, new INTEGER,
  name BLOB NOT NULL  -- the path's last one
) WITHOUT ROWID;
CREATE TEMP TABLE renamed (old BLOB NOT NULL UNIQUE, new BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_PUT = (
    "INSERT INTO temp.change VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE"
    " SET old = coalesce(excluded.old, old), new = coalesce(excluded.new, new)"
)
_FILES = (
    "SELECT c.path, n.data, c.name,"
    " row_number() OVER (PARTITION BY n.data, {equal} ORDER BY c.path) AS place"
    " FROM temp.change c JOIN node n ON n.number = c.{has}"
    " WHERE c.{lacks} IS NULL AND n.mode & 61440 = 32768 AND n.data IS NOT NULL"
    " AND c.path NOT IN (SELECT {has} FROM temp.renamed)"
)


def _paired(*equal: str) -> str:
    """Of several equal files the first that went becomes the first that came, and so on. Equal data
    is equal content; the rare other way round, two stored copies of a block, is not looked for."""
    parts = ", ".join(f"c.{column}" for column in equal) or "0"
    lost = _FILES.format(has="old", lacks="new", equal=parts)
    found = _FILES.format(has="new", lacks="old", equal=parts)
    return (
        f"INSERT INTO temp.renamed WITH lost AS MATERIALIZED ({lost}),"
        f" found AS MATERIALIZED ({found}) SELECT lost.path, found.path"
        f" FROM lost JOIN found USING ({', '.join(('data', *equal, 'place'))})"
    )


# Those that kept their name go first: a moved file is not taken for a copy that came with it.
_PAIR_RENAMED = _paired("name"), _paired()


@dataclass(frozen=True, slots=True)
class Side:
    """A tree that is compared: that of a commit."""

    anchor: int
    commit: Commit

    @classmethod
    def of(cls, moment: Moment) -> "Side":
        return cls(moment.anchor, moment.number)


class Differences:
    """Compares trees of any sources whose entries are applied."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tree = Tree(db)
        self._sameness = Sameness(db)

    def between(self, old: Side, new: Side, path: bytes = b"/") -> Iterator[Difference]:
        """What differs at and below a path, in order of the paths' bytes."""
        self._db.execute(_TABLES)
        if old.anchor != new.anchor:
            self._pair(self._walked(old, new, path))
            yield from self._collected()
            return
        line = Successive(self._db, old.anchor, old.commit, new.commit, path)
        self._pair(line.moved())
        yield from self._told(line.changes())

    def _pair(self, pairs: Iterator[_Pair]) -> None:
        """Note these differences, and which of them were renamed."""
        while batch := list(islice(pairs, _BATCH)):
            self._db.execute_many(_PUT, [(*pair, pair[0].rpartition(b"/")[2]) for pair in batch])
        for statement in _PAIR_RENAMED:
            self._db.execute(statement)

    def _told(self, changes: Iterator[Change]) -> Iterator[Difference]:
        some_moved = self._db.row("SELECT 1 FROM temp.renamed LIMIT 1") is not None
        for change in changes:
            before, was = None, change.old
            if some_moved and change.new is None:
                if self._db.row("SELECT 1 FROM temp.renamed WHERE old = ?", (change.path,)):
                    continue
            elif some_moved and was is None:
                before, was = self._origin(change.path)
            found = self._difference(change.path, before, was, change.new)
            if found is not None:
                yield found

    def _origin(self, path: bytes) -> tuple[bytes | None, Node | None]:
        row = self._db.row(
            "SELECT r.old, c.old FROM temp.renamed r JOIN temp.change c ON c.path = r.old"
            " WHERE r.new = ?",
            (path,),
        )
        return (bytes(row[0]), self._node(row[1])) if row else (None, None)

    def _difference(
        self, path: bytes, before: bytes | None, was: Node | None, is_: Node | None
    ) -> Difference | None:
        return classify(
            path=path,
            renamed_from=before,
            before=was.attributes if was else None,
            after=is_.attributes if is_ else None,
            changed=self._sameness.aspects(was, is_) if was and is_ else (),
        )

    def _collected(self) -> Iterator[Difference]:
        for path, old, new, before, lost in self._db.stream(
            "SELECT c.path, c.old, c.new, r.old, o.old FROM temp.change c"
            " LEFT JOIN temp.renamed r ON r.new = c.path"
            " LEFT JOIN temp.change o ON o.path = r.old"
            " WHERE c.old IS NOT c.new AND NOT EXISTS"
            " (SELECT 1 FROM temp.renamed g WHERE g.old = c.path) ORDER BY c.path"
        ):
            was = self._node(old if before is None else lost)
            found = self._difference(path, before, was, self._node(new))
            if found is not None:
                yield found

    def _node(self, number: int | None) -> Node | None:
        return None if number is None else self._tree.node(number)

    def _walked(self, old: Side, new: Side, path: bytes) -> Iterator[_Pair]:
        top = _Both(
            self._tree.resolve(old.anchor, old.commit, path),
            self._tree.resolve(new.anchor, new.commit, path),
        )
        todo = [(path, top)]
        while todo:
            at, both = todo.pop()
            if self._differ(both):
                yield at, *both.numbers
            for name, inner in self._inside(old, new, both):
                if inner.has_directory:
                    todo.append((join(at, name), inner))
                elif self._differ(inner):
                    yield join(at, name), *inner.numbers

    def _inside(self, old: Side, new: Side, both: "_Both") -> Iterator[tuple[bytes, "_Both"]]:
        """The names of two directories in order, each with what the two have of it."""
        ours = ((entry.name, 0, entry) for entry in self._entries(old, both.old))
        theirs = ((entry.name, 1, entry) for entry in self._entries(new, both.new))
        together = merge(ours, theirs, key=lambda one: one[:2])
        for name, of_name in groupby(together, key=lambda one: one[0]):
            held = {side: entry for _, side, entry in of_name}
            yield name, _Both(held.get(0), held.get(1))

    def _entries(self, side: Side, entry: Entry | None) -> Iterator[Entry]:
        if entry is None or entry.child is None:
            return iter(())
        return self._tree.entries(entry.child, side.commit)

    def _differ(self, both: "_Both") -> bool:
        if both.old is None or both.new is None:
            return both.old is not both.new
        return bool(self._sameness.aspects(both.old.node, both.new.node))


@dataclass(frozen=True, slots=True)
class _Both:
    """What two trees have at one path."""

    old: Entry | None
    new: Entry | None

    @property
    def numbers(self) -> tuple[int | None, int | None]:
        return (
            self.old.node.number if self.old else None,
            self.new.node.number if self.new else None,
        )

    @property
    def has_directory(self) -> bool:
        return any(entry is not None and entry.child is not None for entry in (self.old, self.new))
