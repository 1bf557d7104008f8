"""Running a prune: finish what was begun, delete what was condemned, condemn what is not needed."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import trio

from snapfs.errors import DeltaVoidError
from snapfs.formats import objects
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart, MoveRow, PartRef
from snapfs.formats.records import Body, Condemn, Delete, Gone, New
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune import repack
from snapfs.jobs.prune.options import PruneOptions, PruneReport
from snapfs.jobs.prune.survey import Orphan, Survey, check_view, find_orphans, survey
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.heads import CONDEMNED
from snapfs.metadata.need import fates
from snapfs.model.identity import Attempt
from snapfs.model.pruning import plan_prune
from snapfs.repository.parallel import gather
from snapfs.repository.replay import catch_up_apart, replayed
from snapfs.repository.repository import Repository
from snapfs.repository.segments import open_fetcher
from snapfs.repository.writer import open_writer

_ROWS = 20_000
"blocks or moves of one part"
_NAMES = 100_000
"names in one record"
_AT_ONCE = 8
"deletions at the same time"
_LEVEL = 3
_CACHE = 64 * 1024 * 1024


async def prune(repository: Repository, options: PruneOptions, progress: Progress) -> PruneReport:
    """Take away what nothing needs. May be ended at any moment; the next run goes on.

    Raises ViewDamagedError where the live database is not what the log gives, DamagedError where a
    block that must be copied cannot be read, DeltaVoidError where another prune is at work,
    LogCutError, StoreError. Nothing is deleted then that was not condemned before.
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
            orphans=len(orphans),
            orphaned_bytes=sum(orphan.size for orphan in orphans),
            waiting=found.waiting,
        )
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
    report.seconds = time.monotonic() - began
    return report


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
        sizes = dict(self.found.to_delete)
        packs = [name for name, _ in self.found.to_delete]
        rescued = tuple(self.found.to_rescue)
        parts = self.found.parts_to_delete
        if not packs and not parts and not rescued:
            return
        condemned = fates(self.found.replica.db)
        published: list[Delete] = []

        def body() -> Delete:
            """Only what is still condemned as it was when need was computed: who needs a pack that
            was condemned before must have rescued it, and its fate is gone or another by now."""
            now = fates(self._repository.db)

            def stands(name: bytes) -> bool:
                return now.get(name) == condemned.get(name) and now[name][0] == CONDEMNED

            delete = Delete(
                tuple(name for name in packs[:_NAMES] if stands(name)),
                tuple(name for name in parts[:_NAMES] if stands(name)),
                tuple(name for name in rescued if stands(name)),
            )
            published[:] = [delete]
            return delete

        await self._publish(body)
        self._report.rescued += len(published[0].rescued)
        # The objects go only AFTER the record that says so is in the log.
        await self._remove(published[0].deleting, published[0].parts, sizes)

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
            for packs, blocks in repack.batches(
                replica, self.found.needed, self._report.plan.repack
            ):
                done = await repack.copy_blocks(blocks, index, fetcher, writer, repository.keys)
                await self._condemn([pack.name for pack in packs], [], done.rows, done.moves)
                self._progress.bytes += sum(pack.size for pack in packs)
                self._report.copied_bytes += sum(row.size for row in done.rows)

    async def _condemn(
        self, packs: list[bytes], parts: list[bytes], rows: list[PackRow], moves: list[MoveRow]
    ) -> None:
        """Publish Condemn. New packs are durable by now, their parts when upload returns."""
        refs, new = await self._upload_parts(rows, moves)
        names = {*packs, *parts}

        def body() -> Condemn:
            if names & fates(self._repository.db).keys():
                raise DeltaVoidError(
                    "another prune is at work on the same packs",
                    hint="let it end; what this one has copied is cleaned up by the next",
                )
            return Condemn(
                tuple(packs), new, tuple(refs), tuple(row.name for row in rows), tuple(parts)
            )

        await self._publish(body)
        await self._repository.catch_up()
        self._report.condemned += len(names)

    async def _upload_parts(
        self, rows: list[PackRow], moves: list[MoveRow]
    ) -> tuple[list[PartRef], New]:
        refs: list[PartRef] = []
        packs = segments = blocks = 0
        for row in rows:
            part = BlockPart((row,), ())
            refs.append(await self._repository.parts.upload(part, (blocks, segments, packs)))
            packs += 1
            segments += len(row.segments)
            blocks += sum(len(segment.lengths) for segment in row.segments)
        for group in _groups(moves):
            part = BlockPart((), tuple(group))
            refs.append(await self._repository.parts.upload(part, (blocks, segments, packs)))
        return refs, New(packs=packs, segments=segments, blocks=blocks)

    async def _publish(self, body: Callable[[], Body]) -> None:
        attempt = Attempt(self._repository.world.random(16))
        await self._repository.publish(attempt, body, self._options.host)


def _groups(moves: Iterable[MoveRow]) -> Iterable[list[MoveRow]]:
    group: list[MoveRow] = []
    size = 0
    for move in moves:
        group.append(move)
        size += len(move.blocks)
        if size >= _ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group
