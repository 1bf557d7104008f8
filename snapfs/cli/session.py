"""One run of a command: where the repository is, opening it, and being ended by a signal."""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import trio

from snapfs.cli import settings
from snapfs.cli.memory import use_memory_well
from snapfs.cli.options import Globals
from snapfs.cli.passphrase import obtain
from snapfs.errors import NoRepositoryError
from snapfs.formats.slots import Derive
from snapfs.repository.keys import Keys
from snapfs.repository.repository import DISK_CACHE, Repository, open_keys, open_repository
from snapfs.repository.state import Directories
from snapfs.stores.base import Store
from snapfs.stores.locate import DirectoryLocation, Location, open_store
from snapfs.stores.policy import RetryPolicy

T = TypeVar("T")

_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Session:
    """What a run has found out about its surroundings; nothing is open yet."""

    machine: settings.Machine
    location: Location
    directories: Directories
    policy: RetryPolicy
    given: Globals

    def secret(self) -> str:
        """The passphrase that opens the repository. Raises UsageError."""
        if self.given.ahead is not None:
            return self.given.ahead.secret
        return obtain(settings.passphrase(self.machine))

    @property
    def disk_cache(self) -> int:
        """Bytes of the cache on disk: none for a repository that is on a disk."""
        return 0 if isinstance(self.location, DirectoryLocation) else DISK_CACHE

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The store, closed in the end."""
        store = open_store(self.location, policy=self.policy)
        try:
            yield store
        finally:
            with trio.CancelScope(shield=True):
                await store.aclose()

    @asynccontextmanager
    async def repository(self) -> AsyncIterator[Repository]:
        """The repository, unlocked; nothing is caught up yet. Raises as `open_repository`."""
        self.check_directory()
        async with (
            self.store() as store,
            open_repository(
                store, self.directories, self.secret, derive_key=self._derive_key
            ) as repository,
        ):
            try:
                yield repository
            finally:
                self.given.incomplete |= repository.lost is not None

    @asynccontextmanager
    async def unlocked(self) -> AsyncIterator[tuple[Store, Keys]]:
        """The store and the repository's keys; this machine's view stays closed.

        Raises as `open_keys`.
        """
        self.check_directory()
        async with self.store() as store:
            yield (
                store,
                await open_keys(store, self.directories, self.secret, derive_key=self._derive_key),
            )

    @property
    def _derive_key(self) -> Derive | None:
        return None if self.given.ahead is None else self.given.ahead.derive_key

    def check_directory(self) -> None:
        """Raise NoRepositoryError where the repository's directory is not there at all."""
        # The store cannot tell a disk that is not mounted from a repository that never was.
        place = self.location
        if isinstance(place, DirectoryLocation) and not place.path.exists():
            raise NoRepositoryError(
                f"{place.url}: there is no repository here, not even a directory",
                hint="create one with 'snapfs init', or mount the disk that it is on",
            )


def begin(given: Globals) -> Session:
    """Set up logging, and find out where everything is. Raises UsageError."""
    log_to_stderr(given)
    machine = settings.Machine(os.environ, os.getuid(), Path.home(), Path.cwd())
    return Session(
        machine=machine,
        location=settings.location(given.repository, machine),
        directories=settings.directories(machine),
        policy=settings.retry_policy(machine),
        given=given,
    )


def run(command: Callable[[], Awaitable[T]]) -> T:
    """Run to the end, or until SIGINT or SIGTERM: then all is closed, and Abort raised.

    What tasks raise comes as an exception group.
    """
    use_memory_well()
    return trio.run(_until_signalled, command)


async def _until_signalled(command: Callable[[], Awaitable[T]]) -> T:
    results: list[T] = []
    received: list[int] = []
    with trio.open_signal_receiver(*_ENDING) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope, received)
            results.append(await command())
            nursery.cancel_scope.cancel()
    if received or not results:
        # Also where it came as the command ended: there may be more to do with its result.
        raise click.Abort
    return results[0]


async def _cancel_on_signal(
    signals: AsyncIterator[int], scope: trio.CancelScope, received: list[int]
) -> None:
    async for ending in signals:
        received.append(ending)
        # A thread may be stuck in a read. Nothing that is committed suffers from a second signal's
        # ending the process where it stands.
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        scope.cancel()


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at that moment: a live display stands before it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_stderr(given: Globals) -> None:
    """Log of this program; other libraries only warn, for they may log what is secret."""
    handler = _StandardError()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("snapfs").setLevel(given.log_level)
    if not given.verbosity:
        # A user at a terminal wonders what is waited for; elsewhere the error in the end says it.
        retrying = logging.INFO if sys.stderr.isatty() else logging.ERROR
        logging.getLogger("snapfs.stores.retrying").setLevel(retrying)
