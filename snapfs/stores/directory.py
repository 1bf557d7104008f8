"""A store in a directory: the default, which needs no server.

An object is a file of its name. Several processes and machines may share the directory.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import trio

from snapfs.stores.base import Listed
from snapfs.stores.files import Files
from snapfs.stores.paging import PAGE, Pages

_THREADS = 16

_T = TypeVar("_T")


class DirectoryStore:
    """Objects as files, with some requests to the file system at once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._threads = trio.CapacityLimiter(_THREADS)

    @classmethod
    def at(cls, root: Path) -> "DirectoryStore":
        """Below this directory, which must exist when it is used (see `create`)."""
        return cls(Files(root))

    @classmethod
    async def create(cls, root: Path) -> "DirectoryStore":
        """Make the directory, and its parents, where they are missing.

        Raises StoreError.
        """
        store = cls.at(root)
        await store._in_thread(store._files.create)
        return store

    @property
    def url(self) -> str:
        return self._files.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        return await self._in_thread(partial(self._files.get, name, start=start, length=length))

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._in_thread(partial(self._files.put, name, data, if_absent=if_absent))

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        found = self._files.list(prefix, after=after)

        async def next_page() -> Sequence[Listed]:
            return await self._in_thread(lambda: tuple(islice(found, PAGE)))

        return Pages(next_page)

    async def delete(self, name: str) -> None:
        await self._in_thread(partial(self._files.delete, name))

    async def sweep(self, *, before: float) -> int:
        return await self._in_thread(partial(self._files.sweep, before=before))

    async def aclose(self) -> None:
        self._files.close()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # A file system over a network may hang for minutes: cancelling must not wait for it.
        return await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)
