"""Serving a mount in the foreground, from checking the mount point to leaving it clean."""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pyfuse3
import trio

from snapfs.metadata.lines import Lines
from snapfs.mount.attributes import Appearance
from snapfs.mount.files import OpenFiles
from snapfs.mount.filesystem import FileSystem
from snapfs.mount.following import Follower
from snapfs.mount.history import History
from snapfs.mount.layout import Layout
from snapfs.mount.mountpoint import Machine, check_machine, check_mountpoint
from snapfs.mount.options import MountOptions
from snapfs.mount.session import mounted, raise_read_ahead
from snapfs.mount.waiting import waiting_eagerly
from snapfs.repository.parallel import Tasks, together
from snapfs.repository.reader import ContentReader
from snapfs.repository.repository import Repository

log = logging.getLogger(__name__)

_GRACE = 2.0
"seconds that requests have to end when the program is told to"
_WORKERS = 8
"idle tasks that wait for requests; fewer are made and ended again all the time"


async def serve(
    repository: Repository,
    mountpoint: Path,
    options: MountOptions,
    *,
    ready: Callable[[], None],
    machine: Machine = Machine(),  # noqa: B008  (a frozen value)
) -> None:
    """Mount the repository and answer requests until it is unmounted, or SIGTERM or SIGINT comes.

    The view should have been caught up once before. `ready` is called when the mount answers. To
    be called from the main thread, one mount per process at a time.

    Raises MountError where it cannot be mounted; nothing is left behind then.
    """
    check_machine(options, machine)
    target = check_mountpoint(mountpoint)
    reading = repository.reading(
        memory_bytes=options.memory_bytes, disk_bytes=options.disk_bytes, fills_disk=True
    )
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        await _serve(repository, target, options, ready, reading, signals)


async def _serve(
    repository: Repository, target: str, options: MountOptions, ready: Callable[[], None],
    reading: AbstractAsyncContextManager[ContentReader], signals: AsyncIterator[int],
) -> None:  # fmt: skip
    layout = Layout(repository.db)
    follower = Follower(repository, layout, every=options.refresh_every)
    async with reading as contents, _past(repository, options) as history, together() as tasks:
        files = FileSystem(
            repository.tree,
            Lines(repository.db),
            layout,
            Appearance(repository.tree, options),
            OpenFiles(repository, contents),
            follower,
            history,
            enable_acl=options.allow_other,
        )
        with mounted(files, target, options), waiting_eagerly():
            tasks.start(follower.run)
            tasks.start(partial(_end_on_signal, signals, tasks))
            tasks.start(partial(_announce, target, ready))
            await pyfuse3.main(min_tasks=_WORKERS)
            tasks.cancel()


@asynccontextmanager
async def _past(repository: Repository, options: MountOptions) -> AsyncIterator[History | None]:
    """What answers about the past; None if it is not wanted."""
    if options.plain:
        yield None
        return
    appearance = partial(Appearance, options=options)
    history = History(repository.state.replica, appearance, repository.keys.block_id)
    try:
        yield history
    finally:
        history.close()


async def _announce(target: str, ready: Callable[[], None]) -> None:
    # In a thread, for it is this program that answers.
    await trio.to_thread.run_sync(os.stat, target, abandon_on_cancel=True)
    raise_read_ahead(target)
    log.info("mounted at %s", target)
    ready()


async def _end_on_signal(signals: AsyncIterator[int], tasks: Tasks) -> None:
    async for number in signals:
        log.info("ending on %s", signal.Signals(number).name)
        pyfuse3.terminate()
        await trio.sleep(_GRACE)
        tasks.cancel()
