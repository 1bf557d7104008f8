"""Forgetting snapshots: by a policy, by name, or a whole source.

What is forgotten is gone from lists and mounts at once. Its blocks stay until a prune has taken
them; until then it can be brought back (see `recall`).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

import trio

from snapfs.errors import UsageError
from snapfs.formats.records import Forget
from snapfs.metadata.database import Database
from snapfs.metadata.freed import Freed, freed
from snapfs.metadata.snapshots import Filter
from snapfs.model.identity import Attempt, Commit
from snapfs.model.retention import PIN, Decision, Policy, thin
from snapfs.model.snapshot import Snapshot, Source
from snapfs.model.taken import Taken
from snapfs.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a snapshot, and why."""

    snapshot: Snapshot
    kept: bool
    reasons: tuple[str, ...]
    future: bool = False
    "its time has not come yet"
    stepped_back: bool = False
    "one before it in the log has a later time"


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was decided, and whether it was done."""

    verdicts: tuple[Verdict, ...]
    "in order of source and log"
    record: Commit | None
    "that forgot them; None where nothing was to forget, or it was a rehearsal"

    @property
    def dropped(self) -> tuple[Verdict, ...]:
        """Those that are forgotten."""
        return tuple(verdict for verdict in self.verdicts if not verdict.kept)


Decide = Callable[[Repository], tuple[Verdict, ...]]
"decides from what the view of the repository knows at that moment"


class _NothingToForgetError(Exception):
    """Another process has forgotten all of it meanwhile."""


def by_policy(policy: Policy, only: Filter, zone: tzinfo | None = None) -> Decide:
    """Apply a policy to each source by itself. `zone` says where days begin; None is the system's.

    UsageError where the policy says nothing.
    """
    if not policy.has_rules:
        raise UsageError(
            "nothing says which snapshots to keep",
            hint="name them, or give rules such as --keep-daily 7 or --preset standard",
        )
    return partial(_decide_by_policy, policy, only, zone)


def chosen(ids: Collection[Attempt], *, even_newest: bool = False) -> Decide:
    """Forget these snapshots; those that are forgotten already are passed over.

    The decision raises UsageError where one is pinned, or is the newest of its source although
    `even_newest` was not said.
    """
    return partial(_decide_chosen, frozenset(ids), even_newest)


def whole_source(host: str, name: str) -> Decide:
    """Forget all snapshots of a source. The decision raises UsageError where one is pinned."""
    return partial(_decide_whole, host, name)


async def forget(
    repository: Repository, decide: Decide, *, host: str, reason: str = "", dry_run: bool = False
) -> ForgetReport:
    """Decide, and forget what is not to be kept, unless it is only rehearsed.

    Raises what the decision raises, LogCutError, StoreError.
    """
    await repository.catch_up(blocks=False)
    verdicts = decide(repository)
    if dry_run or all(verdict.kept for verdict in verdicts):
        return ForgetReport(verdicts, None)

    def body() -> Forget:
        # Decided anew for each number: what others have committed meanwhile may have made another
        # snapshot the newest, or have forgotten the one that was to stay.
        nonlocal verdicts
        verdicts = decide(repository)
        ids = tuple(verdict.snapshot.id for verdict in verdicts if not verdict.kept)
        if not ids:
            raise _NothingToForgetError
        return Forget(ids, reason)

    attempt = Attempt(repository.world.random(16))
    try:
        record = await repository.publish(attempt, body, host)
    except _NothingToForgetError:
        return ForgetReport(verdicts, None)
    return ForgetReport(verdicts, record)


async def what_goes(repository: Repository, report: ForgetReport) -> Freed:
    """What a prune can give back once those are forgotten that a rehearsal says will be.

    Needs the entries of all sources: the view is brought up to the log's head. Raises what that
    raises.
    """
    await repository.catch_up_all()
    dropped = [verdict.snapshot.number for verdict in report.dropped]

    def look() -> Freed:
        with Database.open_readonly(repository.state.replica) as db:
            return freed(db, dropped)

    return await trio.to_thread.run_sync(look)


def _decide_by_policy(
    policy: Policy, only: Filter, zone: tzinfo | None, repository: Repository
) -> tuple[Verdict, ...]:
    now = repository.world.now_ns()
    return tuple(
        verdict
        for source, snapshots in _by_source(repository, only)
        for verdict in _verdicts(
            snapshots, thin(_history(repository, source, snapshots), policy, now, zone)
        )
    )


def _decide_chosen(
    ids: frozenset[Attempt], even_newest: bool, repository: Repository
) -> tuple[Verdict, ...]:
    found: list[Verdict] = []
    for source, snapshots in _by_source(repository, Filter()):
        named = [one for one in snapshots if one.id in ids]
        if snapshots[-1] in named and not even_newest:
            raise UsageError(
                f"{snapshots[-1].short_id} is the newest snapshot of {source}: nothing was done",
                hint="say --even-newest to forget it all the same",
            )
        found += [_dropped(one, "named") for one in named]
    return tuple(found)


def _decide_whole(host: str, name: str, repository: Repository) -> tuple[Verdict, ...]:
    return tuple(
        _dropped(one, "all of its source")
        for _, snapshots in _by_source(repository, Filter(host, name))
        for one in snapshots
    )


def _by_source(repository: Repository, only: Filter) -> Iterator[tuple[Source, Sequence[Snapshot]]]:
    """The snapshots of each source that has any, in order of the log."""
    by_source: dict[Source, list[Snapshot]] = {}
    for snapshot in repository.snapshots.stream(only):
        by_source.setdefault(snapshot.source, []).append(snapshot)
    for source in sorted(by_source, key=lambda source: (source.host, source.name)):
        yield source, by_source[source]


def _history(repository: Repository, source: Source, snapshots: Sequence[Snapshot]) -> list[Taken]:
    """All that the source has ever had, forgotten ones too: retention wants to know their order."""
    tags = {snapshot.number: snapshot.tags for snapshot in snapshots}
    return [
        Taken(number, time_ns, tags.get(number, ()), forgotten=not is_wanted)
        for number, time_ns, is_wanted in repository.snapshots.times(source.number)
    ]


def _verdicts(snapshots: Sequence[Snapshot], decision: Decision) -> Iterator[Verdict]:
    reasons = {kept.number: kept.reasons for kept in decision.kept}
    for snapshot in snapshots:
        number = snapshot.number
        yield Verdict(
            snapshot,
            kept=number in reasons,
            reasons=reasons.get(number, ("no rule keeps it",)),
            future=number in decision.future,
            stepped_back=number in decision.stepped_back,
        )


def _dropped(snapshot: Snapshot, reason: str) -> Verdict:
    if PIN in snapshot.tags:
        raise UsageError(
            f"{snapshot.short_id} is pinned: nothing was done",
            hint=f"'snapfs tag {snapshot.short_id} --remove {PIN}' lets it go",
        )
    return Verdict(snapshot, kept=False, reasons=(reason,))
