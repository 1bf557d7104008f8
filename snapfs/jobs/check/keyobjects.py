"""Check: the marker, the key slots, the ring."""

from functools import partial

from snapfs.errors import FormatError, NewerFormatError, ObjectNotFoundError
from snapfs.formats import limits, objects, ring, slots
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.stores.base import Listed, Store

_MARKER_HINT = "without it nothing opens the repository once this copy is lost: run 'snapfs repair'"
_SLOT_HINT = "'snapfs repair' puts it back where it is known, 'snapfs key remove' takes it away"
_RING_HINT = "without a ring the repository cannot be opened: run 'snapfs repair'"


async def check_keys(store: Store, keys: Keys, scratch: Scratch) -> int:
    """Report what is wrong with the objects that open the repository; the number of sound slots.

    The keys at hand opened it a moment ago. Whether a slot's wrap is whole is known to no one but
    who has its secret; its other bytes are checked.
    """
    await _check_marker(store, keys, scratch)
    listed = [item async for item in store.list(objects.KEYS)]
    rings = [item for item in listed if item.name.startswith(objects.RINGS)]
    others = [item for item in listed if not item.name.startswith(objects.RINGS)]
    found = await gather(partial(_check_slot, store, item, scratch) for item in others)
    for item in rings:
        await _check_ring(store, keys, item.name, scratch)
    if not rings:
        scratch.report(ProblemKind.RING, objects.ring(1), "is missing", _RING_HINT)
    if not any(found):
        hint = "nobody can open the repository again: run 'snapfs repair', or 'snapfs key add'"
        scratch.report(ProblemKind.SLOT, objects.KEYS, "there is no key slot to be read", hint)
    return sum(found)


async def _check_marker(store: Store, keys: Keys, scratch: Scratch) -> None:
    try:
        if await store.get(objects.MARKER) == keys.marker:
            return
        detail = "is not what it was when the repository was opened"
    except ObjectNotFoundError:
        detail = "is missing"
    scratch.report(ProblemKind.MARKER, objects.MARKER, detail, _MARKER_HINT)


async def _check_slot(store: Store, item: Listed, scratch: Scratch) -> bool:
    try:
        if item.size > limits.SMALL:
            raise FormatError("is too large for a key slot")
        slots.decode(await store.get(item.name))
    except (FormatError, NewerFormatError) as error:
        scratch.report(ProblemKind.SLOT, item.name, error.what, _SLOT_HINT)
        return False
    except ObjectNotFoundError:
        return False  # removed since it was listed
    return True


async def _check_ring(store: Store, keys: Keys, name: str, scratch: Scratch) -> None:
    try:
        ring.decode(await store.get(name), keys.repository, name, keys.master)
    except (FormatError, NewerFormatError, ObjectNotFoundError) as error:
        scratch.report(ProblemKind.RING, name, error.what, _RING_HINT)
