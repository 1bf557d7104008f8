"""Running an ingest: alone on its machine, and once more where another host was faster."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import trio

from snapfs.errors import BusyError, DeltaVoidError, UploadVoidError
from snapfs.jobs.helper import helping
from snapfs.jobs.ingest.capture import Capture
from snapfs.jobs.ingest.commit import Committer
from snapfs.jobs.ingest.listahead import ListingHelper
from snapfs.jobs.ingest.lookahead import ReadingHelper
from snapfs.jobs.ingest.options import Findings, IngestOptions, IngestReport
from snapfs.jobs.progress import Progress
from snapfs.metadata.local import Local, directory_key
from snapfs.model.identity import Commit
from snapfs.model.names import check_name
from snapfs.model.snapshot import Counts
from snapfs.repository.parallel import together
from snapfs.repository.repository import Repository
from snapfs.repository.state import local_errors
from snapfs.repository.writer import open_writer

log = logging.getLogger(__name__)

_SCANS = 20
"scans until it is given up: others commit to the same source all the time"


async def ingest(
    repository: Repository, options: IngestOptions, progress: Progress
) -> IngestReport:
    """Capture a source and commit it as a snapshot.

    Commits are: progress every few minutes, and the complete snapshot at the end. Whatever ends
    this early leaves what was committed until then.

    Raises BusyError where another ingest of the source runs on this machine, UsageError for a
    name that cannot be, LogCutError, DamagedError, StoreError, LocalError. A source that is not
    readable in places is no error: see the report's findings.
    """
    check_name("host", options.host)
    check_name("source", options.name)
    began = time.monotonic()
    with _alone(repository, options):
        progress.doing = "catching up"
        await _catch_up(repository, options)
        time_ns = repository.world.now_ns() if options.time_ns is None else options.time_ns
        findings = Findings()
        async with (
            open_writer(
                repository.store, repository.keys, repository.world, level=options.level
            ) as writer,
            together() as tasks,
            helping(ReadingHelper(repository.keys.block_id)) as reading,
            helping(ListingHelper()) as listing,
        ):
            committer = Committer(repository, writer, tasks, options, time_ns)
            local = await trio.to_thread.run_sync(
                Local.open, repository.state.local, repository.state.replica
            )
            with local.db:
                capture = Capture(
                    repository, options, committer, writer, local, progress, findings, time_ns,
                    reading, listing,
                )  # fmt: skip
                number = await _scan(repository, options, capture)
                counts = _counts(capture)
    snapshot = repository.snapshots.by_number(number) if number else None
    healed = capture.sink.healed if number else 0
    return IngestReport(snapshot, counts, findings, time.monotonic() - began, healed)


async def _scan(repository: Repository, options: IngestOptions, capture: Capture) -> Commit | None:
    """Scan until a scan's delta could be committed."""
    capture.progress.doing = "ingesting"
    for scan in range(1, _SCANS + 1):
        try:
            return await trio.to_thread.run_sync(capture.run)
        except DeltaVoidError as error:
            if scan == _SCANS:
                raise
            log.info("%s; scanning again", error)
            uploads_void = isinstance(error, UploadVoidError)
        await _catch_up(repository, options)
        capture.begin_again(uploads_void=uploads_void)
    return None


async def _catch_up(repository: Repository, options: IngestOptions) -> None:
    await repository.catch_up()
    source = repository.snapshots.source(options.host, options.name)
    if source is not None:
        await repository.catch_up([source.number])


@contextmanager
def _alone(repository: Repository, options: IngestOptions) -> Iterator[None]:
    """Hold the source for this process. Hosts that do not share a state need no lock: the log
    decides between them."""
    key = directory_key(options.host, options.name, b"") % 2**64
    path = repository.state.directory / f"source-{key:016x}.lock"
    with local_errors(path):
        file = open(path, "a+b")  # noqa: SIM115  # closed by the `with` below
    with file:
        with local_errors(path):
            _lock(file, options)
        yield


def _lock(file: BinaryIO, options: IngestOptions) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise BusyError(
            f"another ingest of {options.host}/{options.name} is running here "
            f"(process {file.read().decode() or 'unknown'})",
            hint="wait for it to end; a timer tries again by itself",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()


def _counts(capture: Capture) -> Counts:
    tally = capture.tally
    return Counts(
        new=tally.new,
        changed=tally.changed,
        unchanged=tally.unchanged,
        removed=tally.removed,
        failed=tally.failed,
        directories=tally.directories,
        bytes_total=tally.bytes_total,
        bytes_read=capture.bytes_read,
        bytes_new=capture.sink.total_new_bytes,
        bytes_stored=capture.writer.stored_bytes,
    )
