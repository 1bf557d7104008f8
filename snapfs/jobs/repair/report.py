"""What a repair is told, and what it tells."""

from dataclasses import dataclass

from snapfs.jobs.check.report import CheckReport
from snapfs.jobs.check.subset import Subset


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """How to repair."""

    host: str
    "that writes the records"
    read: Subset | None = None
    "packs whose data is read to find damage; None for no pack but those of which it is known"
    dry_run: bool = False
    give_up: bool = False
    "go on without records and parts that this machine has no copies of"
    listed_paths: int = 100
    "affected paths that the report lists one by one"


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A record of the log, or snapshots of one source, that nobody has any more."""

    record: int
    "the record, or the first of the snapshots' records"
    host: str = ""
    source: str = ""
    "of the snapshots"
    snapshots: int = 0
    "0 for a record of the log"


@dataclass(slots=True)
class RepairReport:
    """What a repair did, or would do."""

    set_aside: tuple[str, ...] = ()
    "names of local databases that were damaged, and are built again"
    put_back: tuple[str, ...] = ()
    "objects that the store had lost, or damaged, and this machine had copies of"
    found: CheckReport | None = None
    "None for a dry run where the local database cannot be opened: no more can be said then"
    parts: int = 0
    "lost block parts that were written again, or an empty one where nothing says what they said"
    given_up: tuple[GaveUp, ...] = ()
    "what the repository goes on without"
    base: int | None = None
    "the record that restates what a base of which parts are lost did"
    packs: int = 0
    "damaged packs whose blocks were looked at, one by one"
    saved: int = 0
    "blocks that were copied out of damaged packs, or from a copy elsewhere"
    saved_bytes: int = 0
    "plain bytes of them"
    doubted: int = 0
    "blocks without a sound copy: they wait for an ingest that meets their content"
    left: CheckReport | None = None
    "what a check found in the end; that is what remains"
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or would be, were it no dry run, as far as can be told."""
        return self.left is not None and self.left.sound
