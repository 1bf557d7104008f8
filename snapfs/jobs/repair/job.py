"""Running a repair: the view first, for everything else is written through it."""

import time
from dataclasses import dataclass, field

import trio

from snapfs.errors import DamagedError, ViewDamagedError
from snapfs.formats import objects
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.check.job import check, examined
from snapfs.jobs.check.report import CheckOptions, CheckReport, ProblemKind
from snapfs.jobs.progress import Progress
from snapfs.jobs.repair import view
from snapfs.jobs.repair.completing import complete_copies
from snapfs.jobs.repair.contents import mend_packs
from snapfs.jobs.repair.givingup import GivingUp
from snapfs.jobs.repair.parts import mend_parts
from snapfs.jobs.repair.putback import PutBack, open_copies
from snapfs.jobs.repair.rebasing import mend_base
from snapfs.jobs.repair.report import RepairOptions, RepairReport
from snapfs.repository.keys import Keys
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories, State
from snapfs.repository.world import World
from snapfs.stores.base import Store


async def repair(
    store: Store, directories: Directories, keys: Keys, options: RepairOptions, progress: Progress,
    world: World | None = None,
) -> RepairReport:  # fmt: skip
    """Put right what can be, in the repository and on this machine; what is left is in the report.

    May be ended at any moment, and run beside ingests and mounts; only where the local database
    has to be built again, nobody else on this machine may have it open.

    Raises BusyError then; LogCutError where the log has ended before what this machine knows, and
    its database cannot be opened; DeltaVoidError where a prune was at the same objects;
    NewerFormatError, StoreError, LocalError. What was put right until then stays so.
    """
    began = time.monotonic()
    work = _Repair(store, directories, keys, options, progress, world or World())
    await work.run()
    work.report.seconds = time.monotonic() - began
    return work.report


_LOOKS = 100
"at what a mended loss had hidden: each is at another loss"
_REBUILDS = 3
"of the local database: what is given up meanwhile is one reason more"


