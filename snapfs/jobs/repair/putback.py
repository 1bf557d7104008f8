"""Repair: lost objects, put back from the copies that this machine has kept (see repository/kept).

Nothing sound is ever written over: what lies damaged in the store is saved on this machine before
the copy takes its place. A record is put back only where the chain of hashes says that it is the
one that was there: if an old state of the storage was brought back, and somebody wrote to it, the
copies are of a log that has ended.
"""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from snapfs.errors import (
    FormatError,
    NewerFormatError,
    ObjectExistsError,
    ObjectNotFoundError,
    ViewDamagedError,
)
from snapfs.formats import marker, objects, parts, slots
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.repair.chain import Chain
from snapfs.jobs.repair.view import set_aside
from snapfs.metadata.copies import Copies
from snapfs.model.identity import Commit, RepositoryId
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.repository.repository import World
from snapfs.repository.scratch import scratch
from snapfs.repository.state import Directories, State, known_place, local_errors
from snapfs.stores.base import Store

_BATCH = 64
"records that are fetched at once"


async def put_back_keys(
    store: Store, directories: Directories, world: World | None = None, *, dry_run: bool = False
) -> tuple[str, ...]:
    """Put back the marker, rings and slots that are missing or damaged; their names.

    Needs no keys, as there may be no other way to them. Slots that are gone stay so unless none is
    left that can be read: they may have been removed. Where there is no log nothing is put back:
    there, the whole repository was removed. Raises StoreError, LocalError.
    """
    known = known_place(directories, store.url)
    if known is None:
        return ()
    state = State(directories, known.repository)
    world = world or World()
    async with open_copies(state, world, dry_run=dry_run) as (copies, _):
        return await PutBack(store, copies, state, world, dry_run).keys(known.repository)


@asynccontextmanager
async def open_copies(
    state: State, world: World, *, dry_run: bool
) -> AsyncIterator[tuple[Copies, tuple[str, ...]]]:
    """The copies of this machine. Where they are damaged, new and empty ones, and the name that
    the old ones have now, or would have a new one instead of."""
    with ExitStack() as stack:
        aside: tuple[str, ...] = ()
        try:
            copies = await trio.to_thread.run_sync(_opened, state.copies)
        except ViewDamagedError:
            path = state.copies
            if dry_run:
                path = stack.enter_context(scratch(state)) / path.name
                aside = (path.name,)
            else:
                with local_errors(state.directory):
                    aside = (set_aside(path, world),)
            copies = await trio.to_thread.run_sync(_opened, path)
        with copies.db:
            yield copies, aside


def _opened(path: Path) -> Copies:
    copies = Copies.open(path)
    try:
        if copies.db.row("PRAGMA quick_check(1)") != ("ok",):
            raise ViewDamagedError(f"{path}: is damaged")
    except BaseException:
        copies.db.close()
        raise
    return copies


@dataclass(frozen=True, slots=True)
class PutBack:
    """Puts objects back from the copies of one repository on this machine."""

    store: Store
    copies: Copies
    state: State
    world: World
    dry_run: bool

    async def keys(self, repository: RepositoryId) -> tuple[str, ...]:
        """See `put_back_keys`."""
        names = [*self.copies.names(objects.MARKER), *self.copies.names(objects.KEYS)]
        if not names or not await self._has_log():
            return ()
        found = await gather(partial(self._get, name) for name in names)
        stored = dict(zip(names, found, strict=True))
        lost = [name for name in names if stored[name] != self.copies.get(name)]
        is_known = any(name != objects.MARKER for name in set(names) - set(lost))
        if not is_known and _is_of_another(stored.get(objects.MARKER), repository):
            return ()
        if any(_is_readable_slot(name, stored[name]) for name in names):
            lost = [name for name in lost if not _is_slot(name) or stored[name] is not None]
        return await self._put_back(lost)

    async def log(self, keys: Keys) -> tuple[str, ...]:
        """Put back the records that are missing or damaged; their names.

        Raises StoreError, LocalError.
        """
        numbers = map(objects.record_number, self.copies.names(objects.LOG))
        kept = {number for number in numbers if number is not None}
        chain = Chain(keys)
        last = max(kept, default=0)
        for begin in range(1, last + 1, _BATCH):
            # One more than there are copies of, for it has the hash of the one before.
            batch = [Commit(number) for number in range(begin, min(begin + _BATCH, last + 2))]
            found = await gather(partial(self._get, objects.record(each)) for each in batch)
            for number, data in zip(batch, found, strict=True):
                if not chain.add(number, data) and number in kept:
                    chain.add_copy(number, self.copies.get(objects.record(number)))
        return await self._put_back(objects.record(number) for number in chain.provable())

    async def parts(self, examination: Examination, done: Iterable[str]) -> tuple[str, ...]:
        """Put back the parts that a check has found missing or damaged, but for those `done`.

        Raises StoreError, LocalError.
        """
        lost = examination.damaged_parts()
        names = []
        for name in sorted(lost.keys() - set(done)):
            copy = self.copies.get(name)
            if copy is not None and parts.digest(copy) == lost[name]:
                names.append(name)
        return await self._put_back(names)

    async def _put_back(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple([name for name in names if self.dry_run or await self._put(name)])

    async def _put(self, name: str) -> bool:
        copy = self.copies.get(name)
        if copy is None:
            return False
        damaged = await self._get(name)
        if damaged is None:
            try:
                await self.store.put(name, copy, if_absent=True)
            except ObjectExistsError:
                return False  # another process was first, with this object or a later one
        elif damaged != copy:
            await trio.to_thread.run_sync(self._save, name, damaged)
            await self.store.put(name, copy)
        return True

    def _save(self, name: str, damaged: bytes) -> None:
        path = self.state.directory / name.replace("/", "-")
        with local_errors(path):
            with open(path, "wb") as file:
                file.write(damaged)
                file.flush()
                os.fsync(file.fileno())
            set_aside(path, self.world)

    async def _has_log(self) -> bool:
        async for _ in self.store.list(objects.LOG):
            return True
        return False

    async def _get(self, name: str) -> bytes | None:
        try:
            return await self.store.get(name)
        except ObjectNotFoundError:
            return None


def _is_slot(name: str) -> bool:
    return name.startswith(objects.KEYS) and not name.startswith(objects.RINGS)


def _is_readable_slot(name: str, stored: bytes | None) -> bool:
    if stored is None or not _is_slot(name):
        return False
    try:
        slots.decode(stored)
    except (FormatError, NewerFormatError):
        return False
    return True


def _is_of_another(stored: bytes | None, repository: RepositoryId) -> bool:
    """Whether a marker says that here is another repository, or one of a newer format.

    Or it is damaged: what tells is whether slots or rings are those of the one that is known.
    """
    if stored is None:
        return False
    try:
        return marker.decode(stored) != repository
    except NewerFormatError:
        return True
    except FormatError:
        return False
