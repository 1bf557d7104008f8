"""Check: what was found, for those who act on it while the replay is still there."""

from dataclasses import dataclass

from snapfs.formats import objects
from snapfs.formats.records import GivenUp
from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.replay import Replay
from snapfs.jobs.check.report import CheckReport
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata.position import BLOCKS
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
    def has_gaps(self) -> bool:
        """Whether records are lost, or what was given up of them is not said."""
        return self._walk.broken is not None or self._walk.open is not None

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

    def lost_blocks(self) -> Piece | None:
        """The block part at which the replay has stopped, because it cannot be made again."""
        piece = self._replay.stopped_at(BLOCKS)
        return None if piece is None or piece.base else piece

    def tree_of(self, record: Commit) -> tuple[GivenUp, ...]:
        """The source whose commit a record is, from there on; empty where it is none."""
        row = self._scratch.db.row(
            "SELECT o.host, o.name FROM log l JOIN source o ON o.number = l.source"
            " WHERE l.number = ?",
            (record,),
        )
        return (GivenUp(row[0], row[1], record),) if row else ()

    def lost_trees(self) -> tuple[GivenUp, ...]:
        """The sources whose entries cannot be read, from which record on. None where that is so
        because blocks cannot be."""
        found = []
        for host, name, number in self._scratch.db.rows(
            "SELECT host, name, number FROM source ORDER BY number"
        ):
            piece = self._replay.stopped_at(number)
            if piece is not None and not piece.base:
                found.append(GivenUp(host, name, piece.record))
        return tuple(found) if self._replay.stopped_at(BLOCKS) is None else ()

    def unnamed_packs(self) -> list[bytes]:
        """Packs that the store has, and of which no record says anything."""
        names = self._scratch.db.rows(
            "SELECT name FROM check_stored WHERE name NOT IN (SELECT name FROM check_named)"
        )
        found = (objects.pack_name(name) for (name,) in names)
        return [
            id_
            for id_ in found
            if id_
            and not self._scratch.db.row(
                "SELECT 1 FROM check_leaving WHERE id = ?1"
                " UNION ALL SELECT 1 FROM pack WHERE name = ?1",
                (id_,),
            )
        ]

    def damaged_packs(self) -> list[DamagedPack]:
        """The packs that problems were reported for, in order of number.

        If one of them is being deleted though it is needed, all that are: a file of several of them
        was reported for one.
        """
        reported = (
            "SELECT p.number, p.name, coalesce(l.doomed, 0) FROM check_reported r"
            " JOIN check_named n ON n.name = r.object JOIN pack p ON p.name = n.id"
            " LEFT JOIN check_lost_pack l ON l.number = p.number WHERE n.hash IS NULL"
        )
        doomed = "SELECT number, name, 1 FROM check_lost_pack JOIN pack USING (number) WHERE doomed"
        rows = self._scratch.db.rows(reported)
        if any(row[2] for row in rows):
            rows = self._scratch.db.rows(f"{reported} UNION {doomed}")
        return [DamagedPack(int(number), name, bool(gone)) for number, name, gone in sorted(rows)]
