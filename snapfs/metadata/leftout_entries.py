"""What a base leaves out of the entries of a source: what no commit that it restates shows.

As with blocks, the rules only look at what no later record changes: an interval that holds no
wanted commit never will, for only its open end can move, to a record behind all of these.

Directories stay as long as their tree does, for a path that returns takes its number again. Lists
stay as long as a delta can name them by key, which is while their blocks are there.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import msgspec

from snapfs.formats.records import Base
from snapfs.metadata.bases import bounds
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database, Row
from snapfs.metadata.touches import ENDS, Touches

_PAGE = 20_000
"rows that one transaction deletes, about"
_HOLE = -1
_extents = msgspec.msgpack.Decoder(list[int])
_KEPT = """
DROP TABLE IF EXISTS temp.kept_touch;
CREATE TEMP TABLE kept_touch (
  record INTEGER NOT NULL, directory INTEGER NOT NULL, PRIMARY KEY (record, directory)
) WITHOUT ROWID;
"""


def drop_entries(db: Database, source: int, base: Base, check: Callable[[], None]) -> None:
    """Delete what a base leaves out of a source, in bounded transactions.

    Broken off, it is done again. The blocks that the base leaves out are gone by now. Each
    transaction begins with `check`, which ends it all by raising.
    """
    _Dropping(db, source, base, check).run()


def is_shown(commits: Sequence[int], first: int, last: int) -> bool:
    """Whether one of these commits, which are in order, lies in an interval."""
    at = bisect_left(commits, first)
    return at < len(commits) and commits[at] < last


def trees_of(db: Database, source: int, base: Base) -> dict[int, list[int]]:
    """The anchors of a source's trees as of a base, and the wanted commits of each."""
    wanted = set(base.wanted)
    trees: dict[int, list[int]] = {}
    for number, anchor in db.rows(
        "SELECT number, anchor FROM snapshot WHERE source = ? AND number <= ? ORDER BY number",
        (source, base.until),
    ):
        commits = trees.setdefault(anchor, [])
        if number in wanted:
            commits.append(number)
    return trees


def directories_of(db: Database, anchor: int) -> NumberSet:
    """Numbers of all directories of a tree, its anchor too."""
    found = NumberSet(_next(db, "directories"))
    for (number,) in db.stream(
        "WITH RECURSIVE tree (number) AS (VALUES (?) UNION ALL SELECT d.number FROM tree t"
        " JOIN directory d ON d.parent = t.number AND d.parent <> 0) SELECT number FROM tree",
        (anchor,),
    ):
        found.add(number)
    return found


