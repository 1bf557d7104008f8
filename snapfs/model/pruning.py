"""What a prune does with each pack. Pure: a plan is a value, so a dry run costs nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PackState:
    """A pack that is in use."""

    number: int
    name: bytes
    size: int
    "stored bytes"
    used: float
    "which part of it is needed, 0 to 1"
    damaged: bool = False
    "needed blocks in it are known to be damaged: it cannot be copied from, and must not go"

    @property
    def unused_bytes(self) -> float:
        """Stored bytes that nothing needs, as far as shares of segments tell."""
        return self.size * (1 - self.used)


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """How tight a prune makes a repository."""

    max_unused: float = 0.05
    "unneeded bytes that may stay, as a part of those that are needed"
    max_repack: int | None = None
    "stored bytes of packs that one prune may copy from; None for any number"
    small: int = 4 * MEBIBYTE
    "stored bytes below which a pack is small: daily ingests leave one each"
    merge_at: int = 32 * MEBIBYTE
    "bytes of small packs that are worth being merged"


@dataclass(slots=True)
class PrunePlan:
    """What is to be done."""

    drop: list[PackState] = field(default_factory=list)
    "nothing in them is needed"
    repack: list[PackState] = field(default_factory=list)
    "what is needed of them is copied to new packs"
    kept_packs: int = 0
    kept_bytes: int = 0
    "stored bytes of packs that stay as they are"
    kept_unused: float = 0.0
    "of these, what nothing needs"
    damaged: int = 0
    "packs that stay because they are damaged"

    @property
    def dropped_bytes(self) -> int:
        return sum(pack.size for pack in self.drop)

    @property
    def repacked_bytes(self) -> int:
        """Stored bytes of packs that are copied from."""
        return sum(pack.size for pack in self.repack)

    @property
    def copied_bytes(self) -> float:
        """Stored bytes that are written again, about."""
        return sum(pack.size * pack.used for pack in self.repack)

    @property
    def freed_bytes(self) -> float:
        """What the repository shrinks by once the condemned packs are deleted, about."""
        return self.dropped_bytes + self.repacked_bytes - self.copied_bytes


def plan_prune(packs: Iterable[PackState], policy: PrunePolicy) -> PrunePlan:
    """Decide on each pack that is in use.

    Packs without any need are dropped. Of the others, those that waste most for what must be
    copied go first, until what stays unneeded is within `max_unused` of what is needed. Small
    packs are merged once there is enough of them. Damaged ones are left alone.
    """
    plan = PrunePlan()
    partly: list[PackState] = []
    needed = 0.0
    for pack in packs:
        if pack.damaged:
            plan.damaged += 1
            _keep(plan, pack)
        elif pack.used == 0:
            plan.drop.append(pack)
        else:
            partly.append(pack)
            needed += pack.size * pack.used
    chosen = _wasteful(partly, policy.max_unused * needed, policy.max_repack)
    chosen |= _small(partly, chosen, policy)
    for pack in partly:
        if pack.number in chosen:
            plan.repack.append(pack)
        else:
            _keep(plan, pack)
    return plan


def _keep(plan: PrunePlan, pack: PackState) -> None:
    plan.kept_packs += 1
    plan.kept_bytes += pack.size
    plan.kept_unused += pack.unused_bytes


def _wasteful(packs: list[PackState], allowed: float, limit: int | None) -> set[int]:
    unused = sum(pack.unused_bytes for pack in packs)
    chosen: set[int] = set()
    size = 0
    for pack in sorted(packs, key=lambda pack: (pack.used, pack.number)):
        if unused <= allowed:
            break
        # A part of a byte is an error of the sum: to copy the pack would not be the end of it.
        if pack.unused_bytes < 1:
            continue
        if limit is not None and size + pack.size > limit:
            break
        chosen.add(pack.number)
        size += pack.size
        unused -= pack.unused_bytes
    return chosen


def _small(packs: list[PackState], chosen: set[int], policy: PrunePolicy) -> set[int]:
    small = [pack for pack in packs if pack.number not in chosen and pack.size < policy.small]
    size = sum(pack.size for pack in small)
    room = None
    if policy.max_repack is not None:
        room = policy.max_repack - sum(pack.size for pack in packs if pack.number in chosen)
    if size < policy.merge_at or (room is not None and size > room):
        return set()
    return {pack.number for pack in small}
