"""Which snapshots show what: the intervals of entries, held against the snapshots that count.

A snapshot counts if it is complete, nobody has forgotten it, and the entries of its source are
applied as far as it needs. An entry is shown by those of its own tree that lie in its interval; one
that none shows is history that no question sees.

The temporary table `moment` says so in SQL, for each commit of an ingest: `m.shown < e.last` of the
moment `m` at which an entry began means that some snapshot shows it.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from snapfs.metadata.database import Database
from snapfs.model.identity import OPEN, Attempt, Commit, DirectoryNumber, SourceNumber
from snapfs.model.snapshot import SHORT

_TABLE = """
DROP TABLE IF EXISTS temp.moment;
CREATE TEMP TABLE moment (
  number INTEGER PRIMARY KEY,  -- a commit of an ingest
  source INTEGER NOT NULL,
  anchor INTEGER NOT NULL,     -- its tree
  counts INTEGER NOT NULL,     -- whether it is itself a snapshot that counts
  shown  INTEGER NOT NULL,     -- the next snapshot of its tree that counts; 2^62: none
  second INTEGER NOT NULL,     -- the one behind that
  newest INTEGER NOT NULL,     -- the newest of its source; 2^62 where that is of another tree
  nodes  INTEGER NOT NULL      -- number of the first node that it brought
);
"""
_FILL = f"""
INSERT INTO temp.moment
WITH stand AS (
  SELECT s.number, s.source, s.anchor,
         s.complete AND s.forgotten IS NULL AND s.number < coalesce(c.record, 1) AS counts
  FROM main.snapshot s LEFT JOIN main.cursor c ON c.stream = s.source
  WHERE s.source IN (SELECT value FROM json_each(?))
), tip AS (
  SELECT source, anchor, max(number) AS newest FROM stand WHERE counts GROUP BY source
), live AS (
  SELECT number, lead(number) OVER (PARTITION BY anchor ORDER BY number) AS later
  FROM stand WHERE counts
), ahead AS (
  -- Backwards, so that each row adds to what the one before it knew.
  SELECT *, min(iif(counts, number, NULL)) OVER (PARTITION BY anchor ORDER BY number DESC) AS shown
  FROM stand
)
SELECT a.number, a.source, a.anchor, a.counts, coalesce(a.shown, {OPEN}),
       coalesce(l.later, {OPEN}), coalesce(t.newest, {OPEN}), r.nodes
FROM ahead a JOIN main.log r ON r.number = a.number LEFT JOIN live l ON l.number = a.shown
LEFT JOIN tip t ON t.source = a.source AND t.anchor = a.anchor
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot that counts, as a point in its source's history."""

    number: Commit
    source: SourceNumber
    anchor: DirectoryNumber
    id: Attempt
    time_ns: int

    @property
    def short_id(self) -> str:
        return self.id.hex()[:SHORT]


class Moments:
    """The snapshots that count of certain sources, and the temporary table that tells them."""

    def __init__(self, db: Database, sources: Collection[int]) -> None:
        """Take stock once, so that all that is asked of one connection is of one state."""
        self._db = db
        db.execute(_TABLE)
        db.execute(_FILL, (msgspec.json.encode(list(sources)).decode(),))
        self._of: dict[int, list[Moment]] = {source: [] for source in sources}
        self._at: dict[int, Moment] = {}
        self._trees: dict[int, list[Moment]] = {}
        for row in db.rows(
            "SELECT s.number, s.source, s.anchor, s.id, s.time FROM temp.moment m"
            " JOIN main.snapshot s ON s.number = m.number WHERE m.counts ORDER BY s.number"
        ):
            moment = Moment(*row)
            self._of[moment.source].append(moment)
            self._at[moment.number] = moment
            self._trees.setdefault(moment.anchor, []).append(moment)

    def share(self) -> Callable[[Database], None]:
        """What gives another connection the same table: the same stock, whatever is applied since.

        It may be called in any thread.
        """
        rows = self._db.rows("SELECT * FROM temp.moment")

        def share(other: Database) -> None:
            if other is not self._db:
                other.execute(_TABLE)
                other.execute_many("INSERT INTO temp.moment VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

        return share

    def of(self, source: int) -> Sequence[Moment]:
        """A source's snapshots, in order of the log."""
        return self._of.get(source, [])

    def at(self, number: int) -> Moment:
        """The snapshot of this number, which counts."""
        return self._at[number]

    def anchors(self, source: int) -> list[DirectoryNumber]:
        """The trees that a source's snapshots are of, oldest first: mostly one."""
        return list(dict.fromkeys(moment.anchor for moment in self.of(source)))

    def trees(self) -> list[int]:
        """The anchors of all trees of which a snapshot counts."""
        return list(self._trees)

    def last_before(self, anchor: int, number: int) -> Moment:
        """The newest snapshot of a tree before a commit. There must be one."""
        line = self._trees[anchor]
        return line[bisect_left(line, number, key=_number) - 1]


def _number(moment: Moment) -> int:
    return moment.number
