"""Check: what was found, for those who act on it while the replay is still there."""

from dataclasses import dataclass

from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.replay import Replay
from snapfs.jobs.check.report import CheckReport
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata.replica import Piece, Replica
from snapfs.model.identity import Commit


@dataclass(frozen=True, slots=True)
class DamagedPack:
    """A pack that a problem was reported for."""

    number: int
    name: bytes
    doomed: bool
    "a record deletes it"


class Examination:
    """A check that has ended. Gone with the block that `examined` began."""

    def __init__(
        self, report: CheckReport, scratch: Scratch, walk: LogWalk, replay: Replay
    ) -> None:
        self.report = report
        self._scratch = scratch
        self._walk = walk
        self._replay = replay

    @property
    def replica(self) -> Replica:
        """The log, replayed as far as it is sound."""
        return self._scratch.replica

    @property
    def broken(self) -> Commit | None:
        """The first record that is missing, damaged or does not follow."""
        return self._walk.broken

    @property
    def whole(self) -> bool:
        """Whether the whole log could be replayed, with parts that were made again."""
        return self._walk.broken is None and self._replay.whole

    @property
    def rebuilt(self) -> tuple[Piece, ...]:
        """Block parts that are lost, and can be made again from packs."""
        return tuple(self._replay.rebuilt)

    def damaged_parts(self) -> dict[str, bytes]:
        """The parts that problems were reported for, and the hash that each must have."""
        return dict(
            self._scratch.db.rows(
                "SELECT n.name, n.hash FROM check_reported r JOIN check_named n"
                " ON n.name = r.object WHERE n.hash IS NOT NULL"
            )
        )

    def damaged_packs(self) -> list[DamagedPack]:
        """The packs that problems were reported for, in order of number."""
        return [
            DamagedPack(int(number), name, bool(doomed))
            for number, name, doomed in self._scratch.db.rows(
                "SELECT p.number, p.name, coalesce(l.doomed, 0) FROM check_reported r"
                " JOIN check_named n ON n.name = r.object JOIN pack p ON p.name = n.id"
                " LEFT JOIN check_lost_pack l ON l.number = p.number"
                " WHERE n.hash IS NULL ORDER BY p.number"
            )
        ]
