"""Repair: this machine's databases. What is damaged is moved aside, never deleted.

A crash leaves the old database, the new one, or none, and never files of both: a write-ahead log
without its database is dropped by SQLite, and is moved aside before the new one comes.
"""

import os
import time
from pathlib import Path

import trio

from snapfs.errors import DamagedError, LogCutError, ViewDamagedError
from snapfs.metadata.local import Local
from snapfs.metadata.replica import Replica
from snapfs.repository.keys import Keys
from snapfs.repository.replay import fill_anew
from snapfs.repository.repository import open_view
from snapfs.repository.scratch import scratch
from snapfs.repository.state import Directories, State, local_errors
from snapfs.repository.viewlock import view_alone
from snapfs.repository.world import World
from snapfs.stores.base import Store

_BESIDE = ("", "-wal", "-shm")
"what a database consists of; the first is the database itself"


async def can_be_opened(store: Store, directories: Directories, keys: Keys, world: World) -> bool:
    """Whether this machine's view opens. What is in it is another question. Raises LocalError."""
    try:
        async with open_view(store, directories, keys, world):
            return True
    except ViewDamagedError:
        return False


async def has_what_was_given_up(
    store: Store, directories: Directories, keys: Keys, world: World
) -> bool:
    """Whether this machine's view is not of this log any more: a repair on another machine gave up
    something that it has. Raises NewerFormatError, StoreError, LocalError."""
    async with open_view(store, directories, keys, world) as repository:
        try:
            await repository.log.catch_up()
        except ViewDamagedError:
            return True
        except LogCutError:
            return False  # the check says what is the matter
    return False


async def begins_with_a_lost_base(
    store: Store, directories: Directories, keys: Keys, world: World
) -> bool:
    """Whether this machine's view, being new or old, cannot pass a base of which a part is lost.

    What that base restates is still there, but only a view that is built anew goes round it. Raises
    NewerFormatError, StoreError, LocalError.
    """
    async with open_view(store, directories, keys, world) as repository:
        try:
            await repository.catch_up_all()
        except DamagedError:
            return await trio.to_thread.run_sync(repository.replica.waits_for_base) is not None
        except (LogCutError, ViewDamagedError):
            return False  # the check that follows says what is the matter
    return False


async def rebuild_view(store: Store, keys: Keys, world: World, state: State) -> str:
    """Build the view again from the log, and move the old one aside; the name that it has now.

    Where parts are lost the new view has what comes before them, and goes on once they are mended.

    Raises BusyError where another process has the view open, LogCutError, StoreError, LocalError:
    the old one stays then.
    """
    with scratch(state) as folder:
        path = folder / state.replica.name
        replica, _ = await fill_anew(store, keys, world, path, Replica.open)
        with replica.db:
            await trio.to_thread.run_sync(_finish, replica)
        with view_alone(state), local_errors(state.directory):
            name = set_aside(state.replica, world)
            (folder / state.replica.name).rename(state.replica)
            _sync(state.directory)
    return name


def rebuild_local(state: State, world: World) -> str | None:
    """Move the database of confirmations aside if it is damaged; the name that it has now.

    The next ingest makes a new one. Raises BusyError where another process may have it open.
    """
    if not state.local.exists() or _is_sound(state):
        return None
    with view_alone(state), local_errors(state.directory):
        return set_aside(state.local, world)


def set_aside(path: Path, world: World) -> str:
    """Give a database a name under which nobody looks for it; that name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(world.now_ns() / 10**9))
    name = free = f"{path.name}.quarantine-{stamp}"
    at = 1
    while any(path.with_name(free + suffix).exists() for suffix in _BESIDE):
        at += 1
        free = f"{name}-{at}"
    for suffix in _BESIDE:
        held = path.with_name(path.name + suffix)
        if held.exists():
            held.rename(path.with_name(free + suffix))
    _sync(path.parent)
    return free


def _is_sound(state: State) -> bool:
    try:
        with Local.open(state.local, state.replica).db as db:
            return db.row("PRAGMA main.quick_check(1)") == ("ok",)
    except ViewDamagedError:
        return False


def _finish(replica: Replica) -> None:
    """Bring all of it into one file, and that to the disk."""
    replica.db.row("PRAGMA wal_checkpoint(TRUNCATE)")
    _sync(replica.db.path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
