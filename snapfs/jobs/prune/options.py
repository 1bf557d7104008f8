"""What a prune is told, and what it tells."""

from dataclasses import dataclass, field

from snapfs.model.compaction import Growth
from snapfs.model.pruning import PrunePlan, PrunePolicy

DAY_NS = 24 * 3600 * 10**9


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """How to prune."""

    host: str
    policy: PrunePolicy = field(default_factory=PrunePolicy)
    dry_run: bool = False
    condemned_for_ns: int = DAY_NS
    "that a pack must have been condemned before it is deleted"
    forgotten_for_ns: int = 14 * DAY_NS
    "that a snapshot must have been forgotten before its blocks are let go"
    orphaned_for_ns: int = 3 * DAY_NS
    "age at which an object that no record names is taken for left over"
    compact: bool | None = None
    "whether to make a base; None: if it pays"


@dataclass(slots=True)
class PruneReport:
    """What a prune did, or would do."""

    plan: PrunePlan
    needed_blocks: int = 0
    orphans: int = 0
    orphaned_bytes: int = 0
    replaced: int = 0
    "parts that bases have replaced"
    replaced_bytes: int = 0
    growth: Growth | None = None
    "what a base would spare"
    compacting: bool = False
    "whether a base is, or would be, made"
    base: int | None = None
    "the record of the base that was made"
    condemned: int = 0
    "packs and parts that were condemned"
    waiting: int = 0
    "that were condemned before, too shortly ago"
    due: int = 0
    "packs and parts that were condemned long enough ago"
    due_bytes: int = 0
    "of the packs among them"
    held: int = 0
    "snapshots that were forgotten and can be brought back: what they need is needed"
    held_until_ns: int = 0
    "when that ends for the last of them"
    damaged: dict[bytes, str] = field(default_factory=dict)
    "packs that were to be copied from and cannot be read, and why: they stay as they are"
    rescued: int = 0
    deleted: int = 0
    "objects"
    deleted_bytes: int = 0
    leftovers: int = 0
    "half-written files of dead processes, and objects of a probe, that were removed"
    copied_bytes: int = 0
    "stored bytes of new packs"
    seconds: float = 0.0
