"""How the mount waits for the kernel's next request: for a moment without the event loop.

A program that walks a tree asks for one thing after the other, each as soon as it has the answer to
the last. To go round the loop between them takes longer than most answers do, and so does being
woken, above all on another core that has gone idle. So whoever has answered looks at the descriptor
again and again for a moment, unless requests are under way that need the loop, and never longer
than a turn. While many requests come, cores are kept awake if they may be (`cores`).

pyfuse3 finds trio by a name in its module, by which its own asyncio mode replaces it as well.
"""

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from weakref import WeakSet

import pyfuse3
import trio

from snapfs.repository.cores import Cores

_PATIENCE = 0.000_2
"seconds for which the next request is waited for"
_TURN = 0.002
"seconds after which all other tasks of the loop have their turn"
_MANY = 16
"requests, one soon after the other, for which it is worth keeping cores awake"
_QUIET = 0.05
"seconds without a request after which they are not soon after the other"
_MOST_DESCRIPTORS = 1024
"select(2) knows no higher ones"


@contextmanager
def waiting_eagerly() -> Iterator[None]:
    """Have pyfuse3 wait for requests like this."""
    cores = Cores()
    waiting = Waiting(cores)
    lowlevel = SimpleNamespace(**vars(trio.lowlevel) | {"wait_readable": waiting.wait_readable})
    replaced = vars(trio) | {"lowlevel": lowlevel, "Lock": lambda: waiting}
    vars(pyfuse3)["trio"] = SimpleNamespace(**replaced)
    try:
        yield
    finally:
        vars(pyfuse3)["trio"] = trio
        cores.let_halt()


class Waiting:
    """The lock of pyfuse3's workers, which one of them has while it waits; and that waiting."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._came = 0
        "requests, since there were none for a while"
        self._taken = False
        self._others = trio.lowlevel.ParkingLot()
        self._busy: WeakSet[trio.lowlevel.Task] = WeakSet()
        "workers that left with a request and have not come back; those that ended are forgotten"
        self._turn_ends = 0.0

    async def __aenter__(self) -> None:
        self._busy.discard(trio.lowlevel.current_task())
        # Not in order of arrival: a worker that goes on by itself saves a change of tasks.
        while self._taken:
            await self._others.park()
        self._taken = True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._taken = False
        self._busy.add(trio.lowlevel.current_task())
        self._others.unpark()

    async def wait_readable(self, descriptor: int) -> None:
        """Return when the kernel has a request. Raises what trio's raises."""
        self._came += 1
        if (
            not self._busy
            and time.monotonic() < self._turn_ends
            and descriptor < _MOST_DESCRIPTORS
            and _comes_soon(descriptor)
        ):
            return
        if self._came > _MANY:
            self._cores.keep_awake()
        with trio.move_on_after(_QUIET) as soon:
            await trio.lowlevel.wait_readable(descriptor)
        if soon.cancelled_caught:
            self._came = 0
            self._cores.let_halt()
            await trio.lowlevel.wait_readable(descriptor)
        self._turn_ends = time.monotonic() + _TURN


def _comes_soon(descriptor: int) -> bool:
    """Whether the kernel has a request within a moment, which is not slept through."""
    watched = (descriptor,)
    end = time.monotonic() + _PATIENCE
    while not select.select(watched, (), (), 0)[0]:
        if time.monotonic() > end:
            return False
        # Where there is one core, or none to spare, who makes the requests must have it.
        os.sched_yield()
    return True
