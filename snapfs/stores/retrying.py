"""The one place where retrying exists: a wrapper around any store.

Only StoreUnavailableError is tried again. Time is trio's: a test's clock is this wrapper's clock.
"""

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import TypeVar

import trio

from snapfs.errors import StoreUnavailableError
from snapfs.stores.base import Listed, Store
from snapfs.stores.policy import RetryPolicy

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Retrying:
    """A store whose verbs are tried again while it cannot be reached. Owns the store within.

    A put with `if_absent` is tried once: whether the first try took effect must be known before a
    second one can be judged, and only its caller can look.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: RetryPolicy | None = None,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = trio.sleep,
    ) -> None:
        self._store = store
        self._policy = policy or RetryPolicy()
        self._chance = chance
        self._sleep = sleep

    @property
    def url(self) -> str:
        return self._store.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        return await self._persist(
            f"get {name}", lambda: self._store.get(name, start=start, length=length)
        )

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._persist(
            f"put {name}",
            lambda: self._store.put(name, data, if_absent=if_absent),
            once=if_absent,
        )

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        return _Resumed(self._store, self._persist, prefix, after)

    async def delete(self, name: str) -> None:
        await self._persist(f"delete {name}", lambda: self._store.delete(name))

    async def sweep(self, *, before: float) -> int:
        return await self._persist("sweep", lambda: self._store.sweep(before=before))

    async def aclose(self) -> None:
        await self._store.aclose()

    async def _persist(
        self, what: str, call: Callable[[], Awaitable[_T]], *, once: bool = False
    ) -> _T:
        deadline = trio.current_time() + self._policy.deadline
        for tries in count(1):
            try:
                with trio.fail_at(deadline):
                    return await call()
            except trio.TooSlowError:
                error = StoreUnavailableError(
                    f"{self.url}: {what}: no answer within {self._policy.deadline:g} s"
                )
            except StoreUnavailableError as raised:
                error = raised
            pause = self._policy.pause(tries, self._chance())
            if once or trio.current_time() + pause >= deadline:
                _log.warning("%s: gave up at try %d: %s", what, tries, error.what)
                raise error
            _log.info("%s: try %d failed, next in %.1f s: %s", what, tries, pause, error.what)
            await self._sleep(pause)
        raise AssertionError("counting does not end")


class _Resumed(AsyncIterator[Listed]):
    """A listing that begins again after the last name it gave."""

    def __init__(
        self,
        store: Store,
        persist: Callable[[str, Callable[[], Awaitable[Listed | None]]], Awaitable[Listed | None]],
        prefix: str,
        after: str,
    ) -> None:
        self._store = store
        self._persist = persist
        self._prefix = prefix
        self._last = after
        self._found: AsyncIterator[Listed] | None = None

    async def __anext__(self) -> Listed:
        item = await self._persist(f"list {self._prefix}", self._next)
        if item is None:
            raise StopAsyncIteration
        self._last = item.name
        return item

    async def _next(self) -> Listed | None:
        found = self._found or self._store.list(self._prefix, after=self._last)
        self._found = None  # spent, should the next line not return
        item = await anext(found, None)
        self._found = found
        return item
