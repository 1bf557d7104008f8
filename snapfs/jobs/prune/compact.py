"""Compaction: a base is built from the replay that was compared, and proved before it is published.

    replay = live view → drop what is left out → parts → a fresh view from the parts → equal? → Base

Parts are durable before the record names them; what was uploaded and not named is left over, and
cleaned up by a later prune. Parts that bases have replaced go the way of all that is left over.
"""

import logging
from collections.abc import Iterable

import msgspec
import trio

from snapfs.errors import DamagedError, DeltaVoidError
from snapfs.formats.bases import BasePart
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Base, BaseSource
from snapfs.jobs.prune.options import PruneOptions
from snapfs.jobs.prune.survey import check_view
from snapfs.metadata import need
from snapfs.metadata.baseloading import BaseLoading
from snapfs.metadata.bases import Standpoint, given, trees
from snapfs.metadata.compare import differences
from snapfs.metadata.database import Database
from snapfs.metadata.leftout_blocks import doomed_blocks
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Piece, Replica
from snapfs.metadata.restating import restate_blocks, restate_entries
from snapfs.metadata.superseded import parts_since
from snapfs.model.compaction import Growth
from snapfs.model.identity import NO_COMMIT, Attempt, Commit
from snapfs.repository.log import Log
from snapfs.repository.replay import catch_up_apart
from snapfs.repository.repository import Repository
from snapfs.repository.scratch import scratch

log = logging.getLogger(__name__)


def growth(db: Database, options: PruneOptions, now_ns: int) -> Growth:
    """What a base would spare. Reads all entries: to be run in a thread."""
    parts, part_bytes, base_bytes = parts_since(db)
    commits = need.wanted_commits(db, forgotten_since_ns=_since(options, now_ns))
    entries, dead = need.count_entries(db, commits)
    return Growth(parts, part_bytes, base_bytes, entries, dead)


async def compact(repository: Repository, replica: Replica, options: PruneOptions) -> Commit | None:
    """Publish a base, made of this replay; None where others came in its way.

    The replay is of no use for anything else afterwards. Raises ViewDamagedError where the live
    view is not what the log gives, DamagedError where what is needed was given up, or what was
    built is not equal; StoreError, LogCutError.
    """
    await catch_up_apart(repository, replica)
    await check_view(repository, replica)
    until = replica.tip().number
    body = await trio.to_thread.run_sync(_begin, replica, options, repository.world.now_ns())
    await trio.to_thread.run_sync(_drop, replica, body)
    blocks = await _upload(repository, restate_blocks(replica.db, until))
    sources = [
        BaseSource(
            each.source, await _upload(repository, restate_entries(replica.db, each.source, body))
        )
        for each in body.sources
    ]
    body = msgspec.structs.replace(body, blocks=blocks, sources=tuple(sources))
    await _prove(repository, replica, body)
    attempt = Attempt(repository.world.random(16))
    try:
        return await repository.publish(attempt, lambda: body, options.host)
    except DeltaVoidError as error:
        log.warning("no base was made: %s", error.what)
        return None


def _begin(replica: Replica, options: PruneOptions, now_ns: int) -> Base:
    """What the base is to restate. DamagedError where that needs what is being deleted."""
    db, until = replica.db, replica.tip().number
    commits = need.wanted_commits(db, forgotten_since_ns=_since(options, now_ns))
    needed = need.needed_blocks(db, commits)
    need.add_progress(db, needed)
    if any(number in needed for number in doomed_blocks(db, until)):
        raise DamagedError(
            "packs were given up that snapshots need: no base is made",
            hint="run 'snapfs check', which names the files",
        )
    known = {number for (number,) in db.rows("SELECT number FROM snapshot")}
    wanted = sorted({number for held in commits.values() for number in held if number in known})
    numbers = db.rows("SELECT DISTINCT source FROM snapshot ORDER BY source")
    sources = tuple(BaseSource(number, ()) for (number,) in numbers)
    return Base(until, tuple(wanted), (), sources, given(db, until), trees(db))


def _drop(replica: Replica, body: Base) -> None:
    """Let the replay drop what the base leaves out, as every replica will."""
    for loading in _loadings(replica, body):
        loading.leave_out(_nobody_else)
    # A source all of whose commits were given up has no rows, and no place in the base.
    streams = msgspec.json.encode([each.source for each in body.sources]).decode()
    replica.db.execute(
        "DELETE FROM cursor WHERE stream <> ? AND stream NOT IN (SELECT value FROM json_each(?))",
        (BLOCKS, streams),
    )


def _nobody_else() -> None:
    """The replay is this process's own."""


def _loadings(replica: Replica, body: Base) -> list[BaseLoading]:
    """All streams of a replica, the blocks first."""
    here = Standpoint(body.until, body.until)
    streams = [BLOCKS, *(each.source for each in body.sources)]
    return [BaseLoading(replica.db, stream, here, body) for stream in streams]


async def _upload(repository: Repository, parts: Iterable[BasePart]) -> tuple[PartRef, ...]:
    rest = iter(parts)
    refs: list[PartRef] = []
    while (part := await trio.to_thread.run_sync(next, rest, None)) is not None:
        refs.append(await repository.parts.upload_base(part))
    return tuple(refs)


async def _prove(repository: Repository, replica: Replica, body: Base) -> None:
    """Fill a fresh view from the parts as they lie in the store. DamagedError where it differs."""
    with scratch(repository.state) as folder:
        fresh = await trio.to_thread.run_sync(Replica.open_temporary, folder / "replica.db")
        with fresh.db:
            world = repository.world
            heads = Log(
                repository.store, repository.keys, fresh, now=world.now_ns,
                random_bytes=world.random,
            )  # fmt: skip
            await heads.catch_up(body.until)
            for loading in _loadings(fresh, body):
                await _load(repository, loading)
            tables = await trio.to_thread.run_sync(differences, replica.db, fresh.db)
    if tables:
        raise DamagedError(
            f"a view that begins with this base would differ (in {', '.join(tables)}): "
            "it is not published",
            hint="nothing is lost; please report this",
        )


async def _load(repository: Repository, loading: BaseLoading) -> None:
    while left := await trio.to_thread.run_sync(loading.begin, 1):
        ((at, ref),) = left
        piece = Piece(loading.stream, NO_COMMIT, at, ref, base=True)
        part = await repository.parts.fetch_base(piece)
        await trio.to_thread.run_sync(_apply, loading, at, part)


def _apply(loading: BaseLoading, at: int, part: BasePart) -> None:
    with loading.db.writing():
        loading.apply(at, part)


def _since(options: PruneOptions, now_ns: int) -> int | None:
    return now_ns - options.forgotten_for_ns if options.forgotten_for_ns else None
