"""Repair: copies of the log and its parts, where this machine has none yet.

What a machine catches up with it copies. A repair makes the copies anew that were lost, and those
of what came into a view that was built again.
"""

from functools import partial

import trio

from snapfs.errors import ObjectNotFoundError
from snapfs.formats import objects, parts
from snapfs.metadata.copies import Copies
from snapfs.metadata.database import Database
from snapfs.metadata.superseded import parts_in_use
from snapfs.repository.parallel import gather
from snapfs.repository.state import State
from snapfs.stores.base import Store

_BATCH = 16
"objects that are fetched at once; each is a megabyte at most as we write them"


async def complete_copies(store: Store, state: State, copies: Copies) -> None:
    """Copy what the view knows of, and is sound in the store. Raises StoreError, LocalError."""
    missing = sorted((await trio.to_thread.run_sync(_missing, state, copies)).items())
    for at in range(0, len(missing), _BATCH):
        batch = missing[at : at + _BATCH]
        found = await gather(partial(_sound, store, name, hash_) for name, hash_ in batch)
        sound = {name: data for (name, _), data in zip(batch, found, strict=True) if data}
        await trio.to_thread.run_sync(copies.keep, sound)


def _missing(state: State, copies: Copies) -> dict[str, bytes]:
    """Records and parts that are not copied, and what their hashes must be."""
    with Database.open_readonly(state.replica) as db:
        wanted = {
            objects.record(number): hash_
            for number, hash_ in db.stream(
                "SELECT number, hash FROM log WHERE number NOT IN (SELECT record FROM lost)"
                " ORDER BY number"
            )
        }
        wanted.update(parts_in_use(db))
    known = {**copies.hashes(objects.LOG), **copies.hashes(objects.PARTS)}
    return {name: hash_ for name, hash_ in wanted.items() if known.get(name) != hash_}


async def _sound(store: Store, name: str, hash_: bytes) -> bytes | None:
    try:
        data = await store.get(name)
    except ObjectNotFoundError:
        return None
    return data if parts.digest(data) == hash_ else None
