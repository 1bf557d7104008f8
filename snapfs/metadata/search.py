"""Finding entries by what they are, over all snapshots, in one pass.

The pass over a million names takes a tenth of a second of one core, in SQLite's own code: an index
over names would help only for names that are known to the letter, and cost each ingest as much as
the table.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_IFDIR, S_IFREG

import msgspec

from snapfs.metadata.database import Database, Row, Value
from snapfs.metadata.moments import Moment, Moments
from snapfs.metadata.paths import Paths
from snapfs.metadata.sweep import sweep
from snapfs.metadata.tree import Node, Tree
from snapfs.model.attributes import NANOSECONDS
from snapfs.model.criteria import Criteria, in_any_case
from snapfs.model.identity import OPEN, Commit, DirectoryNumber, SourceNumber

_TYPE = 0o170000
_USER_NUMBER = re.compile("[0-9]{1,10}")
_LATER = (
    "EXISTS (SELECT 1 FROM entry x JOIN temp.moment y ON y.number = x.first"
    " WHERE x.directory = e.directory AND x.name = e.name AND x.first >= e.last"
    " AND y.shown < x.last)"
)


_COLUMNS = "SELECT e.directory, e.name, e.last, e.node, m.source, m.anchor, m.shown, m.newest FROM "
_ANYWHERE = _COLUMNS + "entry e"
_BELOW = (
    "WITH RECURSIVE below (number) AS (SELECT value FROM json_each(?) UNION ALL"
    " SELECT d.number FROM below b JOIN directory d ON d.parent = b.number AND d.parent <> 0) "
    + _COLUMNS
    + "below b CROSS JOIN entry e ON e.directory = b.number"
)
_ALL = (0, OPEN)
"the numbers of all directories: from above the first up to the last"
_MOMENT = " CROSS JOIN temp.moment m ON m.number = e.first"


@dataclass(frozen=True, slots=True)
class Match:
    """A state of a name that was looked for."""

    path: bytes
    node: Node
    source: SourceNumber
    first: Moment
    "the oldest snapshot that shows it"
    last: Moment
    "the newest one"
    deleted: bool
    "the newest snapshot of its source does not show this name"


class Search:
    """Looks for entries of the sources whose moments are given."""

    def __init__(self, db: Database, moments: Moments) -> None:
        self._db = db
        self._moments = moments
        self._paths = Paths(db)
        self._tree = Tree(db)

    def find(self, criteria: Criteria) -> Iterator[Match]:
        """What meets the criteria, by directory as they were first seen, then by name."""
        conditions, values = _conditions(criteria)
        wanted = criteria.path_pattern
        for row in self._rows(_MOMENT + " WHERE " + " AND ".join(conditions), values, criteria.top):
            found = _Found(*row)
            path = self._paths.entry(found.directory, found.name)
            if wanted is not None and not wanted.fullmatch(path):
                continue
            node = self._tree.node(found.node)
            deleted = self._is_deleted(found, path)
            if node is not None and (deleted or not criteria.deleted):
                yield Match(
                    path=path,
                    node=node,
                    source=found.source,
                    first=self._moments.at(found.shown),
                    last=self._moments.last_before(found.anchor, found.last),
                    deleted=deleted,
                )

    def _rows(self, rest: str, values: list[Value], top: bytes | None) -> Iterator[Row]:
        if top is None:
            return sweep(self._db, _ANYWHERE + rest, values, prepare=self._moments.share())
        below = msgspec.json.encode(self._directories(top)).decode()
        return self._db.stream(_BELOW + rest, (below, *_ALL, *values))

    def knows_owner(self, owner: str) -> bool:
        """Whether a host knew a user of this name when one of the sources was captured.

        True of any number: files have one also where no user does.
        """
        row = self._db.row(
            "SELECT 1 FROM owner WHERE kind = 0 AND name = ?"
            " AND source IN (SELECT source FROM temp.moment)",
            (owner.encode(errors="surrogateescape"),),
        )
        return row is not None or _user_number(owner) is not None

    def _directories(self, path: bytes) -> list[DirectoryNumber]:
        """The numbers that this path has or had as a directory, one in each tree at most."""
        found = (self._paths.number(anchor, path) for anchor in self._moments.trees())
        return [number for number in found if number is not None]

    def _is_deleted(self, found: "_Found", path: bytes) -> bool:
        if found.newest < found.last:
            return False
        if found.newest != OPEN:
            return self._tree.lookup(found.directory, Commit(found.newest), found.name) is None
        # Its tree was left behind when its source began anew; the path may stand in the new one.
        tip = self._moments.of(found.source)[-1]
        return self._tree.resolve(tip.anchor, tip.number, path) is None


@dataclass(frozen=True, slots=True)
class _Found:
    directory: int
    name: bytes
    last: int
    node: int
    source: SourceNumber
    anchor: int
    shown: int
    newest: int


def _conditions(criteria: Criteria) -> tuple[list[str], list[Value]]:
    """Those that need the least first: SQLite tests them in order, table by table."""
    # The root of a tree is the one entry of its anchor; what is looked for has a name.
    conditions = ["e.directory > ? AND e.directory <= ?", "m.anchor <> e.directory"]
    values: list[Value] = []
    _add_name(criteria, conditions, values)
    _add_node(criteria, conditions, values)
    conditions.append("m.shown < e.last")
    if criteria.deleted:
        conditions.append("NOT (e.first <= m.newest AND m.newest < e.last)")
    if not criteria.any_version:
        # As said of the entry alone it would be tested before the other tables are asked.
        conditions.append(f"iif(m.shown < e.last, e.last = {OPEN} OR NOT {_LATER}, 0)")
    return conditions, values


def _add_name(criteria: Criteria, conditions: list[str], values: list[Value]) -> None:
    pattern = criteria.name_pattern
    if pattern is None:
        return
    name, text = "CAST(e.name AS TEXT)", pattern.replace(b"[!", b"[^")
    if criteria.ignore_case and b"[" not in text:
        text = in_any_case(text)  # half the time of lowering each name
    elif criteria.ignore_case:
        name, text = f"lower({name})", text.lower()
    conditions.append(f"{name} GLOB CAST(? AS TEXT)")
    values.append(text)


def _add_node(criteria: Criteria, conditions: list[str], values: list[Value]) -> None:
    for bound, comparison in ((criteria.smallest, ">="), (criteria.largest, "<=")):
        if bound is not None:
            conditions.append(f"e.size {comparison} ?")
            values.append(bound)
    if criteria.smallest is not None or criteria.largest is not None:
        conditions.append("e.file")
    if criteria.types:
        _add_types(criteria.types, conditions, values)
    for moment, comparison in ((criteria.newer_ns, ">"), (criteria.older_ns, "<")):
        if moment is not None:
            second, rest = divmod(moment, NANOSECONDS)
            conditions.append(
                f"(e.mtime {comparison} ? OR e.mtime = ?"
                f" AND (SELECT n.mtime_ns FROM node n WHERE n.number = e.node) {comparison} ?)"
            )
            values.extend((second, second, rest))
    if criteria.owner is not None:
        _add_owner(criteria.owner, conditions, values)


def _add_types(types: tuple[int, ...], conditions: list[str], values: list[Value]) -> None:
    """What the entry says is asked of it: whether it is a file or a directory."""
    known = {S_IFREG: "e.file", S_IFDIR: "e.child IS NOT NULL"}
    asked = [known[one] for one in types if one in known]
    if others := [one for one in types if one not in known]:
        marks = ", ".join("?" * len(others))
        asked.append(
            f"NOT e.file AND e.child IS NULL AND (SELECT n.mode & {_TYPE} FROM node n"
            f" WHERE n.number = e.node) IN ({marks})"
        )
        values.extend(others)
    conditions.append("(" + " OR ".join(asked) + ")")


def _add_owner(owner: str, conditions: list[str], values: list[Value]) -> None:
    """What a name's number is, each host has said. Most entries are of none of these numbers."""
    named = "FROM owner WHERE kind = 0 AND name = ?"
    conditions.append(f"(e.uid = ? OR e.uid IN (SELECT number {named}))")
    conditions.append(f"(e.uid = ? OR (m.source, e.uid) IN (SELECT source, number {named}))")
    values.extend(2 * (_user_number(owner), owner.encode(errors="surrogateescape")))


def _user_number(owner: str) -> int | None:
    """What `owner` says if it is a number that a user can have."""
    return int(owner) if _USER_NUMBER.fullmatch(owner) else None
