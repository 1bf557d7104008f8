"""A process of its own that makes small entries, as the helper of a restore."""

import os
from collections.abc import Sequence

import msgspec
import trio

from snapfs.errors import LocalError
from snapfs.jobs.framing import EndedError
from snapfs.jobs.helper import Helper
from snapfs.jobs.restore.directory import OpenDirectory
from snapfs.jobs.restore.entries import Held
from snapfs.jobs.restore.messages import Order, Orders, Outcome, Outcomes, Place, Setup
from snapfs.jobs.restore.walk import Task
from snapfs.model.content import Stored

Wanted = Sequence[tuple[Task, Held | None]]
"entries, and what is to be written to each"


class Worker:
    """The process, which `begin` starts. It takes a moment until it is ready."""

    def __init__(self, setup: Setup) -> None:
        self._helper = Helper("snapfs.jobs.restore.worker_main", "makes files", setup)
        self._sending = trio.Lock()
        self._before = trio.Event()
        "set when the order before the next one has its answer"
        self._before.set()
        self._decoder = msgspec.msgpack.Decoder(Outcomes)

    def begin(self) -> None:
        """Start it, once."""
        self._helper.begin()

    def is_ready(self) -> bool:
        """Whether it takes orders. One that ended before never does. Raises LocalError."""
        try:
            return self._helper.is_ready()
        except EndedError as error:
            raise self._ended() from error

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
        self._helper.end()

    def _send(self, wanted: Wanted) -> None:
        places: dict[OpenDirectory, int] = {}
        orders = []
        contents: list[bytes | memoryview] = []
        for task, held in wanted:
            orders.append(_order(task, held, places.setdefault(task.directory, len(places))))
            if held is not None:
                contents += held.blocks
        told = Orders(tuple(Place(each.path, each.inner) for each in places), tuple(orders))
        try:
            self._helper.send(told, contents, [each.descriptor for each in places])
        except EndedError as error:
            raise self._ended() from error

    def _receive(self) -> Outcomes:
        try:
            return self._decoder.decode(self._helper.receive())
        except EndedError as error:
            raise self._ended() from error

    def _ended(self) -> LocalError:
        return LocalError(
            self._helper.how_it_ended(),
            hint="what was restored so far is there; 'restore --overwrite if-changed' goes on",
        )


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
