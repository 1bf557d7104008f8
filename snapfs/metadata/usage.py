"""What takes how much: a directory of a snapshot, the repository as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.metadata import touches
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database, Row
from snapfs.metadata.fates import GONE
from snapfs.metadata.paths import Paths
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.sweep import sweep
from snapfs.model.identity import Commit

# A file with several names is counted at one of them, as du does; only those are sorted out one by
# one. The others are summed up by what commits did to each directory.
_TABLE = """
DROP TABLE IF EXISTS temp.below;
CREATE TEMP TABLE below (
  number INTEGER PRIMARY KEY,  -- a directory
  top    INTEGER NOT NULL      -- the one above it, or itself, that is told
);
"""
_BELOW = """
INSERT INTO temp.below
WITH RECURSIVE below (number, top, depth) AS (
  VALUES (?1, ?1, 0)
  UNION ALL
  SELECT d.number, iif(b.depth < ?2, d.number, b.top), b.depth + 1
  FROM below b JOIN directory d ON d.parent = b.number AND d.parent <> 0
)
SELECT number, top FROM below
"""
# By directory first, which leads the loop: what is left to be sorted is little.
_SUMS = f"""
WITH own (top, entries, size_high, size_low, linked_high, linked_low) AS (
  SELECT b.top, sum(t.entries), {touches.halves("t.size")}, {touches.halves("t.linked")}
  FROM temp.below b CROSS JOIN touched t ON t.directory = b.number
  WHERE t.record <= ?1 GROUP BY b.number
)
SELECT top, sum(entries), sum(size_high), sum(size_low), sum(linked_high), sum(linked_low)
FROM own GROUP BY top HAVING sum(entries) > 0
"""
_LINKED = """
SELECT b.top, e.node, e.size
FROM temp.below b CROSS JOIN entry e ON e.directory = b.number
WHERE b.number > ?1 AND b.number <= ?2 AND e.first <= ?3 AND e.last > ?3 AND e.file = 2
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a directory holds in a snapshot, with all below it."""

    path: bytes
    entries: int
    size: int
    "bytes of files; of one with several names once, and of a sparse one with its holes"


@dataclass(frozen=True, slots=True)
class Totals:
    """The repository in numbers, as far as sums of the tables say."""

    sources: int
    snapshots: int
    logical: int
    "bytes of the files of all snapshots together"
    plain: int
    "bytes of the blocks that are stored, before compression"
    stored: int
    "bytes of the packs"
    packs: int
    blocks: int


class UsageQuestions:
    """Sums over trees and packs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def directory(self, number: int, commit: Commit, depth: int) -> list[Usage]:
        """A directory and those up to `depth` below it, each with its sum, in order of path."""

        def prepare(db: Database) -> None:
            db.execute(_TABLE)
            db.execute(_BELOW, (number, depth))

        prepare(self._db)
        found: dict[int, tuple[int, int]] = {}
        linked = 0
        for top, entries, high, low, linked_high, linked_low in self._db.stream(_SUMS, (commit,)):
            found[top] = (entries, touches.total(high - linked_high, low - linked_low))
            linked += touches.total(linked_high, linked_low)
        if linked:
            self._add_linked(found, sweep(self._db, _LINKED, (commit,), prepare=prepare))
        return self._rolled_up(found, number)

    def _add_linked(self, found: dict[int, tuple[int, int]], rows: Iterator[Row]) -> None:
        row = self._db.row("SELECT max(number) + 1 FROM node")
        seen = NumberSet(int(row[0]) if row else 0)
        for top, node, size in rows:
            if seen.add(node):
                entries, sum_ = found[top]
                found[top] = (entries, sum_ + size)

    def _rolled_up(self, found: dict[int, tuple[int, int]], number: int) -> list[Usage]:
        paths = Paths(self._db)
        stop = paths.directory(number)
        sums: dict[bytes, tuple[int, int]] = {stop: (0, 0)}
        for directory, (entries, size) in found.items():
            path = paths.directory(directory)
            while True:
                before = sums.get(path, (0, 0))
                sums[path] = (before[0] + entries, before[1] + size)
                if path == stop:
                    break
                path = path.rpartition(b"/")[0] or b"/"
        return [Usage(path, *sums[path]) for path in sorted(sums)]

    def totals(self) -> Totals:
        """Sums over the whole repository."""
        sources, snapshots = self._one(
            "SELECT count(DISTINCT source), count(*) FROM snapshot"
            " WHERE complete AND forgotten IS NULL"
        )
        packs, stored = self._one(
            "SELECT count(*), coalesce(sum(p.size), 0) FROM pack p"
            f" LEFT JOIN fate f ON f.name = p.name AND f.state = {GONE} WHERE f.name IS NULL"
        )
        plain, blocks = self._one(
            "SELECT coalesce(sum(s.plain), 0), coalesce(sum(s.blocks), 0) FROM segment s"
            " JOIN pack p ON p.number = s.pack"
            f" LEFT JOIN fate f ON f.name = p.name AND f.state = {GONE} WHERE f.name IS NULL"
        )
        logical = sum(one.counts.bytes_total for one in Snapshots(self._db).stream())
        return Totals(sources, snapshots, logical, plain, stored, packs, blocks)

    def _one(self, sql: str) -> Row:
        row = self._db.row(sql)
        assert row is not None
        return row
