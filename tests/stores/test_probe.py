"""The probe says no wherever put-if-absent is less than that, and cleans up."""

from collections.abc import AsyncIterator

import pytest
import trio

from snapfs.errors import ObjectExistsError, PutConflictError, StoreError
from snapfs.stores.bucket import Bucket
from snapfs.stores.memory import MemoryStore
from snapfs.stores.probe import honours_put_if_absent
from snapfs.stores.threaded import ThreadedStore
from tests.faulty import Fault, FaultyStore
from tests.servers import S3Server


class Careless(MemoryStore):
    """Does not look."""

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await super().put(name, data)


class Late(MemoryStore):
    """Looks first, and writes later."""

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        if if_absent and name in self.objects:
            raise ObjectExistsError(name)
        await trio.lowlevel.checkpoint()
        await super().put(name, data)


class Lying(MemoryStore):
    """Writes, and says that it did not, while nobody races."""

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        alone = if_absent and not name.endswith("raced")
        await super().put(name, data, if_absent=if_absent and not alone)
        if alone:
            raise ObjectExistsError(name)


class Refusing(MemoryStore):
    """Lets nobody win."""

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        if if_absent:
            raise ObjectExistsError(name)
        await super().put(name, data)


@pytest.mark.parametrize("kind", [Careless, Late, Lying, Refusing])
async def test_it_says_no(kind: type[MemoryStore]) -> None:
    store = kind()
    assert not await honours_put_if_absent(store, "token")
    assert store.objects == {}


async def test_conflicts_in_the_race_are_no_lie() -> None:
    store = FaultyStore(MemoryStore())
    conflict = PutConflictError("409")
    store.queue(
        "put",
        Fault(on="probe/token-raced", after=conflict),
        Fault(on="probe/token-raced", before=conflict),
    )
    assert await honours_put_if_absent(store, "token")
    store.assert_all_hit()


async def test_it_cleans_up_when_it_fails() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    store.queue("get", Fault(before=StoreError("forbidden")))
    with pytest.raises(StoreError, match="forbidden"):
        await honours_put_if_absent(store, "token")
    assert memory.objects == {}


@pytest.fixture
async def unconditional(
    unconditional_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ThreadedStore]:
    for name, value in unconditional_s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = ThreadedStore(Bucket(unconditional_s3_server.bucket, "repository"))
    yield store
    await store.aclose()


async def test_it_says_no_to_a_real_server_that_ignores_conditions(
    unconditional: ThreadedStore,
) -> None:
    assert not await honours_put_if_absent(unconditional, "token")
    assert [item async for item in unconditional.list("")] == []
