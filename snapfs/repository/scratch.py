"""Scratch directories in the state directory: gone with their block, or with the next one.

A process that is killed leaves its own behind. It had it locked, so the next one sees that nobody
does any more.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snapfs.repository.state import State, local_errors

_PREFIX = "scratch-"


@contextmanager
def scratch(state: State) -> Iterator[Path]:
    """An empty directory of one's own, on the disk of the state. Raises LocalError."""
    with local_errors(state.directory):
        folder, lock = _made(state.directory)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made(state: Path) -> tuple[Path, int]:
    """A new directory and its lock; those that nobody has locked are removed."""
    with open(state / "scratch.lock", "ab") as one_at_a_time:
        # Nobody takes a directory that was just made, and is not locked yet, for left behind.
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        for left in state.glob(f"{_PREFIX}*"):
            _remove_if_abandoned(left)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=state))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(FileNotFoundError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # somebody is at work in it
        finally:
            os.close(lock)
