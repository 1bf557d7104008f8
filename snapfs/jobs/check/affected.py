"""Check: what damage means. From lost nodes to paths, and the snapshots in which they stand."""

from collections.abc import Iterator
from itertools import groupby

from snapfs.formats import objects
from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.inventory import PACK_HINT
from snapfs.jobs.check.paths import Paths
from snapfs.jobs.check.replay import Replay
from snapfs.jobs.check.report import Affected, ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata.database import Row
from snapfs.model.identity import OPEN

_SLICE = 1000
"paths until the caller may break off"
_ENTRIES = (
    "SELECT e.directory, e.name, e.first, e.last, l.pack FROM entry e"
    " CROSS JOIN check_lost_node l ON l.number = e.node"
    " ORDER BY e.directory, e.name, e.first"
)
_NEEDED = (
    "SELECT count(*), min(number), max(number) FROM check_needed"
    " WHERE anchor = ? AND number >= ? AND number < ?"
)
_UNREAD = (
    "SELECT o.host, o.name, count(*), min(s.number), max(s.number) FROM snapshot s"
    " JOIN source o ON o.number = s.source WHERE s.source = ? AND s.number >= ?"
    " AND s.complete AND s.forgotten IS NULL HAVING count(*)"
)


class Casualties:
    """Gathers what cannot be given back."""

    def __init__(self, scratch: Scratch, *, listed: int | None) -> None:
        self._scratch = scratch
        self._db = scratch.db
        self._paths = Paths(scratch.db)
        self._listed = listed
        self.affected: list[Affected] = []
        self.count = 0

    def find(self, walk: LogWalk, replay: Replay) -> Iterator[None]:
        """Find all; yields now and then, so that it can be broken off."""
        self._find_unreached(walk)
        self._find_unread(replay)
        yield
        self._db.execute(
            "INSERT INTO check_needed SELECT anchor, number FROM snapshot"
            " WHERE (complete AND forgotten IS NULL) OR number IN (SELECT head FROM source)"
        )
        versions = self._db.stream(_ENTRIES)
        for at, (key, rows) in enumerate(groupby(versions, key=lambda row: (row[0], row[1]))):
            self._find_path(*key, rows)
            if at % _SLICE == 0:
                yield

    def _find_unreached(self, walk: LogWalk) -> None:
        """Snapshots whose records are behind a break of the log."""
        for (host, source), seen in walk.unreached.items():
            self._add(Affected(host, source, b"/", seen.first, seen.last, seen.count))

    def _find_unread(self, replay: Replay) -> None:
        """Snapshots whose parts could not be applied."""
        for stream, record in replay.unread():
            for host, source, count, first, last in self._db.rows(_UNREAD, (stream, record)):
                self._add(Affected(host, source, b"/", self._id(first), self._id(last), count))

    def _find_path(self, directory: int, name: bytes, versions: Iterator[Row]) -> None:
        """One name with all its lost versions."""
        located = self._paths.locate(directory, name)
        count, first, last = 0, int(OPEN), 0
        for _, _, begin, end, pack in versions:
            row = self._db.row(_NEEDED, (located.anchor, begin, end))
            if row is None or not row[0]:
                continue
            count, first, last = count + row[0], min(first, row[1]), max(last, row[2])
            self._blame(pack)
        if count:
            ids = self._id(first), self._id(last)
            self._add(Affected(located.host, located.source, located.path, *ids, count))

    def _blame(self, pack: int) -> None:
        """Report a pack that a record deletes, though it is needed."""
        row = self._db.row(
            "SELECT p.name FROM check_lost_pack l JOIN pack p USING (number)"
            " WHERE number = ? AND doomed",
            (pack,),
        )
        if row is not None:
            detail = "is deleted by a record, though snapshots need it"
            self._scratch.report(ProblemKind.PACK, objects.pack(row[0]), detail, PACK_HINT)

    def _add(self, affected: Affected) -> None:
        self.count += 1
        if self._listed is None or len(self.affected) < self._listed:
            self.affected.append(affected)

    def _id(self, snapshot: int) -> bytes:
        row = self._db.row("SELECT id FROM snapshot WHERE number = ?", (snapshot,))
        return bytes(row[0]) if row else b""
