"""A process of its own that makes small entries, so that a restore has two processors.

Python's lock lets only one thread at a time make them, beside all else that a restore has to do.
"""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from snapfs.errors import LocalError
from snapfs.jobs.restore import messages
from snapfs.jobs.restore.directory import OpenDirectory
from snapfs.jobs.restore.entries import Held
from snapfs.jobs.restore.messages import Order, Orders, Outcome, Outcomes, Place, Setup
from snapfs.jobs.restore.walk import Task
from snapfs.model.content import Stored

log = logging.getLogger(__name__)

Wanted = Sequence[tuple[Task, Held | None]]
"entries, and what is to be written to each"


class Worker:
    """The process, which `begin` starts. It takes a moment until it is ready."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._sending = trio.Lock()
        self._before = trio.Event()
        "set when the order before the next one has its answer"
        self._before.set()
        self._decoder = msgspec.msgpack.Decoder(Outcomes)

    def begin(self) -> None:
        """Start it, once."""
        self._socket, theirs = socket.socketpair()
        command = (sys.executable, "-P", "-m", "snapfs.jobs.restore.worker_main")
        with theirs:
            try:
                # A session of its own: Ctrl-C is for the restore, which then ends it.
                self._process = subprocess.Popen(
                    (*command, str(theirs.fileno())), pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                log.warning("no process for making files: %s", error.strerror)

    def is_ready(self) -> bool:
        """Whether it takes orders. One that ended before never does. Raises LocalError."""
        if self._socket is None or self._ready:
            return self._ready
        try:
            if self._socket.recv(1, socket.MSG_DONTWAIT) == messages.HELLO:
                messages.send(self._socket, self._setup)
                self._ready = True
        except OSError:
            return False
        except messages.EndedError as error:
            raise self._ended() from error
        return self._ready

    async def make(self, wanted: Wanted) -> tuple[Outcome, ...]:
        """Make entries, and say what became of each. They are in DIRECTORIES directories at most.

        Raises LocalError; OverflowError for a number that no message can hold.
        """
        async with self._sending:
            await trio.to_thread.run_sync(self._send, wanted)
            before, answered = self._before, trio.Event()
            self._before = answered
        await before.wait()
        answer = await trio.to_thread.run_sync(self._receive)
        answered.set()
        if answer.failure:
            what, hint = answer.failure
            raise LocalError(os.fsdecode(what), hint=hint)
        return answer.outcomes

    def end(self) -> None:
        """Have it end, once it has done its last order."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.wait()

    def _send(self, wanted: Wanted) -> None:
        assert self._socket is not None
        places: dict[OpenDirectory, int] = {}
        orders = []
        contents: list[bytes | memoryview] = []
        for task, held in wanted:
            orders.append(_order(task, held, places.setdefault(task.directory, len(places))))
            if held is not None:
                contents += held.blocks
        told = Orders(tuple(Place(each.path, each.inner) for each in places), tuple(orders))
        try:
            messages.send(self._socket, told, contents, [each.descriptor for each in places])
        except messages.EndedError as error:
            raise self._ended() from error

    def _receive(self) -> Outcomes:
        assert self._socket is not None
        try:
            return self._decoder.decode(messages.receive(self._socket)[0])
        except messages.EndedError as error:
            raise self._ended() from error

    def _ended(self) -> LocalError:
        assert self._process is not None
        status = self._process.wait()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return LocalError(
            f"the process that makes files ended with {how}",
            hint="what was restored so far is there; 'restore --overwrite if-changed' goes on",
        )


@asynccontextmanager
async def worker(setup: Setup) -> AsyncIterator[Worker | None]:
    """A worker for the time of the block; None where there is one processor alone."""
    if len(os.sched_getaffinity(0)) < 2 or not sys.executable:
        yield None
        return
    process = Worker(setup)
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(process.end)


def _order(task: Task, held: Held | None, directory: int) -> Order:
    spans: tuple[tuple[int, int], ...] = ()
    keys: tuple[bytes | None, ...] = ()
    if held is not None:
        blocks = held.group.blocks
        spans = tuple(
            (at, block.length) for at, block in zip(held.group.offsets, blocks, strict=True)
        )
        keys = held.keys
    holes = not all(isinstance(extent, Stored) for extent in task.content)
    return Order(directory, task.name, task.wanted, task.same, holes, spans, keys)
