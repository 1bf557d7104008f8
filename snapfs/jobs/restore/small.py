"""Making small entries, many at a time: by the worker process; in a thread until there is one."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import trio

from snapfs.errors import DamagedError
from snapfs.jobs.restore.directory import Directories
from snapfs.jobs.restore.entries import Held, Maker
from snapfs.jobs.restore.links import FirstName
from snapfs.jobs.restore.messages import Found, Made, Note, Outcome, Skipped, Unset
from snapfs.jobs.restore.report import Tally
from snapfs.jobs.restore.walk import Task
from snapfs.jobs.restore.worker import Worker
from snapfs.model.finding import Trouble

_FROM = 2
"batches for which a worker is begun: fewer are done before it is there"
Ready = Held | DamagedError | None
"what is to be written; an error where it cannot be read"


class SmallMaker:
    """Makes what a batch holds, and releases its directories."""

    def __init__(
        self, maker: Maker, directories: Directories, tally: Tally, worker: Worker | None,
        turns: trio.CapacityLimiter,
    ) -> None:  # fmt: skip
        self._maker = maker
        self._directories = directories
        self._tally = tally
        self._worker = worker
        self._turns = turns
        self._batches = 0

    async def make(self, tasks: Sequence[Task], ready: Sequence[Ready]) -> list[FirstName | None]:
        """Make entries; None for each that could not be, as reported. Raises LocalError."""
        outcomes = await self._outcomes(tasks, ready)
        one = self._maker.make if outcomes is None else partial(self._told, iter(outcomes))
        return await trio.to_thread.run_sync(self._each, tasks, ready, one, limiter=self._turns)

    async def _outcomes(
        self, tasks: Sequence[Task], ready: Sequence[Ready]
    ) -> Sequence[Outcome] | None:
        """What the worker has made of those that can be read; None where it is not to make them."""
        if self._worker is None or not await self._has_worker(self._worker):
            return None
        pairs = zip(tasks, ready, strict=True)
        sound = [(task, held) for task, held in pairs if not isinstance(held, DamagedError)]
        try:
            return await self._worker.make(sound)
        except OverflowError:
            return None  # a number that no message can hold

    async def _has_worker(self, worker: Worker) -> bool:
        """Whether the worker takes orders; it is begun when it is worth it."""
        self._batches += 1
        if self._batches == _FROM:
            await trio.to_thread.run_sync(worker.begin)
        return worker.is_ready()

    def _each(
        self, tasks: Sequence[Task], ready: Sequence[Ready],
        one: Callable[[Task, Held | None], FirstName | None],
    ) -> list[FirstName | None]:  # fmt: skip
        """What `one` makes, or has had made, of each task, which is done with then."""
        names: list[FirstName | None] = []
        for task, held in zip(tasks, ready, strict=True):
            if isinstance(held, DamagedError):
                self.report_damage(task, held)
                names.append(None)
            else:
                names.append(one(task, held))
            self._directories.release(task.directory)
        return names

    def _told(self, outcomes: Iterator[Outcome], task: Task, _: Held | None) -> FirstName | None:
        """Tell of what the worker has made next."""
        outcome = next(outcomes)
        for note in outcome.notes:
            self._tell(task, note)
        if not outcome.inode:
            return None
        path = task.directory.join_inner(task.name)
        return FirstName(path, outcome.device, outcome.inode)

    def _tell(self, task: Task, note: Note) -> None:
        match note:
            case Made():
                self._tally.made(task.wanted, task.path)
            case Skipped():
                self._tally.skipped(task.wanted, task.path)
            case Found(trouble, detail):
                self._tally.found(trouble, task.path, os.fsdecode(detail))
            case Unset(what, advice):
                self._tally.unset(os.fsdecode(what), task.path, advice=advice)

    def report_damage(self, task: Task, error: DamagedError) -> None:
        """Tell of an entry whose content cannot be read."""
        self._tally.found(Trouble.DAMAGED, task.path, f"was not restored: {error.what}")
