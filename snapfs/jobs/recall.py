"""Bringing forgotten snapshots back, as long as no prune has begun to delete what they need."""

from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass

import trio

from snapfs.errors import BusyError, DamagedError
from snapfs.formats.records import Recall
from snapfs.metadata import need
from snapfs.metadata.database import Database
from snapfs.metadata.fates import CONDEMNED
from snapfs.metadata.snapshots import Filter
from snapfs.model.identity import Attempt, Commit
from snapfs.model.snapshot import Snapshot
from snapfs.repository.repository import Repository

_TRIES = 5
"prunes that may come between, before they are said to be in the way"

_Fates = dict[bytes, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class RecallReport:
    """What was brought back."""

    snapshots: tuple[Snapshot, ...]
    record: Commit | None
    "that brought them back; None where there was nothing to do, or it was a rehearsal"


class _FatesMovedError(Exception):
    """A prune has gone on since it was found out which packs have to be rescued."""


def last_forgotten(repository: Repository, only: Filter) -> list[Snapshot]:
    """What the last record that forgot any of these snapshots has forgotten, of these."""
    candidates = repository.snapshots.forgotten(only)
    numbers = {one.number for one in candidates}

    def is_behind(record: int) -> bool:
        """Whether no record after this one forgot any of them."""
        return numbers.isdisjoint(
            one.number for one in repository.snapshots.forgotten_since(record)
        )

    record = bisect_left(range(repository.replica.tip().number), True, key=is_behind)
    last = {one.number for one in repository.snapshots.forgotten_since(record - 1)}
    return [one for one in candidates if one.number in last]


async def recall(
    repository: Repository, ids: Collection[Attempt], *, host: str, dry_run: bool = False
) -> RecallReport:
    """Bring these snapshots back; those that are not forgotten are passed over.

    Packs that a prune has condemned are rescued. Raises DamagedError where one is being deleted
    that they need, BusyError where prunes come between again and again, LogCutError, StoreError.
    """
    for _ in range(_TRIES):
        await repository.catch_up(blocks=False)
        wanted = _wanted(repository, ids)
        sources = {one.source.number for one in wanted}
        # Their blocks and entries say which packs they need.
        await repository.catch_up(sources)
        known = need.fates(repository.db)
        rescued = await _needed_fates(repository, wanted, known)
        if dry_run or not wanted:
            return RecallReport(wanted, None)
        try:
            return await _publish(repository, ids, rescued, known, host)
        except _FatesMovedError:
            continue
    raise BusyError(
        "a prune is at work on what these snapshots need",
        hint="run it again when the prune has ended",
    )


async def _publish(
    repository: Repository, ids: Collection[Attempt], rescued: tuple[bytes, ...], known: _Fates,
    host: str,
) -> RecallReport:  # fmt: skip
    wanted: tuple[Snapshot, ...] = ()

    def body() -> Recall:
        nonlocal wanted
        if need.fates(repository.db) != known:
            raise _FatesMovedError
        wanted = _wanted(repository, ids)
        return Recall(tuple(one.id for one in wanted), rescued)

    attempt = Attempt(repository.world.random(16))
    record = await repository.publish(attempt, body, host)
    return RecallReport(wanted, record)


def _wanted(repository: Repository, ids: Collection[Attempt]) -> tuple[Snapshot, ...]:
    return tuple(one for one in repository.snapshots.forgotten() if one.id in ids)


async def _needed_fates(
    repository: Repository, wanted: tuple[Snapshot, ...], known: _Fates
) -> tuple[bytes, ...]:
    """The condemned packs that these snapshots need. DamagedError where one is past that."""
    if not known:
        return ()
    packs = await trio.to_thread.run_sync(_packs_of, repository, [one.number for one in wanted])
    doomed = [name for name in packs if name in known and known[name][0] != CONDEMNED]
    if doomed:
        raise DamagedError(
            f"a prune has begun to delete what these snapshots need ({len(doomed)} packs)",
            hint="nothing was done; try them one by one: others may still be whole",
        )
    return tuple(name for name in packs if name in known)


def _packs_of(repository: Repository, numbers: list[Commit]) -> list[bytes]:
    """Names of the packs that hold blocks of these snapshots. Reads whole tables."""
    with Database.open_readonly(repository.state.replica) as db:
        blocks = need.needed_blocks(db, need.commits_of(db, numbers))
        return [use.name for use in need.pack_uses(db, blocks) if use.live]
