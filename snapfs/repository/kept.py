"""What this machine keeps of the objects that hold the repository together.

A record is kept before the view has its head, and a part before the view has its rows: so whatever
this machine has seen, a repair on it can put back, byte for byte. That is worth having, and nothing
relies on it: where the disk refuses, a warning says so, and work goes on.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial

import trio

from snapfs.errors import FormatError, ObjectNotFoundError, SnapfsError
from snapfs.formats import objects, ring, slots
from snapfs.metadata.copies import Copies
from snapfs.metadata.database import Database
from snapfs.repository.keys import KeyObjects, Keys
from snapfs.repository.parallel import gather
from snapfs.repository.state import State
from snapfs.stores.base import Store

log = logging.getLogger(__name__)


class Kept:
    """The copies of one repository on this machine: opened when needed, closed by their owner."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._copies: Copies | None = None
        self._lock = trio.Lock()
        self._failing = False

    async def keep(self, sound: Mapping[str, bytes]) -> None:
        """Keep objects that were found to be sound."""
        await self._do(lambda copies: copies.keep(sound))

    async def tidy(self) -> None:
        """Drop what a base has taken the place of, as far as this machine's view knows."""
        await self._do(self._tidy)

    def close(self) -> None:
        """Close the database, if it was opened."""
        if self._copies is not None:
            self._copies.db.close()

    async def _do(self, action: Callable[[Copies], None]) -> None:
        async with self._lock:
            try:
                await trio.to_thread.run_sync(partial(self._run, action))
            except SnapfsError as error:
                if not self._failing:
                    log.warning("%s; no copies are kept for a repair", error.what)
                self._failing = True
            else:
                self._failing = False

    def _run(self, action: Callable[[Copies], None]) -> None:
        if self._copies is None:
            self._copies = Copies.open(self._state.copies)
        action(self._copies)

    def _tidy(self, copies: Copies) -> None:
        # In a thread: the connection that the event loop looks up by is not for this.
        with Database.open_readonly(self._state.replica) as replica:
            copies.tidy(replica)


async def keep_keys(store: Store, state: State, found: KeyObjects, keys: Keys) -> None:
    """Keep the marker, the slots and the rings that were found, and no other slots.

    So a slot that was removed is not kept for longer than until the repository is opened again.
    """
    try:
        with closing((await trio.to_thread.run_sync(Copies.open, state.copies)).db) as db:
            await _keep_keys(store, Copies(db), found, keys)
    except SnapfsError as error:
        log.warning("%s; the keys' objects are not kept for a repair", error.what)


async def _keep_keys(store: Store, copies: Copies, found: KeyObjects, keys: Keys) -> None:
    sound = {objects.MARKER, *found.rings, *(objects.slot(each.id) for each in found.slots)}
    damaged = {objects.slot(id_) for id_ in found.damaged}
    # None of these objects ever changes, so those of known names need not be read.
    known = {*copies.names(objects.MARKER), *copies.names(objects.KEYS)}
    if new := sorted(sound - known):
        read = await gather(partial(_read_key_object, store, name, keys) for name in new)
        copies.keep({name: data for name, data in zip(new, read, strict=True) if data is not None})
    if gone := known - sound - damaged:
        copies.drop(gone)


async def _read_key_object(store: Store, name: str, keys: Keys) -> bytes | None:
    """Its bytes, if they are sound as far as can be told."""
    try:
        data = await store.get(name)
        if name.startswith(objects.RINGS):
            ring.decode(data, keys.repository, name, keys.master)
        elif name != objects.MARKER:
            slots.decode(data)
        elif data != keys.marker:
            return None
    except (FormatError, ObjectNotFoundError):
        return None
    return data
