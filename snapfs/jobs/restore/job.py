"""Restoring without a mount: the tree of a snapshot becomes files below a directory."""

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from functools import partial

import trio

from snapfs.errors import LocalError, PathNotFoundError
from snapfs.jobs.helper import helping
from snapfs.jobs.progress import Progress
from snapfs.jobs.restore import owners, places, removal
from snapfs.jobs.restore.choice import Choice, Item, Missing, Whole
from snapfs.jobs.restore.directory import Directories
from snapfs.jobs.restore.entries import Maker
from snapfs.jobs.restore.links import open_links
from snapfs.jobs.restore.messages import Setup
from snapfs.jobs.restore.options import RestoreOptions
from snapfs.jobs.restore.removal import Removal
from snapfs.jobs.restore.report import RestoreReport, Tally, Watch
from snapfs.jobs.restore.small import SmallMaker
from snapfs.jobs.restore.walk import Batch, Walk
from snapfs.jobs.restore.work import Work
from snapfs.jobs.restore.worker import Worker
from snapfs.metadata.database import Database
from snapfs.metadata.lost import Lost
from snapfs.metadata.moments import Moments
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.tree import Tree
from snapfs.model.snapshot import Snapshot
from snapfs.repository.parallel import together
from snapfs.repository.reader import ContentReader
from snapfs.repository.repository import Repository
from snapfs.sources.owners import Owners

_AT_ONCE = 4
"batches; each has up to three groups of 4 MiB on their way, which fits the reader's cache of 64"


async def restore(
    repository: Repository,
    reader: ContentReader,
    snapshot: Snapshot,
    options: RestoreOptions,
    progress: Progress,
    *,
    watch: Watch | None = None,
) -> RestoreReport:
    """Make what lies at a path of a snapshot again, below a directory.

    A directory's content and attributes become those of the target; anything else is put into the
    target under its own name. Nothing outside of the target is ever changed. What could not be
    made as it was is a finding, and a file whose content is damaged is not made at all. When this
    returns everything is on disk. `watch` is told of each path.

    Raises PathNotFoundError, UsageError (what removing must not do), LocalError (the target cannot
    be used, or is full), StoreError, ViewDamagedError. What was restored until then stays.
    """
    await repository.look([snapshot.source.number])
    if options.path.strip(b"/") == b"" and not options.deleted:
        _announce(snapshot, progress)
    tally = Tally(progress, watch)
    progress.doing = "restoring"
    _allow_descriptors()
    directories = Directories(options, tally)
    try:
        await _restore(repository, reader, snapshot, options, directories, tally)
    finally:
        directories.close()
    return tally.report()


async def _restore(
    repository: Repository, reader: ContentReader, snapshot: Snapshot, options: RestoreOptions,
    directories: Directories, tally: Tally,
) -> None:  # fmt: skip
    with (
        Database.open_readonly(repository.state.replica) as db,
        open_links() as links,
    ):
        known = owners.OwnerMap()
        if options.owners_by_name:
            known = owners.by_name(Snapshots(db), snapshot.source.number, Owners())
        choice, remover = _chosen(db, repository, snapshot, options, tally)
        top = await trio.to_thread.run_sync(_top, choice, snapshot, options)
        walk = Walk(choice, remover, directories, known, options, tally)
        wanted = walk.wanted(top.node) if top.inside else None
        passing = top.passing or await trio.to_thread.run_sync(_is_shared, choice, top, options)
        open_target = partial(directories.open_target, wanted, passing=passing)
        target = await trio.to_thread.run_sync(open_target)
        # Its own descriptor: the target is closed as soon as all below it is done.
        root = os.dup(target.descriptor) if target.descriptor >= 0 else -1
        try:
            token = repository.world.random(6).hex().encode()
            block_id_key = repository.keys.block_id if options.verify else b""
            setup = Setup(token + b"w", options.sparse, block_id_key)
            maker = Maker(
                root, token, tally, sparse=options.sparse, block_id_key=repository.keys.block_id
            )
            turns = trio.CapacityLimiter(1)
            async with helping(Worker(setup)) as process:
                small = SmallMaker(maker, directories, tally, process, turns)
                work = Work(repository, reader, maker, directories, links, options, tally, small)
                await _run(work, walk.batches(top, target), turns)
            if not options.dry_run:
                await trio.to_thread.run_sync(_sync, root, options.target)
        finally:
            if root >= 0:
                os.close(root)


def _chosen(
    db: Database, repository: Repository, snapshot: Snapshot, options: RestoreOptions, tally: Tally
) -> tuple[Choice, Removal | None]:
    source, anchor, commit = snapshot.source.number, snapshot.anchor, snapshot.number
    own = (os.fsencode(repository.state.directory), os.fsencode(repository.state.cache))
    spared = places.spared_inodes((*own, *options.spared))
    places.check_target(options.target, spared)
    if options.deleted:
        return Missing(Lost(db, Moments(db, [source]), source, anchor, commit)), None
    whole = Whole(Tree(db), anchor, commit)
    if not options.delete:
        return whole, None
    removal.check(whole, options)
    return whole, Removal(whole, tally, spared, dry_run=options.dry_run)


def _top(choice: Choice, snapshot: Snapshot, options: RestoreOptions) -> Item:
    top = choice.top(options.path)
    if top is None and options.deleted:
        raise PathNotFoundError(
            f"nothing was ever deleted at {os.fsdecode(options.path)}",
            hint=f"it is as it was, or no snapshot before {snapshot.short_id} has it",
        )
    if top is None:
        raise PathNotFoundError(
            f"snapshot {snapshot.short_id} has nothing at {os.fsdecode(options.path)}",
            hint="paths are absolute, as they were at the source",
        )
    return top


def _is_shared(choice: Choice, top: Item, options: RestoreOptions) -> bool:
    return bool(top.inside) and places.is_shared(choice, top.inside, options)


async def _run(work: Work, batches: Iterator[Batch], turns: trio.CapacityLimiter) -> None:
    """Do all batches, some at once.

    The walk and the making of small files take turns: each of many short system calls gives
    Python's lock away, and threads side by side spend more time on taking it back than they gain.
    """
    free = trio.Semaphore(_AT_ONCE)

    async def run(batch: Batch) -> None:
        await work.do(batch)
        free.release()

    async with together() as tasks:
        while True:
            await free.acquire()
            batch = await trio.to_thread.run_sync(next, batches, None, limiter=turns)
            if batch is None:
                return
            work.expect(batch)
            tasks.start(partial(run, batch))


def _announce(snapshot: Snapshot, progress: Progress) -> None:
    counts = snapshot.counts
    progress.total_files = counts.new + counts.changed + counts.unchanged
    progress.total_bytes = counts.bytes_total


def _allow_descriptors() -> None:
    """As many open files as this process may have: a directory is open while one is below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _sync(descriptor: int, target: bytes) -> None:
    """Wait until the target's file system has all on disk: one call instead of one per file."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        raise LocalError(
            f"{os.fsdecode(target)}: not all could be written to the disk: "
            f"{os.strerror(ctypes.get_errno())}",
            hint="look at the disk, then restore again with '--overwrite if-changed --verify'",
        )
