"""A store in an S3 bucket: the verbs of `bucket`, in threads."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

from snapfs.stores.base import Listed
from snapfs.stores.bucket import Bucket
from snapfs.stores.paging import Pages
from snapfs.stores.s3_client import S3Settings

_T = TypeVar("_T")


class S3Store:
    """Objects of a bucket, with as many requests at once as its settings say."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._threads = trio.CapacityLimiter(bucket.settings.connections)

    @classmethod
    def at(cls, bucket: str, prefix: str = "", *, settings: S3Settings | None = None) -> "S3Store":
        """Over a bucket of this name: see `Bucket`."""
        return cls(Bucket(bucket, prefix, settings=settings))

    @property
    def url(self) -> str:
        return self._bucket.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        return await self._in_thread(partial(self._bucket.get, name, start=start, length=length))

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._in_thread(partial(self._bucket.put, name, data, if_absent=if_absent))

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        pages = self._bucket.pages(prefix, after=after)

        async def next_page() -> Sequence[Listed]:
            return await self._in_thread(lambda: next(pages, ()))

        return Pages(next_page)

    async def delete(self, name: str) -> None:
        await self._in_thread(partial(self._bucket.delete, name))

    async def sweep(self, *, before: float) -> int:
        # A put is one request: it appears whole or leaves nothing.
        return 0

    async def aclose(self) -> None:
        self._bucket.close()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # An abandoned request keeps its place among the threads until its time-outs end it.
        return await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)
