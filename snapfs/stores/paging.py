"""A listing that is fetched page by page, shared by the stores that have one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from snapfs.stores.base import Listed

PAGE = 1000
"objects in a page: what S3 gives at most"


class Pages(AsyncIterator[Listed]):
    """The objects of all pages, in order, with one page in memory.

    `next_page` is called when one is wanted; an empty page is the end. An async generator would
    read better, but must be closed by whoever leaves it half-way.
    """

    __slots__ = ("_next_page", "_page")

    def __init__(self, next_page: Callable[[], Awaitable[Sequence[Listed]]]) -> None:
        self._next_page = next_page
        self._page: Iterator[Listed] = iter(())

    async def __anext__(self) -> Listed:
        for item in self._page:
            return item
        page = await self._next_page()
        if not page:
            raise StopAsyncIteration
        self._page = iter(page[1:])
        return page[0]
