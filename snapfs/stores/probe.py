"""Does a store keep its word about put-if-absent? All that hosts agree on hangs on it."""

from dataclasses import dataclass, field

import trio

from snapfs.errors import (
    ObjectExistsError,
    PutConflictError,
    StoreError,
    StoreUnavailableError,
)
from snapfs.stores.base import Store

_WRITERS = 8
"as many as a race between hosts may well have; S3 servers that look first and write then fail"

PLACE = "probe"
_CLEANING = 20.0
"seconds that cleaning up may take where the probe itself was cancelled"


async def honours_put_if_absent(store: Store, token: str) -> bool:
    """Whether the store creates an object only where there is none, in a race too.

    Writes a few bytes below `probe/`, under names made of `token`, which must be new, and
    removes them. Raises StoreError.
    """
    alone, raced = f"{PLACE}/{token}", f"{PLACE}/{token}-raced"
    try:
        return await _keeps_the_first(store, alone) and await _has_one_winner(store, raced)
    finally:
        with trio.move_on_after(_CLEANING, shield=True):
            await store.delete(alone)
            await store.delete(raced)


async def _keeps_the_first(store: Store, name: str) -> bool:
    await store.put(name, b"first")
    try:
        await store.put(name, b"other", if_absent=True)
    except ObjectExistsError:
        return await store.get(name) == b"first"
    return False


async def _has_one_winner(store: Store, name: str) -> bool:
    race = _Race()
    async with trio.open_nursery() as nursery:
        for writer in range(_WRITERS):
            nursery.start_soon(_write, store, name, b"writer %d" % writer, race)
    if race.failure is not None:
        raise race.failure
    if len(race.won) > 1 or not (race.won or race.unknown):
        return False
    return await store.get(name) in (race.won or race.unknown)


@dataclass(slots=True)
class _Race:
    """Who was told what."""

    won: list[bytes] = field(default_factory=list)
    unknown: list[bytes] = field(default_factory=list)
    failure: StoreError | None = None
    "the last that has nothing to do with the race"


async def _write(store: Store, name: str, data: bytes, race: _Race) -> None:
    try:
        await store.put(name, data, if_absent=True)
    except ObjectExistsError:
        return
    except (PutConflictError, StoreUnavailableError):
        race.unknown.append(data)
    except StoreError as error:
        race.failure = error
    else:
        race.won.append(data)
