"""The faulty store keeps its promises, or tests that use it prove nothing."""

import pytest
import trio

from snapfs.errors import StoreUnavailableError
from snapfs.stores.memory import MemoryStore
from tests.faulty import Fault, FaultyStore

AWAY = StoreUnavailableError("away")


async def test_before_and_after_differ_by_the_effect() -> None:
    store = FaultyStore(MemoryStore())
    store.queue("put", Fault(before=AWAY), Fault(after=AWAY))
    for name in ("before", "after"):
        with pytest.raises(StoreUnavailableError):
            await store.put(name, b"x")
    assert [item.name async for item in store.list("")] == ["after"]
    store.assert_all_hit()


async def test_a_fault_that_never_struck_fails() -> None:
    store = FaultyStore(MemoryStore())
    store.queue("put", Fault(on="packs/", before=AWAY))
    await store.put("log/1", b"")
    with pytest.raises(AssertionError, match="never struck"):
        store.assert_all_hit()


async def test_the_third_pack_is_cut_and_the_next_spoilt() -> None:
    store = FaultyStore(MemoryStore())
    store.queue("put", Fault(on="packs/", skip=2, cut=2), Fault(on="packs/", flip=0))
    for name in ("packs/1", "log/1", "packs/2", "packs/3", "packs/4"):
        await store.put(name, b"\0\0\0")
    store.assert_all_hit()
    assert [await store.get(f"packs/{n}") for n in (2, 3, 4)] == [b"\0\0\0", b"\0\0", b"\1\0\0"]


async def test_a_slow_call_waits() -> None:
    store = FaultyStore(MemoryStore())
    event = trio.Event()
    store.queue("put", Fault(wait=event))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put, "a", b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert [item.name async for item in store.list("")] == []
        event.set()
    assert await store.get("a") == b"x"
