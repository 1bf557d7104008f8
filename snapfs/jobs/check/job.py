"""Running a check: keys, log, parts, the view, rows, objects, data, and then what damage means."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import trio

from snapfs.jobs.check import inventory
from snapfs.jobs.check.affected import Casualties
from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.contents import Contents
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.check.keyobjects import check_keys
from snapfs.jobs.check.reading import PackReading
from snapfs.jobs.check.references import check_references
from snapfs.jobs.check.replay import Replay
from snapfs.jobs.check.report import Checked, CheckOptions, CheckReport
from snapfs.jobs.check.scratch import Scratch, open_scratch
from snapfs.jobs.check.view import compare_view
from snapfs.jobs.progress import Progress
from snapfs.metadata.fates import GONE
from snapfs.metadata.position import BLOCKS
from snapfs.repository.repository import Repository


async def check(repository: Repository, options: CheckOptions, progress: Progress) -> CheckReport:
    """Look at the whole repository, and at this machine's view of it. Nothing is changed.

    May run beside anything else. What is damaged is in the report; needs room in the state
    directory for a second copy of the replica meanwhile.

    Raises NewerFormatError where the repository needs a newer program, StoreError where the store
    cannot be asked, LocalError.
    """
    async with examined(repository, options, progress) as examination:
        return examination.report


@asynccontextmanager
async def examined(
    repository: Repository, options: CheckOptions, progress: Progress
) -> AsyncIterator[Examination]:
    """A check whose replay is still there, for those who act on what was found. Raises as it."""
    began = time.monotonic()
    with open_scratch(repository.state, progress) as scratch:
        run = _Run(repository, options, scratch)
        await run.all()
        yield Examination(run.report(time.monotonic() - began), scratch, run.walk, run.replay)


class _Run:
    """One check."""

    def __init__(self, repository: Repository, options: CheckOptions, scratch: Scratch) -> None:
        self._repository = repository
        self._options = options
        self._scratch = scratch
        self.walk = LogWalk(repository.store, repository.keys, scratch)
        self.replay = Replay(repository.store, repository.keys, scratch, self.walk)
        self._casualties = Casualties(scratch, listed=options.listed_paths)
        self._checked = Checked()
        self._compared = False

    async def all(self) -> None:
        await self._check_log()
        self._begin("checking what was recorded")
        await _through(check_references(self._scratch))
        await self._check_objects()
        self._begin("checking contents")
        self._scratch.progress.total_files = self._count("node")
        await _through(Contents(self._scratch).check())
        await _through(self._casualties.find(self.walk, self.replay))

    async def _check_log(self) -> None:
        repository, scratch = self._repository, self._scratch
        self._begin("checking keys")
        self._checked.slots = await check_keys(repository.store, repository.keys, scratch)
        self._begin("replaying the log")
        self._compared = await compare_view(repository.state, self.walk, self.replay, scratch)
        await self.walk.follow()
        self.walk.report_open()
        await self.replay.run()
        await self.replay.verify_rest()

    async def _check_objects(self) -> None:
        store, scratch = self._repository.store, self._scratch
        self._begin("listing objects")
        await inventory.note_stored(store, scratch)
        if inventory.absent_packs(scratch):
            await self.walk.note_leaving()
        listed = self.walk.broken is None and self.replay.stopped_at(BLOCKS) is None
        await inventory.check_packs(store, scratch, listed=listed)
        if self._options.read is not None:
            self._begin("reading packs")
            reading = PackReading(self._repository, scratch, self.walk, self._checked)
            await reading.run(self._options.read)
        inventory.note_suspects(scratch)

    def report(self, seconds: float) -> CheckReport:
        scratch, checked = self._scratch, self._checked
        checked.records, checked.parts = self.walk.records, self.replay.parts
        checked.nodes = self._count("node")
        gone = f"SELECT name FROM fate WHERE state = {GONE}"
        checked.packs = self._count(f"pack WHERE name NOT IN ({gone})")
        checked.snapshots = self._count("snapshot WHERE complete AND forgotten IS NULL")
        return CheckReport(
            problems=tuple(scratch.problems),
            problem_count=scratch.problem_count,
            affected=tuple(self._casualties.affected),
            affected_count=self._casualties.count,
            checked=checked,
            orphans=inventory.orphans(scratch) if self.walk.broken is None else None,
            hosts=tuple(sorted(self.walk.hosts, key=lambda host: -self.walk.hosts[host])),
            compared=self._compared,
            seconds=seconds,
        )

    def _count(self, table: str) -> int:
        row = self._scratch.db.row(f"SELECT count(*) FROM {table}")
        return int(row[0]) if row else 0

    def _begin(self, doing: str) -> None:
        self._scratch.progress.doing = doing


async def _through(steps: Iterator[None]) -> None:
    """Take all steps, each in a thread, so that a check can be broken off between two."""
    done = object()
    while await trio.to_thread.run_sync(next, steps, done) is not done:
        pass
