"""What a check is told, and what it tells."""

import enum
from dataclasses import dataclass

from snapfs.jobs.check.subset import Subset

LISTED = 1000
"problems that a report lists one by one; all are counted"


class ProblemKind(enum.StrEnum):
    """What a problem is about."""

    MARKER = "marker"
    SLOT = "slot"
    RING = "ring"
    LOG = "log"
    "a record is missing, damaged, or does not follow the one before it"
    PART = "part"
    BASE = "base"
    "a part that restates what other objects still hold"
    PACK = "pack"
    REFERENCE = "reference"
    "something that was recorded refers to what was not"
    DATABASE = "database"
    "this machine's view is not what the log says; the repository is not concerned"


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How thorough a check is."""

    read: Subset | None = None
    "packs whose data is read, decrypted and hashed; None for no pack"
    listed_paths: int | None = 100
    "affected paths that the report lists one by one; None for all"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it must be."""

    kind: ProblemKind
    object: str
    "the object's name; of the database, the table's; of a reference, what refers"
    detail: str
    "what is wrong with it"
    hint: str
    "what to do"


@dataclass(frozen=True, slots=True)
class Affected:
    """A path that cannot be given back as it was in some snapshots."""

    host: str
    source: str
    path: bytes
    "in the source; / where nothing of these snapshots could be checked"
    first: bytes
    "id of the oldest of these snapshots"
    last: bytes
    "id of the newest"
    snapshots: int


@dataclass(frozen=True, slots=True)
class Orphans:
    """Objects that no record names: of interrupted or running ingests. A prune takes them."""

    objects: int
    bytes: int


@dataclass(slots=True)
class Checked:
    """How much was looked at."""

    slots: int = 0
    "that can be read; whether its wrap is whole, only who knows a slot's secret can tell"
    records: int = 0
    snapshots: int = 0
    "that are wanted"
    parts: int = 0
    packs: int = 0
    nodes: int = 0
    "states of files, directories, links, …"
    packs_read: int = 0
    segments_read: int = 0
    blocks_read: int = 0
    bytes_read: int = 0
    "stored bytes of the packs that were read"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found."""

    problems: tuple[Problem, ...]
    "the first ones, at most one for each object"
    problem_count: int
    affected: tuple[Affected, ...]
    "the first ones"
    affected_count: int
    checked: Checked
    orphans: Orphans | None
    "None where the log is damaged, so that it is not known"
    hosts: tuple[str, ...]
    "that have written to the repository, who did so last first"
    compared: bool
    "whether this machine's view could be compared with a replay of the log"
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0
