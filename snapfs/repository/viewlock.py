"""Who has this machine's view open, so that it is not replaced under anybody's hands.

A process that kept a replaced view would compute deltas from what no longer follows the log.
"""

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import trio

from snapfs.errors import BusyError
from snapfs.repository.state import State, local_errors


@asynccontextmanager
async def view_held(state: State) -> AsyncIterator[None]:
    """Have the view open, beside others. Waits while it is being replaced, which takes no time."""
    with _opened(state) as file:
        await trio.to_thread.run_sync(fcntl.flock, file, fcntl.LOCK_SH)
        yield


@contextmanager
def view_alone(state: State) -> Iterator[None]:
    """Have the view alone, to replace it. Raises BusyError where any process has it open."""
    with _opened(state) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{state.directory}: a mount or another command of this machine uses the database",
                hint="end it (a mount with 'snapfs umount'), and run 'snapfs repair' again",
            ) from None
        yield


def drop_older_views(state: State) -> None:
    """Remove the views of older programs, once none of them runs any more."""
    older = state.older_replicas()
    if not older:
        return
    with suppress(BusyError), view_alone(state), local_errors(state.directory):
        for path in older:
            path.unlink(missing_ok=True)


@contextmanager
def _opened(state: State) -> Iterator[BinaryIO]:
    path: Path = state.directory / "view.lock"
    with local_errors(path):
        file = open(path, "a+b")  # noqa: SIM115  # closed by the `with` below
    with file:
        yield file
