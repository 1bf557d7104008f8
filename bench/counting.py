"""A store that counts the requests that it would cost."""

from collections.abc import AsyncIterator

import msgspec

from snapfs.stores.base import Listed, Store
from snapfs.stores.paging import PAGE


class Requests(msgspec.Struct):
    """How many there were of each kind."""

    put: int = 0
    get: int = 0
    list: int = 0
    "pages"
    delete: int = 0

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(
            self.put + other.put,
            self.get + other.get,
            self.list + other.list,
            self.delete + other.delete,
        )

    def times(self, factor: float) -> "Requests":
        """So many times as many, rounded up."""
        kinds = (self.put, self.get, self.list, self.delete)
        return Requests(*(-int(-kind * factor // 1) for kind in kinds))


class Counting:
    """A store around another. Answers that something is absent are paid for as well."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.requests = Requests()

    @property
    def url(self) -> str:
        return self._store.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        self.requests.get += 1
        return await self._store.get(name, start=start, length=length)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        self.requests.put += 1
        await self._store.put(name, data, if_absent=if_absent)

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        return self._counted(self._store.list(prefix, after=after))

    async def _counted(self, items: AsyncIterator[Listed]) -> AsyncIterator[Listed]:
        self.requests.list += 1
        taken = 0
        async for item in items:
            if taken and taken % PAGE == 0:
                self.requests.list += 1
            taken += 1
            yield item

    async def delete(self, name: str) -> None:
        self.requests.delete += 1
        await self._store.delete(name)

    async def sweep(self, *, before: float) -> int:
        return await self._store.sweep(before=before)

    async def aclose(self) -> None:
        await self._store.aclose()
