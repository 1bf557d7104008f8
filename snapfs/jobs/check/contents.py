"""Check: the contents. Every extent is there and as long as it says; what lost blocks take along.

Lists and nodes are streamed once, in order of number: a list only holds lists before it.
"""

import stat
from collections.abc import Iterator

from snapfs.errors import ViewDamagedError
from snapfs.jobs.check.references import HINT
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata import contents
from snapfs.model.content import Extent, Hole, Listed, Stored, total_length

NOBODY = 0
"in place of a pack: it is no pack's fault"
_SLICE = 5000
"rows until the caller may break off"
_BLOCK = "SELECT length, NULL FROM block WHERE number = ?"
_BLOCK_OR_LOST = (
    "SELECT b.length, coalesce(s.pack, p.pack) FROM block b"
    " LEFT JOIN check_lost_segment s ON s.number = b.segment"
    " LEFT JOIN check_lost_place p ON p.segment = b.segment AND p.offset = b.offset"
    " WHERE b.number = ?"
)
_LIST = (
    "SELECT l.length, c.pack FROM list l LEFT JOIN check_lost_list c ON c.number = l.number"
    " WHERE l.number = ?"
)


class Contents:
    """Goes through all contents, and notes the nodes that cannot be given back."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._db = scratch.db
        self._block = _BLOCK

    def check(self) -> Iterator[None]:
        """Check all; yields now and then, so that it can be broken off."""
        self._note_lost_segments()
        yield
        yield from self._check_lists()
        yield from self._check_nodes()

    def _note_lost_segments(self) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO check_lost_segment SELECT s.number, s.pack"
            " FROM check_lost_pack l JOIN segment s ON s.pack = l.number"
            " WHERE s.offset + s.stored > l.size"
        )
        for table in ("check_lost_segment", "check_lost_place"):
            if self._db.row(f"SELECT 1 FROM {table} LIMIT 1"):
                self._block = _BLOCK_OR_LOST

    def _check_lists(self) -> Iterator[None]:
        rows = self._db.stream("SELECT number, length, items FROM list ORDER BY number")
        for at, (number, length, items) in enumerate(rows):
            self._note("list", number, self._check(f"list {number}", items, length, before=number))
            if at % _SLICE == 0:
                yield

    def _check_nodes(self) -> Iterator[None]:
        rows = self._db.stream("SELECT number, mode, size, data FROM node ORDER BY number")
        for at, (number, mode, size, data) in enumerate(rows):
            self._scratch.progress.files += 1
            if stat.S_ISREG(mode) and (data is not None or size):
                self._note("node", number, self._check(f"inode {number}", data, size, before=None))
            if at % _SLICE == 0:
                yield

    def _check(self, name: str, data: bytes | None, size: int, *, before: int | None) -> int | None:
        """The pack by which a content is lost, NOBODY where the content itself is wrong; else None.

        `before`: it is a list, and may only hold lists before this one.
        """
        try:
            content = contents.decode(data) if data is not None else ()
        except ViewDamagedError as error:
            return self._blame(name, error.what)
        if total_length(content) != size:
            return self._blame(name, "its extents do not make up its size")
        lost: int | None = None
        for extent in content:
            fault, pack = self._check_extent(extent, before)
            if fault:
                return self._blame(name, fault)
            lost = pack if lost is None else lost
        return lost

    def _check_extent(self, extent: Extent, before: int | None) -> tuple[str, int | None]:
        """What is wrong with an extent, and the pack by which it is lost."""
        match extent:
            case Hole():
                return "", None
            case Stored(number=number):
                what, row = f"block {number}", self._db.row(self._block, (number,))
            case Listed(number=number):
                what = f"list {number}"
                known = before is None or number < before
                row = self._db.row(_LIST, (number,)) if known else None
        if row is None:
            return f"refers to {what}, which was not recorded", None
        if row[0] != extent.length:
            return f"takes {what} for {extent.length} bytes, it has {row[0]}", None
        return "", row[1]

    def _blame(self, name: str, fault: str) -> int:
        self._scratch.report(ProblemKind.REFERENCE, name, fault, HINT)
        return NOBODY

    def _note(self, kind: str, number: int, pack: int | None) -> None:
        if pack is not None:
            self._db.execute(
                f"INSERT OR IGNORE INTO check_lost_{kind} VALUES (?, ?)", (number, pack)
            )
