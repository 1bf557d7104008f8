"""Key slots of a repository: listing, adding, removing, and changing a passphrase."""

from dataclasses import dataclass

import trio

from snapfs.errors import ObjectNotFoundError, SnapfsError, UsageError
from snapfs.formats import limits, objects, slots
from snapfs.formats.slots import Derivation, KeySlot, SlotKind
from snapfs.repository.keys import Keys, read_key_objects
from snapfs.repository.world import World
from snapfs.stores.base import Store


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A key slot, as it is shown."""

    id: str
    kind: str
    label: str
    created: int
    "seconds since 1970"
    current: bool
    "the slot that this program was opened with"
    damaged: bool = False


def new_slot_id(world: World) -> str:
    """A name for a new slot."""
    return world.random(8).hex()


async def list_slots(store: Store, keys: Keys) -> list[SlotInfo]:
    """All slots, in order of their making; damaged ones last."""
    found = await read_key_objects(store)
    sound = [_info(item.id, item.slot, keys) for item in found.slots]
    damaged = [SlotInfo(id_, "", "", 0, False, damaged=True) for id_ in found.damaged]
    return [*sorted(sound, key=lambda slot: (slot.created, slot.id)), *damaged]


async def add_passphrase(
    store: Store, keys: Keys, passphrase: str, label: str, world: World,
    derivation: Derivation = Derivation(),  # noqa: B008  # a frozen value
) -> str:  # fmt: skip
    """Let another passphrase open the repository; the id of its slot. UsageError at the limit."""
    return await _add(store, keys, passphrase, SlotKind.PASSPHRASE, label, world, derivation)


async def add_recovery_code(
    store: Store, keys: Keys, label: str, world: World,
    derivation: Derivation = Derivation(),  # noqa: B008  # a frozen value
) -> tuple[str, str]:  # fmt: skip
    """Make another recovery code: the id of its slot, and the code, which is stored nowhere."""
    code = slots.generate_code(world.random)
    id_ = await _add(store, keys, code, SlotKind.RECOVERY, label, world, derivation)
    return id_, code


async def change_passphrase(
    store: Store, keys: Keys, passphrase: str, world: World,
    derivation: Derivation = Derivation(),  # noqa: B008  # a frozen value
) -> str:  # fmt: skip
    """Replace the slot that was opened by one of the same label for a new passphrase.

    The new slot is durable BEFORE the old one goes: a crash between leaves both. Raises UsageError
    at the limit, and where another host removes the new slot meanwhile.
    """
    found = await read_key_objects(store)
    current = next((item.slot for item in found.slots if item.id == keys.slot), None)
    label = current.label if current and current.kind is SlotKind.PASSPHRASE else "passphrase"
    id_ = await _add(
        store, keys, passphrase, SlotKind.PASSPHRASE, label, world, derivation, replacing=True
    )
    if current is not None and current.kind is SlotKind.PASSPHRASE:
        await _delete(store, keys, keys.slot)
    return id_


async def remove_slot(
    store: Store, keys: Keys, id_prefix: str, *, even_current: bool = False
) -> SlotInfo:
    """Remove the slot whose id begins so. Copies of it that others kept still open the repository.

    Raises UsageError where none or several begin so, for the last one that opens, and for the one
    that these keys were opened with unless `even_current`.
    """
    infos = await list_slots(store, keys)
    chosen = [info for info in infos if info.id.startswith(id_prefix)] if id_prefix else []
    if len(chosen) != 1:
        raise UsageError(
            f"{len(chosen) or 'no'} key slots have an id that begins with '{id_prefix}'",
            hint="'snapfs key list' shows them",
        )
    sound = [info for info in infos if not info.damaged]
    if chosen[0].damaged:
        await store.delete(objects.slot(chosen[0].id))
        return chosen[0]
    if len(sound) == 1:
        raise _last()
    if chosen[0].current and not even_current:
        raise UsageError(
            f"{chosen[0].id} is the key that you use now: nothing was removed",
            hint="'snapfs key passwd' changes it; say --even-current to remove it all the same",
        )
    await _delete(store, keys, chosen[0].id)
    return chosen[0]


async def _delete(store: Store, keys: Keys, id_: str) -> None:
    """Delete a sound slot; bring it back where no other is left, and raise UsageError.

    Slots are in no log: two hosts that remove different ones do not see each other BEFORE. Whoever
    looks last AFTER its deletion sees that none is left. Who cannot look brings it back as well.
    """
    name = objects.slot(id_)
    try:
        data = await store.get(name)
    except ObjectNotFoundError:
        return  # another host was first
    await store.delete(name)
    try:
        is_last = all(slot.damaged for slot in await list_slots(store, keys))
    except SnapfsError:
        await store.put(name, data)  # it may have been the last
        raise
    if is_last:
        await store.put(name, data)
        raise _last()


def _last() -> UsageError:
    return UsageError(
        "this is the last key slot: without it nobody can open the repository",
        hint="add another with 'snapfs key add' first",
    )


async def _add(
    store: Store, keys: Keys, secret: str, kind: SlotKind, label: str, world: World,
    derivation: Derivation, *, replacing: bool = False,
) -> str:  # fmt: skip
    found = await read_key_objects(store)
    if len(found.slots) + len(found.damaged) >= limits.KEY_SLOTS + replacing:
        raise UsageError(
            f"the repository has {limits.KEY_SLOTS} key slots, more are not allowed",
            hint="remove one with 'snapfs key remove'",
        )
    create = lambda: slots.create(  # noqa: E731
        keys.master,
        secret,
        keys.marker,
        kind=kind,
        label=label,
        created=world.now_ns() // 10**9,
        derivation=derivation,
        random=world.random,
    )
    data = await trio.to_thread.run_sync(create)
    id_ = new_slot_id(world)
    await store.put(objects.slot(id_), data, if_absent=True)
    return id_


def _info(id_: str, slot: KeySlot, keys: Keys) -> SlotInfo:
    return SlotInfo(id_, slot.kind.value, slot.label, slot.created, id_ == keys.slot)
