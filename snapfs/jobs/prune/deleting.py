"""Which of the condemned packs go. Need is known as of the very record before that says so.

Whoever relies on a condemned pack rescues it in the same record. That is not what is trusted here:
what has come since the survey is looked at as well, and a record that comes between starts a new
look. So a pack goes only if the log up to that point, replayed, has no need of it.
"""

import logging
from collections.abc import Iterator

import trio

from snapfs.formats import records
from snapfs.formats.records import AddsPacks, Delete, Recall
from snapfs.jobs.prune.survey import Survey
from snapfs.metadata import need
from snapfs.metadata.fates import CONDEMNED
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.replay import catch_up_apart
from snapfs.repository.repository import Repository

log = logging.getLogger(__name__)

_NAMES = 100_000
"names in one record"
_TRIES = 20
"records that may come between a look and its Delete, before the next prune is left to do it"


class _OvertakenError(Exception):
    """Another record came after the look."""


async def publish_delete(repository: Repository, found: Survey, host: str) -> Delete | None:
    """Publish what goes, and what turned out to be needed; None where that is nothing.

    The survey's replay is brought up to the log's head. Raises what catching up and publishing
    raise.
    """
    for _ in range(_TRIES):
        await catch_up_apart(repository, found.replica)
        delete = await trio.to_thread.run_sync(decide, found)
        if not (delete.deleting or delete.parts or delete.rescued):
            return None
        try:
            await _publish(repository, found, delete, host)
        except _OvertakenError:
            continue
        return delete
    log.warning("others commit all the time: what is condemned is left to the next prune")
    return None


async def _publish(repository: Repository, found: Survey, delete: Delete, host: str) -> None:
    def body() -> Delete:
        if repository.replica.tip() != found.replica.tip():
            raise _OvertakenError
        return delete

    await repository.publish(Attempt(repository.world.random(16)), body, host)


def decide(found: Survey) -> Delete:
    """What goes, as of the replay's last record: condemned as it was, and claimed by none since."""
    fates = need.fates(found.replica.db)
    claimed = _claimed(found)

    def stands(name: bytes) -> bool:
        return fates.get(name) == found.fates[name] and fates[name][0] == CONDEMNED

    doomed = [name for name, _ in found.to_delete if stands(name)]
    parts = [name for name in found.parts_to_delete if stands(name)]
    rescued = [name for name in found.to_rescue if stands(name)]
    rescued += [name for name in (*doomed, *parts) if name in claimed]
    return Delete(
        tuple(name for name in doomed if name not in claimed)[:_NAMES],
        tuple(name for name in parts if name not in claimed)[:_NAMES],
        tuple(rescued[:_NAMES]),
    )


def _claimed(found: Survey) -> set[bytes]:
    """Names of all that records since the survey have added, named, or made needed."""
    db = found.replica.db
    claimed = need.pack_names(db, need.needed_after(db, found.seen))
    for number in range(found.seen + 1, found.replica.tip().number + 1):
        body = found.replica.head(Commit(number)).body
        claimed.update(_named(body))
        if isinstance(body, Recall):
            snapshots = need.numbers_of(db, body.snapshots)
            needed = need.needed_blocks(db, need.commits_of(db, snapshots))
            claimed |= need.pack_names(db, needed)
    return claimed


def _named(body: records.Body) -> Iterator[bytes]:
    if isinstance(body, AddsPacks):
        yield from body.packs
    yield from (ref.name for ref in records.named_parts(body))
