"""A replay: the log applied to an empty database, for those who must not trust the live one."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from snapfs.errors import DamagedError, LogGapError
from snapfs.metadata.replica import Replica
from snapfs.model.identity import Commit
from snapfs.repository.keys import Keys
from snapfs.repository.log import Log
from snapfs.repository.pieces import Parts, catch_up_parts
from snapfs.repository.repository import Repository
from snapfs.repository.scratch import scratch
from snapfs.repository.world import World
from snapfs.stores.base import Store

log = logging.getLogger(__name__)


@asynccontextmanager
async def replayed(repository: Repository) -> AsyncIterator[Replica]:
    """A replica that was filled from the store alone, all streams applied; gone with the block.

    Raises what catching up raises: LogCutError, NewerFormatError, DamagedError, StoreError.
    """
    with scratch(repository.state) as folder:
        replica, damage = await fill_anew(
            repository.store, repository.keys, repository.world, folder / "replica.db",
            Replica.open_temporary,
        )  # fmt: skip
        with replica.db:
            if damage is not None:
                raise damage
            yield replica


async def fill_anew(
    store: Store, keys: Keys, world: World, path: Path, open_replica: Callable[[Path], Replica]
) -> tuple[Replica, DamagedError | LogGapError | None]:
    """A new replica at `path`, all streams at the log's head, and what kept it from coming there.

    Where a part of a base is lost, it first comes to the record before that: what the base before
    and the records since name is kept until the next base. So for each of several such bases.
    Raises what catching up raises, but DamagedError and LogGapError.
    """
    stops: list[Commit] = []
    "records at which to stop, so as not to begin with the base that follows"
    while True:
        replica = await trio.to_thread.run_sync(open_replica, path)
        try:
            for stop in sorted(stops):
                await fill(store, keys, world, replica, stop)
            await fill(store, keys, world, replica)
        except LogGapError as error:
            return replica, error
        except DamagedError as error:
            base = await trio.to_thread.run_sync(replica.waits_for_base)
            if base is None or base - 1 in stops or replica.needs_base(base):
                return replica, error
            log.warning("%s: base %d is passed over", error.what, base)
        except BaseException:
            replica.db.close()
            raise
        else:
            replica.lacks_base = bool(stops)
            return replica, None
        stops.append(Commit(base - 1))
        replica.db.close()
        for held in path.parent.glob(f"{path.name}*"):
            held.unlink()


async def catch_up_apart(
    repository: Repository, replica: Replica, until: Commit | None = None
) -> None:
    """Bring a replica other than the repository's own up to the log's head, all streams.

    Or up to the record `until`, if it is not beyond that.
    """
    await fill(repository.store, repository.keys, repository.world, replica, until)


async def fill(
    store: Store, keys: Keys, world: World, replica: Replica, until: Commit | None = None
) -> None:
    """Bring a replica up to the log's head, or to the record `until`, all streams.

    Raises what catching up raises; what could be applied until then is in the replica.
    """
    heads = Log(store, keys, replica, now=world.now_ns, random_bytes=world.random)
    parts = Parts(store, keys, replica, random_bytes=world.random)
    await heads.catch_up(until)
    if until is None:
        await catch_up_parts(heads, parts, replica, replica.streams)
    else:
        await parts.catch_up(replica.streams())
