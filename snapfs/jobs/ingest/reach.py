"""Directories whose paths are longer than the system takes: reached through a descriptor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from snapfs.sources.trouble import Report

_LONGEST = 3500
"bytes of a directory's path that leave room for two names within PATH_MAX, which is 4096"
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def reached(directory: bytes) -> Iterator[bytes]:
    """A path by which the system reaches `directory`: as a rule its own.

    It holds within the block. Raises OSError where the directory is not there.
    """
    if len(directory) <= _LONGEST:
        yield directory
        return
    descriptor = _open(directory)
    try:
        # The dot behind it is a directory and no link, so that O_NOFOLLOW takes it.
        yield b"/proc/self/fd/%d/." % descriptor
    finally:
        os.close(descriptor)


def about(report: Report, path: bytes) -> Report:
    """A report whose findings are about `path`, by whatever way it was reached."""
    return lambda finding: report(replace(finding, path=path))


def _open(directory: bytes) -> int:
    descriptor: int | None = None
    for step in _steps(directory):
        below = descriptor
        try:
            descriptor = os.open(step, _STEP, dir_fd=below)
        finally:
            if below is not None:
                os.close(below)
    assert descriptor is not None
    return descriptor


def _steps(path: bytes) -> Iterator[bytes]:
    """The path in pieces that are short enough, each relative to the one before."""
    while len(path) > _LONGEST:
        cut = path.rindex(b"/", 1, _LONGEST)
        yield path[:cut]
        path = path[cut + 1 :]
    yield path
