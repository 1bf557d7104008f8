"""Check: reading packs whole, a few at a time, and noting what is lost in them."""

import random
from collections.abc import Iterator

import trio

from snapfs.errors import ObjectNotFoundError
from snapfs.formats import objects
from snapfs.formats.packs import PackRow, SegmentRow
from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.examine import Verdict, examine
from snapfs.jobs.check.inventory import PACK_HINT, READ_HINT
from snapfs.jobs.check.report import Checked, ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.jobs.check.subset import Candidate, Subset, choose
from snapfs.repository.parallel import together
from snapfs.repository.repository import Repository

_AT_ONCE = 3
"packs in memory, of 16 MiB as we write them, and never more than 64"
_EMPTY_HINT = (
    "nothing is lost by that, the log repeats it: 'snapfs repair --read-data' writes the pack again"
)
_CANDIDATES = (
    "SELECT number, name, size FROM pack p WHERE name NOT IN (SELECT id FROM check_leaving)"
    " AND number NOT IN (SELECT number FROM check_lost_pack WHERE size = 0) ORDER BY number"
)


class PackReading:
    """Reads packs, one after the other, and reports what is damaged."""

    def __init__(
        self, repository: Repository, scratch: Scratch, walk: LogWalk, checked: Checked
    ) -> None:
        self._store = repository.store
        self._keys = repository.keys
        self._random = repository.world.random
        self._scratch = scratch
        self._walk = walk
        self._checked = checked

    async def run(self, subset: Subset) -> None:
        """Read these packs. Raises StoreError."""
        self._scratch.db.execute("CREATE INDEX check_segment ON segment (pack, place)")
        chance = random.Random(self._random(8))
        chosen = choose(self._candidates(), subset, chance)
        progress = self._scratch.progress
        progress.total_bytes = sum(self._size(number) for number in chosen)
        numbers = iter(chosen)
        async with together() as tasks:
            for _ in range(_AT_ONCE):
                tasks.start(lambda: self._work(numbers))

    async def _work(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._read(number, self._row(number))

    async def _read(self, number: int, row: PackRow) -> None:
        name = objects.pack(row.name)
        try:
            data = await self._store.get(name, length=self._readable(number))
        except ObjectNotFoundError:
            await self._miss(number, row.name)
            return
        verdict = await trio.to_thread.run_sync(examine, data, row, self._keys)
        # From here on there is no await: several of these share one connection.
        self._count(len(data), row, verdict)
        self._note(number, verdict)
        if verdict.faults and not self._scratch.is_emptied(number):
            lost = verdict.lost_segments or verdict.lost_blocks
            hint = READ_HINT if lost else _EMPTY_HINT
            self._scratch.report(ProblemKind.PACK, name, "; ".join(verdict.faults), hint)

    async def _miss(self, number: int, name: bytes) -> None:
        """A pack went away while we looked: by a prune, or not."""
        await self._walk.note_leaving()
        gone = self._scratch.db.row("SELECT 1 FROM check_leaving WHERE id = ?", (name,))
        if gone is None and not self._scratch.is_emptied(number):
            self._scratch.report(ProblemKind.PACK, objects.pack(name), "is missing", PACK_HINT)
        self._scratch.lose_pack(number, size=0, doomed=gone is not None)

    def _count(self, size: int, row: PackRow, verdict: Verdict) -> None:
        self._checked.packs_read += 1
        self._checked.segments_read += len(row.segments)
        self._checked.blocks_read += verdict.blocks
        self._checked.bytes_read += size
        self._scratch.progress.bytes += size

    def _note(self, number: int, verdict: Verdict) -> None:
        db = self._scratch.db
        db.execute_many(
            "INSERT OR IGNORE INTO check_lost_segment"
            " SELECT number, pack FROM segment WHERE pack = ? AND place = ?",
            [(number, place) for place in verdict.lost_segments],
        )
        db.execute_many(
            "INSERT OR IGNORE INTO check_lost_place"
            " SELECT number, ?, pack FROM segment WHERE pack = ? AND place = ?",
            [(offset, number, place) for place, offset in verdict.lost_blocks],
        )

    def _candidates(self) -> Iterator[Candidate]:
        for row in self._scratch.db.stream(_CANDIDATES):
            yield Candidate(*row)

    def _readable(self, number: int) -> int | None:
        """Bytes to fetch; of a pack of a wrong size, no more than it should have."""
        row = self._scratch.db.row(
            "SELECT min(l.size, p.size) FROM check_lost_pack l JOIN pack p USING (number)"
            " WHERE number = ?",
            (number,),
        )
        return int(row[0]) if row and row[0] is not None else None

    def _size(self, number: int) -> int:
        row = self._scratch.db.row("SELECT size FROM pack WHERE number = ?", (number,))
        return int(row[0]) if row else 0

    def _row(self, number: int) -> PackRow:
        """What the log says of a pack."""
        db = self._scratch.db
        pack = db.row("SELECT name, size, header FROM pack WHERE number = ?", (number,))
        assert pack is not None
        segments = db.rows(
            "SELECT stored, block, blocks FROM segment WHERE pack = ? ORDER BY place", (number,)
        )
        name, size, header = pack
        return PackRow(name, size, header, tuple(self._segment(*row) for row in segments))

    def _segment(self, stored: int, first: int, count: int) -> SegmentRow:
        """Blocks that have moved elsewhere are still in it, and keep their numbers."""
        blocks = self._scratch.db.rows(
            "SELECT key, length FROM block WHERE number >= ? AND number < ? ORDER BY number",
            (first, first + count),
        )
        keys = b"".join(key for key, _ in blocks)
        return SegmentRow(stored, keys, tuple(length for _, length in blocks))
