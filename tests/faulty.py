"""A store that fails as it is told, and a test that told it too much fails as well."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import trio

from snapfs.stores.base import Listed, Store

Verb = Literal["get", "put", "list", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one call of a verb, whose name begins with `on`."""

    on: str = ""
    skip: int = 0
    "calls that fit and are still let through before"
    before: Exception | None = None
    "raised before anything took effect"
    after: Exception | None = None
    "raised when all took effect; from a listing, when it gave `items`"
    items: int = 0
    "objects that a listing gives before `after` is raised"
    cut: int | None = None
    "bytes that get returns, or put stores, at most"
    flip: int | None = None
    "position of the byte that get returns, or put stores, wrongly"
    wait: trio.Event | None = None
    "the call goes on when this is set"


class _Listing(AsyncIterator[Listed]):
    """A listing that a fault may strike. As the contract has it, it needs no closing."""

    def __init__(self, store: "FaultyStore", prefix: str, after: str) -> None:
        self._store = store
        self._prefix = prefix
        self._items = store.store.list(prefix, after=after)
        self._fault: Fault | None = None
        self._given = 0

    async def __anext__(self) -> Listed:
        if self._fault is None:
            self._fault = await self._store._begin("list", self._prefix)
        item = None
        if self._fault.after is None or self._given < self._fault.items:
            item = await anext(self._items, None)
        if item is None:
            _raise(self._fault.after)
            raise StopAsyncIteration
        self._given += 1
        return item


class FaultyStore:
    """A store around another. Each queued fault strikes one call, in order, per verb.

    `calls` has all calls so far, so that a test can say how many there were.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls: list[tuple[Verb, str]] = []
        self._queued: list[tuple[Verb, Fault]] = []
        self._skipped: Counter[int] = Counter()

    def queue(self, verb: Verb, *faults: Fault) -> None:
        """Let these strike, each one call."""
        self._queued.extend((verb, fault) for fault in faults)

    def assert_all_hit(self) -> None:
        """Fails where a queued fault has not struck: the test did not test it."""
        assert not self._queued, f"faults that never struck: {self._queued}"

    @property
    def url(self) -> str:
        return self.store.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        fault = await self._begin("get", name)
        data = _spoilt(await self.store.get(name, start=start, length=length), fault)
        _raise(fault.after)
        return data

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        fault = await self._begin("put", name)
        await self.store.put(name, _spoilt(data, fault), if_absent=if_absent)
        _raise(fault.after)

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        return _Listing(self, prefix, after)

    async def delete(self, name: str) -> None:
        fault = await self._begin("delete", name)
        await self.store.delete(name)
        _raise(fault.after)

    async def sweep(self, *, before: float) -> int:
        return await self.store.sweep(before=before)

    async def aclose(self) -> None:
        await self.store.aclose()

    async def _begin(self, verb: Verb, name: str) -> Fault:
        self.calls.append((verb, name))
        fault = self._take(verb, name)
        if fault.wait is not None:
            await fault.wait.wait()
        _raise(fault.before)
        return fault

    def _take(self, verb: Verb, name: str) -> Fault:
        for at, (queued_verb, fault) in enumerate(self._queued):
            if queued_verb != verb or not name.startswith(fault.on):
                continue
            if self._skipped[id(fault)] < fault.skip:
                self._skipped[id(fault)] += 1
                return Fault()
            del self._queued[at]
            return fault
        return Fault()


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


def _spoilt(data: bytes, fault: Fault) -> bytes:
    if fault.flip is not None:
        data = data[: fault.flip] + bytes([data[fault.flip] ^ 1]) + data[fault.flip + 1 :]
    return data if fault.cut is None else data[: fault.cut]
