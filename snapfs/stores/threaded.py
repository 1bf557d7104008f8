"""The store of any verbs that block: they wait in threads, some of them at once."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

from snapfs.stores.base import Listed, Verbs
from snapfs.stores.paging import Pages

_T = TypeVar("_T")


class ThreadedStore:
    """What is in the files or the bucket of these verbs. Owns them."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._threads = trio.CapacityLimiter(verbs.at_once)

    @property
    def url(self) -> str:
        return self._verbs.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        return await self._in_thread(partial(self._verbs.get, name, start=start, length=length))

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._in_thread(partial(self._verbs.put, name, data, if_absent=if_absent))

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        pages = self._verbs.pages(prefix, after=after)

        async def next_page() -> Sequence[Listed]:
            return await self._in_thread(lambda: next(pages, ()))

        return Pages(next_page)

    async def delete(self, name: str) -> None:
        await self._in_thread(partial(self._verbs.delete, name))

    async def sweep(self, *, before: float) -> int:
        return await self._in_thread(partial(self._verbs.sweep, before=before))

    async def aclose(self) -> None:
        self._verbs.close()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # A file system over a network may hang for minutes: cancelling must not wait for it. What
        # is abandoned keeps its place among the threads until it ends, a request by its time-outs.
        return await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)
