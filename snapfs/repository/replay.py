"""A replay: the log applied to an empty database, for those who must not trust the live one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from snapfs.metadata.replica import Replica
from snapfs.model.identity import Commit
from snapfs.repository.keys import Keys
from snapfs.repository.log import Log
from snapfs.repository.pieces import Parts
from snapfs.repository.repository import Repository, World
from snapfs.repository.scratch import scratch
from snapfs.stores.base import Store


@asynccontextmanager
async def replayed(repository: Repository) -> AsyncIterator[Replica]:
    """A replica that was filled from the store alone, all streams applied; gone with the block.

    Raises what catching up raises: LogCutError, NewerFormatError, DamagedError, StoreError.
    """
    with scratch(repository.state) as folder:
        replica = await trio.to_thread.run_sync(Replica.open_temporary, folder / "replica.db")
        with replica.db:
            await catch_up_apart(repository, replica)
            yield replica


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
    log = Log(store, keys, replica, now=world.now_ns, random_bytes=world.random)
    parts = Parts(store, keys, replica, random_bytes=world.random)
    await log.catch_up(until)
    await parts.catch_up(replica.streams())
