"""Making small entries, many at a time: by the worker process; in a thread until there is one."""

import os
from collections.abc import Sequence
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
        in_thread = partial(trio.to_thread.run_sync, limiter=self._turns)
        if await self._has_worker():
            assert self._worker is not None
            sound = [
                (task, held) for task, held in zip(tasks, ready, strict=True)
                if not isinstance(held, DamagedError)
            ]  # fmt: skip
            try:
                outcomes = await self._worker.make(sound)
            except OverflowError:
                pass  # a number that no message can hold
            else:
                return await in_thread(self._account, tasks, ready, outcomes)
        return await in_thread(self._make_here, tasks, ready)

    async def _has_worker(self) -> bool:
        """Whether the worker takes orders; it is begun when it is worth it."""
        if self._worker is None:
            return False
        self._batches += 1
        if self._batches == _FROM:
            await trio.to_thread.run_sync(self._worker.begin)
        return self._worker.is_ready()

    def _make_here(self, tasks: Sequence[Task], ready: Sequence[Ready]) -> list[FirstName | None]:
        names: list[FirstName | None] = []
        for task, held in zip(tasks, ready, strict=True):
            if isinstance(held, DamagedError):
                self.report_damage(task, held)
                names.append(None)
            else:
                names.append(self._maker.make(task, held))
            self._directories.release(task.directory)
        return names

    def _account(
        self, tasks: Sequence[Task], ready: Sequence[Ready], outcomes: Sequence[Outcome]
    ) -> list[FirstName | None]:
        """Tell of what the worker has made."""
        names: list[FirstName | None] = []
        rest = iter(outcomes)
        for task, held in zip(tasks, ready, strict=True):
            if isinstance(held, DamagedError):
                self.report_damage(task, held)
                names.append(None)
            else:
                names.append(self._told(task, next(rest)))
            self._directories.release(task.directory)
        return names

    def _told(self, task: Task, outcome: Outcome) -> FirstName | None:
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
