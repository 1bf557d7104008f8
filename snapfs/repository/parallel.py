"""Several things at once, with one plain error if one of them fails."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from snapfs.errors import SnapfsError

T = TypeVar("T")


class Tasks:
    """Tasks of one `together` block. The first SnapfsError among them ends the others."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.failure: SnapfsError | None = None

    def start(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run `task` beside the block; it is over before the block ends."""
        self._nursery.start_soon(self._run, task)

    def cancel(self) -> None:
        """End all tasks; the block too, at its next checkpoint."""
        self._nursery.cancel_scope.cancel()

    async def _run(self, task: Callable[[], Awaitable[object]]) -> None:
        try:
            await task()
        except SnapfsError as error:
            self.failure = self.failure or error
            self._nursery.cancel_scope.cancel()


@asynccontextmanager
async def together() -> AsyncIterator[Tasks]:
    """A nursery that raises its first SnapfsError as itself, not within a group.

    An error of the block itself ends the tasks too and comes out plainly.
    """
    failure: SnapfsError | None = None
    async with trio.open_nursery() as nursery:
        tasks = Tasks(nursery)
        try:
            yield tasks
        except SnapfsError as error:
            failure = error
            nursery.cancel_scope.cancel()
    if failure := tasks.failure or failure:
        raise failure


async def gather(tasks: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all tasks, in their order; they run at once. Raises the first SnapfsError."""
    todo = list(tasks)
    results: dict[int, T] = {}

    async def run(at: int) -> None:
        results[at] = await todo[at]()

    async with together() as running:
        for at in range(len(todo)):
            running.start(lambda at=at: run(at))  # type: ignore[misc]
    return [results[at] for at in range(len(todo))]
