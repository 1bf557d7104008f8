"""Repair: lost objects, put back from the copies that this machine has kept (see repository/kept).

Nothing sound is ever written over: what lies damaged in the store is saved on this machine before
the copy takes its place. A record is put back only where the chain of hashes says that it is the
one that was there: if an old state of the storage was brought back, and somebody wrote to it, the
copies are of a log that has ended.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from snapfs.errors import (
    FormatError,
    NewerFormatError,
    ObjectExistsError,
    ObjectNotFoundError,
    SnapfsError,
    ViewDamagedError,
)
from snapfs.formats import marker, objects, parts, slots
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.repair.chain import Chain
from snapfs.jobs.repair.view import set_aside
from snapfs.metadata.copies import Copies
from snapfs.metadata.database import Database
from snapfs.model.identity import Commit, RepositoryId
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.repository.scratch import scratch
from snapfs.repository.state import Directories, State, known_place, local_errors
from snapfs.repository.world import World
from snapfs.stores.base import Store

log = logging.getLogger(__name__)

_BATCH = 64
"records that are fetched at once"


async def put_back_keys(
    store: Store, directories: Directories, world: World | None = None, *, dry_run: bool = False
) -> tuple[str, ...]:
    """Put back the marker, rings and slots that are missing or damaged; their names.

    Needs no keys, as there may be no other way to them. Slots that are gone stay so unless none is
    left that can be read: they may have been removed. Nothing is put where nothing shows that the
    store holds this repository. Raises StoreError, LocalError.
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
            if not dry_run:
                await trio.to_thread.run_sync(_salvage, state.copies.with_name(aside[0]), copies)
        with copies.db:
            yield copies, aside


def _opened(path: Path) -> Copies:
    copies = Copies.open(path)
    try:
        if copies.db.row("PRAGMA quick_check(1)") != ("ok",):
            raise ViewDamagedError(f"{path}: is damaged")
        copies.drop_damaged()
    except BaseException:
        copies.db.close()
        raise
    return copies


def _salvage(damaged: Path, copies: Copies) -> None:
    """Keep what can still be read of damaged copies. Each has a hash of its own."""
    try:
        with Database.open_readonly(damaged) as db:
            old = Copies(db)
            for name in old.names(""):
                with suppress(SnapfsError):
                    data = old.get(name)
                    if data is not None:
                        copies.keep({name: data})
    except SnapfsError as error:
        log.warning("%s; no more copies can be read", error.what)


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
        stored = await self._get_all(names)
        lost = {name: stored[name] for name in names if self._is_lost(name, stored[name])}
        if not lost or not await self._is_ours(stored, repository):
            return ()
        if await self._any_slot():
            lost = {n: data for n, data in lost.items() if not _is_slot(n) or data is not None}
        return await self._put_back(lost)

    async def log(self, keys: Keys) -> tuple[str, ...]:
        """Put back the records that are missing or damaged; their names.

        Raises StoreError, LocalError.
        """
        kept = {number: name for name in self.copies.names(objects.LOG)
                if (number := objects.record_number(name)) is not None}  # fmt: skip
        chain, judged = Chain(keys), dict[str, bytes | None]()
        # Not all numbers up to the last: anybody can put an object of any name into the store.
        listed = sorted({*kept, *await self._listed_records()}) if kept else []
        for begin in range(0, len(listed), _BATCH):
            numbers = listed[begin : begin + _BATCH]
            found = await self._get_all([objects.record(number) for number in numbers])
            for number, (name, data) in zip(numbers, found.items(), strict=True):
                if not chain.add(number, data) and number in kept:
                    chain.add_copy(number, self.copies.get(name))
                    judged[name] = data
        names = [objects.record(number) for number in chain.provable()]
        return await self._put_back({name: judged[name] for name in names})

    async def parts(self, examination: Examination, done: Iterable[str]) -> tuple[str, ...]:
        """Put back the parts that a check has found missing or damaged, but for those `done`.

        Raises StoreError, LocalError.
        """
        wanted = examination.damaged_parts()
        names = []
        for name in sorted(wanted.keys() - set(done)):
            copy = self.copies.get(name)
            if copy is not None and parts.digest(copy) == wanted[name]:
                names.append(name)
        return await self._put_back(await self._get_all(names))

    async def _put_back(self, lost: Mapping[str, bytes | None]) -> tuple[str, ...]:
        """Put these back, one by one; `lost` has what was found in their places, if anything."""
        return tuple([n for n, data in lost.items() if self.dry_run or await self._put(n, data)])

    async def _put(self, name: str, damaged: bytes | None) -> bool:
        copy = self.copies.get(name)
        return copy is not None and damaged != copy and await self.replace(name, damaged, copy)

    async def replace(self, name: str, damaged: bytes | None, data: bytes) -> bool:
        """Put an object where nothing is, or this damaged one, which is saved on this machine.

        False where another process was first. Raises StoreError, LocalError.
        """
        if damaged is None:
            try:
                await self.store.put(name, data, if_absent=True)
            except ObjectExistsError:
                return False  # another process was first, with this object or a later one
            return True
        await trio.to_thread.run_sync(self._save, name, damaged)
        if await self._get(name) != damaged:
            return False  # what was found damaged is not there any more
        await self.store.put(name, data)
        return True

    def _save(self, name: str, damaged: bytes) -> None:
        path = self.state.directory / name.replace("/", "-")
        with local_errors(path):
            with open(path, "wb") as file:
                file.write(damaged)
                file.flush()
                os.fsync(file.fileno())
            set_aside(path, self.world)

    async def _is_ours(self, stored: Mapping[str, bytes | None], repository: RepositoryId) -> bool:
        """Whether what is left in the store is of the repository that the copies are of.

        Its marker may say so, or any object that is the same as its copy: a key object, or one of
        the first records. A store without a log holds no repository, and none is to come back.
        """
        if not await self._listed_records():
            return False
        if _is_marker_of(stored.get(objects.MARKER), repository):
            return True
        records = self.copies.names(objects.LOG)[:_BATCH]
        everything = {**stored, **await self._get_all(records)}
        return any(
            data is not None and data == self.copies.get(n) for n, data in everything.items()
        )

    async def _any_slot(self) -> bool:
        """Whether the store has a slot that can be read, known here or not."""
        names = [item.name async for item in self.store.list(objects.KEYS) if _is_slot(item.name)]
        found = await self._get_all(names)
        return any(data is not None and _is_readable_slot(data) for data in found.values())

    async def _listed_records(self) -> list[Commit]:
        """The numbers of the records that the store lists."""
        numbers = [objects.record_number(item.name) async for item in self.store.list(objects.LOG)]
        return [number for number in numbers if number is not None]

    def _is_lost(self, name: str, stored: bytes | None) -> bool:
        copy = self.copies.get(name)
        return copy is not None and copy != stored

    async def _get_all(self, names: Sequence[str]) -> dict[str, bytes | None]:
        found = await gather(partial(self._get, name) for name in names)
        return dict(zip(names, found, strict=True))

    async def _get(self, name: str) -> bytes | None:
        try:
            return await self.store.get(name)
        except ObjectNotFoundError:
            return None


def _is_slot(name: str) -> bool:
    return name.startswith(objects.KEYS) and not name.startswith(objects.RINGS)


def _is_readable_slot(stored: bytes) -> bool:
    try:
        slots.decode(stored)
    except (FormatError, NewerFormatError):
        return False
    return True


def _is_marker_of(stored: bytes | None, repository: RepositoryId) -> bool:
    try:
        return stored is not None and marker.decode(stored) == repository
    except (FormatError, NewerFormatError):
        return False
