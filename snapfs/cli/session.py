"""One run of a command: where the repository is, and opening it.

What that needs is loaded then: a question that a glance answers does without.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapfs.cli import settings
from snapfs.cli.options import Globals
from snapfs.cli.passphrase import obtain
from snapfs.errors import LocalError, NoRepositoryError
from snapfs.repository.state import Directories, remember_file
from snapfs.stores.locate import DirectoryLocation, Location, open_store, verbs_at
from snapfs.stores.policy import RetryPolicy

if TYPE_CHECKING:
    from snapfs.formats.slots import Derive
    from snapfs.repository.keys import Keys
    from snapfs.repository.repository import Repository
    from snapfs.stores.base import Store, Verbs

_DISK_CACHE = 5 * 1024 * 1024 * 1024
"bytes of sealed segments that are kept on disk, of stores that are far away"


@dataclass(frozen=True, slots=True)
class Session:
    """What a run has found out about its surroundings; nothing is open yet."""

    machine: settings.Machine
    location: Location
    verbs: "Verbs"
    "what the store can do, for whoever waits for it"
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
        return 0 if isinstance(self.location, DirectoryLocation) else _DISK_CACHE

    @asynccontextmanager
    async def store(self) -> "AsyncIterator[Store]":
        """The store, closed in the end."""
        import trio

        store = open_store(self.verbs, policy=self.policy)
        try:
            yield store
        finally:
            with trio.CancelScope(shield=True):
                await store.aclose()

    @asynccontextmanager
    async def repository(self) -> "AsyncIterator[Repository]":
        """The repository, unlocked; nothing is caught up yet. Raises as `open_repository`."""
        from snapfs.repository.repository import open_repository

        self.check_directory()
        async with (
            self.store() as store,
            open_repository(
                store, self.directories, self.secret, derive_key=self._derive_key
            ) as repository,
        ):
            self.remember_file(store.url, repository.keys.slot)
            try:
                yield repository
            finally:
                self.given.incomplete |= repository.lost is not None

    @asynccontextmanager
    async def unlocked(self) -> "AsyncIterator[tuple[Store, Keys]]":
        """The store and the repository's keys; this machine's view stays closed.

        Raises as `open_keys`.
        """
        from snapfs.repository.repository import open_keys

        self.check_directory()
        async with self.store() as store:
            yield (
                store,
                await open_keys(store, self.directories, self.secret, derive_key=self._derive_key),
            )

    def remember_file(self, url: str, slot: str) -> None:
        """Note from which file the passphrase came that has opened this slot just now."""
        ahead = self.given.ahead
        if ahead is not None and ahead.file is not None:
            # What it spares is time: a full disk is no reason not to go on.
            with suppress(LocalError):
                remember_file(self.directories, url, slot, ahead.file)

    @property
    def _derive_key(self) -> "Derive | None":
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
    location = settings.location(given.repository, machine)
    return Session(
        machine=machine,
        location=location,
        verbs=verbs_at(location),
        directories=settings.directories(machine),
        policy=settings.retry_policy(machine),
        given=given,
    )


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