@dataclass(slots=True)
class _Repair:
    """One repair."""

    store: Store
    directories: Directories
    keys: Keys
    options: RepairOptions
    progress: Progress
    world: World
    report: RepairReport = field(default_factory=RepairReport)
    _broken: bool = False
    "the log has a gap"
    _lacks_base: bool = False
    "parts of the newest base are lost"
    _giving_up: GivingUp = field(init=False)

    def __post_init__(self) -> None:
        self._giving_up = GivingUp(self.report, self.options.host)

    async def run(self) -> None:
        state = State(self.directories, self.keys.repository)
        dry_run = self.options.dry_run
        async with open_copies(state, self.world, dry_run=dry_run) as (copies, aside):
            self.report.set_aside += aside
            await self._mend(state, PutBack(self.store, copies, state, self.world, dry_run))
            if not dry_run:
                self._begin("copying records and parts")
                await complete_copies(self.store, state, copies)

    async def _mend(self, state: State, back: PutBack) -> None:
        self._begin("looking for lost records")
        self.report.put_back += await back.log(self.keys)
        here = (self.store, self.directories, self.keys, self.world)
        if not await view.can_be_opened(*here):
            await self._rebuild_view(state)
            if self.options.dry_run:
                return
        elif await view.begins_with_a_lost_base(*here):
            await self._rebuild_view(state)
        for _ in range(_REBUILDS):
            is_right = await self._examine_and_mend(back)
            if is_right and (self._broken or not await view.has_what_was_given_up(*here)):
                break
            await self._rebuild_view(state)
            if self.options.dry_run:
                break
        await self._mend_base(here)
        await self._rebuild_local(state)
        await self._look_again()

    async def _examine_and_mend(self, back: PutBack) -> bool:
        """Mend what is damaged in the repository; false, and nothing done, if the view is wrong."""
        check_options = CheckOptions(self.options.read, self.options.listed_paths)
        for _ in range(_LOOKS):
            async with (
                open_view(self.store, self.directories, self.keys, self.world) as repository,
                examined(repository, check_options, self.progress) as examination,
            ):
                self.report.found = self.report.found or examination.report
                is_right = not self._is_view_wrong(examination)
                self._broken = examination.broken is not None
                self._lacks_base = _has(examination.report, ProblemKind.BASE)
                found = await back.parts(examination, self.report.put_back)
                self.report.put_back += found
                if self.options.dry_run:
                    await trio.to_thread.run_sync(self._plan, examination)
                    return is_right
                again = bool(found)
                if not found and is_right:
                    try:
                        again = await self._mend_repository(repository, examination, back)
                    except ViewDamagedError:
                        return False  # it has what was given up
            if not again:
                return is_right
            # What was lost hid more, which can be seen now.
        raise DamagedError(
            "what is mended is found damaged again, and again",
            hint="please report this; what was done until now holds",
        )

    def _is_view_wrong(self, examination: Examination) -> bool:
        """Whether the local database must be built again: it is not what the log says, or has the
        end of a log that is shorter now, which is given up."""
        if self.options.give_up and not examination.has_gaps:
            return _has(examination.report, ProblemKind.DATABASE, ProblemKind.LOG)
        return _has(examination.report, ProblemKind.DATABASE)

    async def _mend_repository(
        self, repository: Repository, examination: Examination, back: PutBack
    ) -> bool:
        """Mend what copies are of no help for; whether another look may find more."""
        if examination.broken is None:
            await self._mend_parts(repository, examination)
        if self.options.give_up:
            self._begin("going on without what is lost")
            if await self._giving_up.go_on(repository, examination, back):
                return True
        if examination.broken is None:
            await self._mend_packs(repository, examination)
        return False

    async def _mend_parts(self, repository: Repository, examination: Examination) -> None:
        self._begin("repairing")
        self.report.parts += await mend_parts(repository, examination, self.options.host)

    async def _mend_packs(self, repository: Repository, examination: Examination) -> None:
        self.report.packs += len(examination.damaged_packs())
        await mend_packs(repository, examination, self.report, self.progress, self.options.host)

    def _plan(self, examination: Examination) -> None:
        names = {objects.part(piece.ref.name) for piece in examination.rebuilt}
        self.report.parts = len(names.difference(self.report.put_back))
        packs = examination.damaged_packs() if examination.broken is None else []
        self.report.packs = len(packs)

    async def _mend_base(self, here: tuple[Store, Directories, Keys, World]) -> None:
        if self._lacks_base and not self._broken and not self.options.dry_run:
            self._begin("restating what is there")
            async with open_view(*here) as repository:
                self.report.base = await mend_base(repository, self.options.host)

    async def _look_again(self) -> None:
        """Check what is left. Where nothing was done it is what was found."""
        if self.options.dry_run or not self._did_anything():
            self.report.left = self.report.found
            return
        async with open_view(self.store, self.directories, self.keys, self.world) as repository:
            listed = CheckOptions(listed_paths=self.options.listed_paths)
            self.report.left = await check(repository, listed, self.progress)

    def _did_anything(self) -> bool:
        report = self.report
        return bool(
            report.set_aside or report.put_back or report.given_up or report.parts or report.packs
            or report.base
        )  # fmt: skip

    async def _rebuild_view(self, state: State) -> None:
        self._begin("building the local database again")
        name = state.replica.name
        if not self.options.dry_run:
            name = await view.rebuild_view(self.store, self.keys, self.world, state)
        self.report.set_aside += (name,)

    async def _rebuild_local(self, state: State) -> None:
        if self.options.dry_run:
            return
        name = await trio.to_thread.run_sync(view.rebuild_local, state, self.world)
        if name is not None:
            self.report.set_aside += (name,)

    def _begin(self, doing: str) -> None:
        self.progress.doing = doing


def _has(report: CheckReport, *kinds: ProblemKind) -> bool:
    return any(problem.kind in kinds for problem in report.problems)
