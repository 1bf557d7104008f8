"""Repair: what nobody has any more is given up. Records of the log are in standingin.py.

Names in a lost part cannot be made again, nor can what came after them in the same source be read:
its snapshots from there on are given up, and it begins anew, so that its next ingest captures the
whole tree. Blocks stay, so that it stores nothing again. So it is where blocks of a commit are lost
with the part that lists them. A lost part that says where blocks were moved to is replaced by one
that says nothing: what cannot be found then is found by its key.
"""

from dataclasses import dataclass, field, replace

import trio

from snapfs.formats.parts import BlockPart
from snapfs.formats.records import GiveUp, Mend, New, Replacement
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.check.rebuild import first_packs, listed_packs
from snapfs.jobs.repair.mending import publish
from snapfs.jobs.repair.putback import PutBack
from snapfs.jobs.repair.report import GaveUp, RepairReport
from snapfs.jobs.repair.standingin import StandIns
from snapfs.metadata.replica import Piece
from snapfs.metadata.standins import given_up
from snapfs.repository.repository import Repository


@dataclass(slots=True)
class GivingUp:
    """Gives up one loss after the other, and reports it."""

    report: RepairReport
    host: str
    _begins: list[int] = field(default_factory=list)
    "records from which on the commits of a source were given up"

    async def go_on(self, repository: Repository, examination: Examination, back: PutBack) -> bool:
        """Go on without something that is lost; false if there is nothing, or nothing more.

        Raises as `StandIns.fill` and `publish`; what was published until then holds.
        """
        if examination.has_gaps:
            return await self._give_up_records(StandIns(repository, examination, back, self.host))
        piece = examination.lost_blocks()
        if piece is not None:
            await self._give_up_blocks(repository, examination, piece)
            return True
        trees = examination.lost_trees()
        if trees:
            await self._give_up_trees(repository, GiveUp(trees=trees))
            return True
        await trio.to_thread.run_sync(self._report_snapshots, examination)
        return False

    async def _give_up_records(self, stand_ins: StandIns) -> bool:
        await stand_ins.fill()
        told = {each.record for each in self.report.given_up}
        new = sorted(stand_ins.given_up - told)
        self.report.given_up += tuple(GaveUp(number) for number in new)
        return bool(stand_ins.given_up)

    async def _give_up_blocks(
        self, repository: Repository, examination: Examination, piece: Piece
    ) -> None:
        """Go on without the block part that keeps blocks from being read, and cannot be made again.

        The tree of which it lists new blocks is given up FIRST, for else it would refer to blocks
        that are not there. Then another part takes its place, which lists the packs before the
        first that is lost.
        """
        names, _, _ = listed_packs(examination.replica.head(piece.record).body, piece.index)
        trees = examination.tree_of(piece.record) if names else ()
        if trees:
            await self._give_up_trees(repository, GiveUp(trees=trees))
            return
        rows = await first_packs(repository.store, repository.keys, names)
        ref = await repository.parts.upload(BlockPart(tuple(rows), ()), piece.ref.first)
        replacement = Replacement(piece.record, piece.index, ref)
        await publish(repository, Mend(New(), (), (), (replacement,)), self.host)
        self.report.parts += 1

    async def _give_up_trees(self, repository: Repository, body: GiveUp) -> None:
        self._begins += [tree.begin for tree in body.trees]
        await publish(repository, body, self.host)

    def _report_snapshots(self, examination: Examination) -> None:
        """Report the snapshots that were given up by this repair, by source."""
        told = tuple(each for each in self.report.given_up if not each.snapshots)
        begins = [each.record for each in told] + self._begins
        found: dict[tuple[str, str], GaveUp] = {}
        for number, body in given_up(examination.replica.db) if begins else ():
            if number >= min(begins) and body.complete:
                source = (body.host, body.source)
                seen = found.get(source, GaveUp(number, *source))
                found[source] = replace(seen, snapshots=seen.snapshots + 1)
        self.report.given_up = told + tuple(found.values())
