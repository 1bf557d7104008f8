"""What dead processes left in a store beside objects: half-written files, and those of a probe."""

from snapfs.repository.repository import Repository
from snapfs.stores import probe

_OLD = 3 * 24 * 3600.0
"seconds after which nobody can be at work on it any more"


async def remove_leftovers(repository: Repository, now_ns: int) -> int:
    """Remove them at once, as nothing refers to them; how many. Raises StoreError."""
    store = repository.store
    before = now_ns / 10**9 - _OLD
    probes = [item.name async for item in store.list(f"{probe.PLACE}/") if item.modified < before]
    for name in probes:
        await store.delete(name)
    return len(probes) + await store.sweep(before=before)
