"""The event loop that a command runs in, to its end or until a signal ends it."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click
import trio

from snapfs.cli.memory import use_memory_well
from snapfs.repository.cores import Cores, keep_awake_while_busy

T = TypeVar("T")

_ENDING = (signal.SIGINT, signal.SIGTERM)


def run(command: Callable[[], Awaitable[T]]) -> T:
    """Run to the end, or until SIGINT or SIGTERM: then all is closed, and Abort raised.

    What tasks raise comes as an exception group.
    """
    use_memory_well()
    received: list[int] = []
    with _noting(received):
        result = trio.run(_until_signalled, command, received)
    if received:
        # Also where it came as the command ended: there may be more to do with its result.
        raise click.Abort
    return result


@contextmanager
def _noting(received: list[int]) -> Iterator[None]:
    """Note signals that come while the loop is made or taken down, and nothing receives them.

    An exception out of a handler, which is what a question has for SIGTERM, would meet trio there
    in the middle of its own work.
    """
    before = {
        ending: signal.signal(ending, lambda number, _: received.append(number))
        for ending in _ENDING
    }
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


async def _until_signalled(command: Callable[[], Awaitable[T]], received: list[int]) -> T:
    results: list[T] = []
    with trio.open_signal_receiver(*_ENDING) as signals:
        if received:
            raise click.Abort
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope, received)
            nursery.start_soon(keep_awake_while_busy, Cores())
            results.append(await command())
            nursery.cancel_scope.cancel()
    if not results:
        raise click.Abort
    return results[0]


async def _cancel_on_signal(
    signals: AsyncIterator[int], scope: trio.CancelScope, received: list[int]
) -> None:
    async for ending in signals:
        received.append(ending)
        # A thread may be stuck in a read. Nothing that is committed suffers from a second signal's
        # ending the process where it stands.
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        scope.cancel()
