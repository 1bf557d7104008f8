"""Running a prune: finish what was begun, delete what was condemned, condemn what is not needed."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

import trio

from snapfs.errors import BusyError, DamagedError, DeltaVoidError
from snapfs.formats import objects
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import MoveRow
from snapfs.formats.records import Body, Condemn, Gone
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune import repack
from snapfs.jobs.prune.compact import compact, growth
from snapfs.jobs.prune.deleting import publish_delete
from snapfs.jobs.prune.leftovers import remove_leftovers
from snapfs.jobs.prune.options import PruneOptions, PruneReport
from snapfs.jobs.prune.survey import Orphan, Survey, check_view, find_orphans, survey
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.need import fates
from snapfs.model.identity import Attempt
from snapfs.model.pruning import plan_prune
from snapfs.repository.copying import BlockCopier
from snapfs.repository.moving import upload_blocks
from snapfs.repository.parallel import gather
from snapfs.repository.replay import catch_up_apart, replayed
from snapfs.repository.repository import Repository
from snapfs.repository.segments import open_fetcher
from snapfs.repository.writer import open_writer

log = logging.getLogger(__name__)

_NAMES = 100_000
"names in one record"
_AT_ONCE = 8
"deletions at the same time"
_LEVEL = 3
_CACHE = 64 * 1024 * 1024


async def prune(repository: Repository, options: PruneOptions, progress: Progress) -> PruneReport:
    """Take away what nothing needs. May be ended at any moment; the next run goes on.

    Raises ViewDamagedError where the live database is not what the log gives, DeltaVoidError where
    another prune is at work, BusyError where others commit without a pause, DamagedError where the
    log cannot be replayed, LogCutError, StoreError. Nothing is deleted then that was not condemned
    before. A damaged pack stays as it is.
    """
    began = time.monotonic()
    progress.doing = "replaying the log"
    async with replayed(repository) as replica:
        await check_view(repository, replica)
        now = repository.world.now_ns()
        progress.doing = "looking for what is needed"
        found = await trio.to_thread.run_sync(survey, replica, options, now)
        orphans = await find_orphans(repository, replica, options, now)
        plan = plan_prune(found.packs, options.policy)
        report = PruneReport(
            plan,
            needed_blocks=len(found.needed),
            orphans=sum(not orphan.replaced for orphan in orphans),
            orphaned_bytes=sum(orphan.size for orphan in orphans if not orphan.replaced),
            replaced=sum(orphan.replaced for orphan in orphans),
            replaced_bytes=sum(orphan.size for orphan in orphans if orphan.replaced),
            growth=await trio.to_thread.run_sync(growth, replica.db, options, now),
            waiting=found.waiting,
            held=found.held,
            held_until_ns=found.held_until_ns,
            due=len(found.to_delete) + len(found.parts_to_delete),
            due_bytes=sum(size for _, size in found.to_delete),
        )
        report.compacting = _compacts(report, options, damaged=replica.lacks_base)
        if not options.dry_run:
            work = _Prune(repository, options, progress, report, found)
            await work.finish_deleting(found.unfinished)
            await work.delete()
            await work.condemn(orphans)
            if options.condemned_for_ns == 0:
                # Nothing waits: what has just been condemned goes too, by a look of its own.
                await catch_up_apart(repository, replica)
                work.found = await trio.to_thread.run_sync(survey, replica, options, now)
                await work.delete()
            if report.compacting:
                await work.compact()
            report.leftovers = await remove_leftovers(repository, now)
    report.seconds = time.monotonic() - began
    return report


def _compacts(report: PruneReport, options: PruneOptions, *, damaged: bool) -> bool:
    """Whether to make a base: one that parts are missing of is replaced as soon as that is seen."""
    if options.compact is not None:
        return options.compact
    return damaged or (report.growth is not None and report.growth.pays)


class _Prune:
    """The acting part of one prune."""

    def __init__(
        self, repository: Repository, options: PruneOptions, progress: Progress,
        report: PruneReport, found: Survey,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._options = options
        self._progress = progress
        self._report = report
        self.found = found

    # --- deleting

    async def delete(self) -> None:
        """Publish Delete for what was condemned long enough ago, delete it, publish Gone."""
        published = await publish_delete(self._repository, self.found, self._options.host)
        if published is None:
            return
        self._report.rescued += len(published.rescued)
        # The objects go only AFTER the record that says so is in the log.
        await self._remove(published.deleting, published.parts, dict(self.found.to_delete))

    async def finish_deleting(self, names: Sequence[bytes]) -> None:
        """Go on where a prune was interrupted between Delete and Gone."""
        if not names:
            return
        row_of = self.found.replica.db.row
        packs = tuple(n for n in names if row_of("SELECT 1 FROM pack WHERE name = ?", (n,)))
        parts = tuple(name for name in names if name not in set(packs))
        await self._remove(packs, parts, {})

    async def _remove(
        self, packs: tuple[bytes, ...], parts: tuple[bytes, ...], sizes: dict[bytes, int]
    ) -> None:
        self._progress.doing = "deleting"
        # A name that no record has named may be a pack's or a part's: both are tried.
        names = [objects.pack(name) for name in (*packs, *parts)]
        names += [objects.part(name) for name in parts]
        store = self._repository.store
        for at in range(0, len(names), _AT_ONCE):
            await gather(partial(store.delete, name) for name in names[at : at + _AT_ONCE])
            self._progress.files += len(names[at : at + _AT_ONCE])
        if packs or parts:
            await self._publish(lambda: Gone(packs, parts))
        self._report.deleted += len(packs) + len(parts)
        self._report.deleted_bytes += sum(sizes.get(name, 0) for name in packs)

    # --- compacting

    async def compact(self) -> None:
        """Make a base, after all else: what goes is left out of it."""
        self._progress.doing = "restating what is there"
        try:
            self._report.base = await compact(self._repository, self.found.replica, self._options)
        except (DamagedError, BusyError) as error:
            # All else is done by now: it takes more than this to call the prune a failure.
            if self._options.compact:
                raise
            log.warning("no base was made: %s", error.what)
        await self._repository.catch_up_all()

    # --- condemning

    async def condemn(self, orphans: list[Orphan]) -> None:
        """Copy what is needed out of wasteful packs, and condemn them, and all that is useless."""
        useless = [pack.name for pack in self._report.plan.drop]
        useless += [orphan.name for orphan in orphans if orphan.is_pack]
        parts = [orphan.name for orphan in orphans if not orphan.is_pack]
        for at in range(0, max(len(useless), len(parts)), _NAMES):
            await self._condemn(useless[at : at + _NAMES], parts[at : at + _NAMES], [], [])
        if self._report.plan.repack:
            await self._repack()

    async def _repack(self) -> None:
        repository, replica = self._repository, self.found.replica
        self._progress.doing = "repacking"
        self._progress.total_bytes = self._report.plan.repacked_bytes
        async with (
            open_fetcher(
                repository.store, repository.keys, memory_bytes=_CACHE, disk=None
            ) as fetcher,
            open_writer(
                repository.store, repository.keys, repository.world, level=_LEVEL
            ) as writer,
        ):
            index = BlockIndex(replica.db)
            copier = BlockCopier(index, fetcher, writer, repository.keys.block_id)
            for packs, blocks in repack.batches(
                replica, self.found.needed, self._report.plan.repack
            ):
                done = await repack.copy_blocks(blocks, index, copier)
                await self._condemn_copied([pack.name for pack in packs], done)
                self._progress.bytes += sum(pack.size for pack in packs)

    async def _condemn_copied(self, packs: list[bytes], done: repack.Repacked) -> None:
        if done.damaged:
            # What is missing may have been taken away by another prune: that is no damage.
            await self._repository.log.catch_up()
            self._check_alone({*packs})
            self._report.damaged.update(done.damaged)
        empty = [name for name in packs if name not in done.damaged]
        if empty:
            await self._condemn(empty, [], done.rows, done.moves)
            self._report.copied_bytes += sum(row.size for row in done.rows)

    async def _condemn(
        self, packs: list[bytes], parts: list[bytes], rows: list[PackRow], moves: list[MoveRow]
    ) -> None:
        """Publish Condemn. New packs are durable by now, their parts when upload returns."""
        refs, new = await upload_blocks(self._repository.parts, rows, moves)
        names = {*packs, *parts}
        own = {row.name for row in rows} | {ref.name for ref in refs}

        def body() -> Condemn:
            self._check_alone(names | own)
            return Condemn(tuple(packs), new, refs, tuple(row.name for row in rows), tuple(parts))

        await self._publish(body)
        await self._repository.catch_up()
        self._report.condemned += len(names)

    def _check_alone(self, names: set[bytes]) -> None:
        """Raise DeltaVoidError where another prune has condemned one of these meanwhile.

        What this prune has uploaded, too: this process may have slept for days, so that it was
        taken for left over.
        """
        if names & fates(self._repository.db).keys():
            raise DeltaVoidError(
                "another prune is at work on the same packs",
                hint="let it end; what this one has copied is cleaned up by the next",
            )

    async def _publish(self, body: Callable[[], Body]) -> None:
        attempt = Attempt(self._repository.world.random(16))
        await self._repository.publish(attempt, body, self._options.host)
