"""From a passphrase to the keys: finding the slots, unlocking one, opening the ring."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from snapfs.errors import (
    FormatError,
    NewerFormatError,
    NoRepositoryError,
    ObjectNotFoundError,
    WrongPassphraseError,
)
from snapfs.formats import limits, marker, objects, ring, slots
from snapfs.formats.ring import Ring
from snapfs.formats.seal import EpochKeys
from snapfs.formats.slots import Derive, KeySlot, Recipe
from snapfs.model.identity import RepositoryId
from snapfs.repository.parallel import gather
from snapfs.stores.base import Store


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens a repository. Never printed, never stored."""

    repository: RepositoryId
    marker: bytes = field(repr=False)
    "the marker's exact bytes: slots are bound to them"
    slot: str
    "the slot that was unlocked"
    recipe: Recipe
    "what its key is derived with"
    master: bytes = field(repr=False)
    epochs: EpochKeys = field(repr=False)
    block_id: bytes = field(repr=False)
    gear_seed: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class FoundSlot:
    """A key slot in the store."""

    id: str
    slot: KeySlot


@dataclass(frozen=True, slots=True)
class KeyObjects:
    """What a store holds of a repository's keys."""

    repository: RepositoryId
    marker: bytes
    slots: tuple[FoundSlot, ...]
    damaged: tuple[str, ...]
    "ids of slots that cannot be read"
    rings: tuple[str, ...]
    "objects of rings, oldest first"


async def read_marker(store: Store) -> bytes:
    """The marker's bytes. NoRepositoryError where there is none."""
    try:
        return await store.get(objects.MARKER)
    except ObjectNotFoundError:
        raise NoRepositoryError(
            f"{store.url}: there is no repository here",
            hint="create one with 'snapfs init', or name another with --repository",
        ) from None


async def read_key_objects(store: Store) -> KeyObjects:
    """Everything that unlocking needs, in two rounds of requests.

    Raises NoRepositoryError, FormatError (marker), NewerFormatError, StoreError.
    """
    data = await read_marker(store)
    repository = marker.decode(data)
    listed = [item async for item in store.list(objects.KEYS)]
    rings = tuple(item.name for item in listed if item.name.startswith(objects.RINGS))
    names = [
        item.name
        for item in listed
        if not item.name.startswith(objects.RINGS) and item.size <= limits.SMALL
    ]
    tries = await gather(partial(_read_slot, store, name) for name in names[: limits.KEY_SLOTS])
    return KeyObjects(
        repository=repository,
        marker=data,
        slots=tuple(found for found in tries if isinstance(found, FoundSlot)),
        damaged=tuple(found for found in tries if isinstance(found, str)),
        rings=rings,
    )


async def unlock(
    store: Store, found: KeyObjects, secret: str, *, first: str | None = None,
    derive_key: Derive | None = None,
) -> Keys:  # fmt: skip
    """The keys that a passphrase or recovery code opens; `first` is the slot to try first.

    `derive_key` is as for `slots.open_slot`.

    Raises WrongPassphraseError, NoRepositoryError where there are no slots at all, FormatError
    where no ring opens, StoreError.
    """
    if not found.slots and not found.damaged:
        raise NoRepositoryError(
            f"{store.url}: this repository has no key slots",
            hint="if its creation was interrupted, 'snapfs init' goes on where it stopped; if they "
            "were lost, 'snapfs repair' on a machine that has used it puts them back",
        )
    failure: FormatError | None = None
    for candidate in sorted(found.slots, key=lambda slot: (slot.id != first, slot.id)):
        master = await trio.to_thread.run_sync(
            partial(slots.open_slot, candidate.slot, secret, found.marker, derive_key=derive_key)
        )
        if master is None:
            continue
        try:
            return keys_of(found, candidate, master, await open_ring(store, found, master))
        except FormatError as error:
            # A slot that another 'init' left behind, which came second, opens no ring.
            failure = failure or error
    if failure is not None:
        raise failure
    damaged = f"; {len(found.damaged)} slots cannot be read" if found.damaged else ""
    raise WrongPassphraseError(
        f"{store.url}: this passphrase opens none of the {len(found.slots)} key slots{damaged}",
        hint="a recovery code that was printed at 'init' works as well"
        + ("; 'snapfs repair' puts damaged slots back" if found.damaged else ""),
    )


def keys_of(found: KeyObjects, unlocked: FoundSlot, master: bytes, opened: Ring) -> Keys:
    """The keys of an opened ring."""
    return Keys(
        repository=found.repository,
        marker=found.marker,
        slot=unlocked.id,
        recipe=slots.recipe_of(unlocked.slot),
        master=master,
        epochs=opened.epoch_keys(),
        block_id=opened.block_id,
        gear_seed=opened.gear_seed,
    )


async def _read_slot(store: Store, name: str) -> FoundSlot | str | None:
    """A slot; its id where it cannot be read; None where it was removed since it was listed."""
    id_ = name.removeprefix(objects.KEYS)
    try:
        return FoundSlot(id_, slots.decode(await store.get(name)))
    except (FormatError, NewerFormatError):
        return id_  # of a newer program too: it keeps nobody out whom another slot lets in
    except ObjectNotFoundError:
        return None


async def open_ring(store: Store, found: KeyObjects, master: bytes) -> Ring:
    """The newest ring that this master key sealed. Raises FormatError where there is none."""
    failure: FormatError | None = None
    for name in _newest_first(found.rings):
        try:
            return ring.decode(await store.get(name), found.repository, name, master)
        except FormatError as error:
            failure = error
    raise FormatError(
        f"{store.url}: no ring of keys opens ({failure or 'none is there'})",
        hint="'snapfs repair' on a machine that has used the repository puts it back; if its "
        "creation was interrupted, 'snapfs init' goes on",
    )


def _newest_first(rings: Sequence[str]) -> list[str]:
    return sorted(rings, reverse=True)