class _Dropping:
    """One pass over a source."""

    def __init__(
        self, db: Database, source: int, base: Base, check: Callable[[], None]
    ) -> None:  # fmt: skip
        self._check = check
        self._db = db
        self._source = source
        self._base = base
        self._nodes = NumberSet(_next(db, "nodes"))
        "that entries which stay refer to"

    def run(self) -> None:
        self._db.execute(_KEPT)
        for anchor, commits in trees_of(self._db, self._source, self._base).items():
            directories = directories_of(self._db, anchor)
            for dead in _in_pages(self._pass(directories, commits)):
                self._delete_entries(dead)
            if not commits:
                self._drop_directories(anchor, directories)
        records = self._records()
        for record, _, _ in records:
            self._drop_touched(record)
        for dead in _in_pages(self._dead_nodes(records)):
            self._delete("DELETE FROM node WHERE number = ?", dead)
        self._delete("DELETE FROM list WHERE number = ?", list(self._dead_lists()))
        self._db.execute("DROP TABLE temp.kept_touch")

    def _pass(self, directories: NumberSet, commits: list[int]) -> Iterator[Row]:
        """The keys of entries that go. What the others need is noted on the way."""
        until = self._base.until
        for directory in directories:
            for page in self._versions(directory):
                touches: set[tuple[int, int]] = set()
                for name, first, last, node in page:
                    if first <= until and not is_shown(commits, first, last):
                        yield directory, name, first
                        continue
                    self._nodes.add(node)
                    touches.update((each, directory) for each in (first, last) if each <= until)
                self._db.execute_many(
                    "INSERT OR IGNORE INTO temp.kept_touch VALUES (?, ?)", touches
                )

    def _versions(self, directory: int) -> Iterator[list[Row]]:
        """The entries of a directory in pages: no query is open while rows are deleted."""
        name, first = b"", 0
        while page := self._db.rows(
            "SELECT name, first, last, node FROM entry WHERE directory = ?1"
            " AND (name, first) > (?2, ?3) ORDER BY name, first LIMIT ?4",
            (directory, name, first, _PAGE),
        ):
            yield page
            if len(page) < _PAGE:
                return
            name, first = page[-1][:2]

    def _drop_directories(self, anchor: int, directories: NumberSet) -> None:
        """Delete those of a tree that nobody can come back to; the deepest first.

        So what was broken off is found again from the anchor, which stays.
        """
        numbers = [(number,) for number in directories if number != anchor]
        for at in range(0, len(numbers), _PAGE):
            self._delete("DELETE FROM directory WHERE number = ?", numbers[::-1][at : at + _PAGE])

    def _records(self) -> list[tuple[int, int, int]]:
        """The commits that are restated, each with the numbers of its first node and the next."""
        rows = self._db.rows(
            "SELECT l.number, l.nodes, n.nodes FROM log l"
            " LEFT JOIN log n ON n.number = l.number + 1 WHERE l.source = ? AND l.number <= ?",
            (self._source, self._base.until),
        )
        end = bounds(self._db, self._base.until).nodes
        return [(number, first, end if after is None else after) for number, first, after in rows]

    def _drop_touched(self, record: int) -> None:
        dead = self._db.rows(
            "SELECT record, directory FROM touched t WHERE record = ? AND NOT EXISTS"
            " (SELECT 1 FROM temp.kept_touch k"
            "  WHERE k.record = t.record AND k.directory = t.directory)",
            (record,),
        )
        self._delete("DELETE FROM touched WHERE record = ? AND directory = ?", dead)

    def _dead_nodes(self, records: list[tuple[int, int, int]]) -> Iterator[Row]:
        for _, first, end in records:
            for begin in range(first, end, _PAGE):
                rows = self._db.rows(
                    "SELECT number FROM node WHERE number >= ? AND number < ?",
                    (begin, min(begin + _PAGE, end)),
                )
                yield from (row for row in rows if row[0] not in self._nodes)

    def _dead_lists(self) -> Iterator[Row]:
        """Lists of which something is gone; a list only holds lists before it."""
        gone: set[int] = set()
        for number, items in self._db.rows(
            "SELECT number, items FROM list WHERE source = ? AND number < ? ORDER BY number",
            (self._source, bounds(self._db, self._base.until).lists),
        ):
            if any(self._is_gone(code, gone) for code in _extents.decode(items)[::2]):
                gone.add(number)
                yield (number,)

    def _is_gone(self, code: int, gone: set[int]) -> bool:
        if code < 0:
            return code != _HOLE and -2 - code in gone
        return self._db.row("SELECT 1 FROM block WHERE number = ?", (code,)) is None

    def _delete_entries(self, keys: list[Row]) -> None:
        if not keys:
            return
        touches = Touches()
        with self._db.writing():
            self._check()
            sql = "DELETE FROM entry WHERE directory = ? AND name = ? AND first = ?"
            touches.add(self._db.returned(f"{sql} RETURNING {ENDS}", keys), -1)
            touches.write(self._db)

    def _delete(self, sql: str, rows: list[Row]) -> None:
        if rows:
            with self._db.writing():
                self._check()
                self._db.execute_many(sql, rows)


def _in_pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    page: list[Row] = []
    for row in rows:
        page.append(row)
        if len(page) >= _PAGE:
            yield page
            page = []
    yield page


def _next(db: Database, counter: str) -> int:
    row = db.row("SELECT next FROM counter WHERE name = ?", (counter,))
    return int(row[0]) if row else 2
