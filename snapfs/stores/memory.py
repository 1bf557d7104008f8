"""A store in memory: the model of what a store does, for tests."""

import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice

import trio

from snapfs.errors import ObjectExistsError, ObjectNotFoundError, ObjectTooShortError
from snapfs.stores.base import Listed
from snapfs.stores.names import check_name, check_range
from snapfs.stores.paging import PAGE, Pages


class MemoryStore:
    """Objects in a dict that tests may look at, and damage."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.objects: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self._now = now

    @property
    def url(self) -> str:
        return "memory:"

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        check_name(name)
        check_range(start, length)
        await trio.lowlevel.checkpoint()
        if name not in self.objects:
            raise ObjectNotFoundError(f"{self.url}{name}: no such object")
        data = self.objects[name]
        end = len(data) if length is None else start + length
        if end > len(data) or (start and start >= end):
            raise ObjectTooShortError(f"{self.url}{name}: has only {len(data)} bytes")
        return data[start:end]

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        check_name(name)
        await trio.lowlevel.checkpoint()
        # No await from here on: looking and storing are one step.
        if if_absent and name in self.objects:
            raise ObjectExistsError(f"{self.url}{name}: exists already")
        self.objects[name] = bytes(data)
        self.modified[name] = self._now()

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        last = after

        async def next_page() -> Sequence[Listed]:
            nonlocal last
            await trio.lowlevel.checkpoint()
            names = sorted(name for name in self.objects if name.startswith(prefix))
            page = [
                Listed(name, len(self.objects[name]), self.modified.get(name, 0.0))
                for name in islice(names, bisect_right(names, last), None)
            ][:PAGE]
            last = page[-1].name if page else last
            return page

        return Pages(next_page)

    async def delete(self, name: str) -> None:
        check_name(name)
        await trio.lowlevel.checkpoint()
        self.objects.pop(name, None)
        self.modified.pop(name, None)

    async def sweep(self, *, before: float) -> int:
        return 0

    async def aclose(self) -> None:
        """Nothing to release; the objects stay, so that a test can open the store again."""
