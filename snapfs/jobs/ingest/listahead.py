"""Directories that are listed soon: a helper has the kernel read them from the disk before.

A walk waits for the disk with each directory that the kernel has not in memory, behind all that is
read and written for other files. The helper lists what the walk will come to, and looks at the
entries. It is only told where to look, and answers nothing: nothing depends on it.
"""

import logging
import os
import resource
import select
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from snapfs.jobs.helper import start
from snapfs.jobs.ingest import listahead_main
from snapfs.jobs.ingest.listahead_main import AT, END, SOON

log = logging.getLogger(__name__)

_FROM = 50
"listings that waited for the disk, after which the helper is begun"
_WARM = 256
"listings in a row that did not wait, after which it is not told any more until one does"
_PATIENCE = 1.0
"seconds until a process is left to itself that was killed: it may hang in a dead network disk"

_DOES = "lists directories ahead"

T = TypeVar("T")


class ListingHelper:
    """The process, begun when it is worth it. For one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = False
        "it is not there, or not any more"
        self._waited = 0
        "listings that waited for the disk"
        self._since = _WARM
        "listings since the last one that did"

    def watch(self, pages: Iterable[T]) -> Iterator[T]:
        """Pages of a listing, while it is watched whether the disk is waited for."""
        before = _blocks_read()
        for page in pages:
            self._listed(waited=_blocks_read() > before)
            yield page
            before = _blocks_read()

    def coming(self, at: bytes, soon: Sequence[bytes]) -> None:
        """Tell of directories that a walk comes to soon, when it has listed `at`."""
        if not soon or self._gone or self._waited < _FROM or self._since >= _WARM:
            return
        if self._process is None:
            self._begin()
        for message in _messages(at, soon):
            self._tell(message)

    def end(self) -> None:
        """End the process: it has nothing that would be lost."""
        self._gone = True
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.kill()
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)

    def _listed(self, *, waited: bool) -> None:
        if waited:
            self._waited += 1
            self._since = 0
        else:
            self._since += 1

    def _begin(self) -> None:
        self._process = start(listahead_main.__name__, _DOES, stdin=subprocess.PIPE)
        if self._process is None:
            self._gone = True
        else:
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)

    def _tell(self, message: bytes) -> None:
        if self._process is None or self._gone:
            return
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), message)
        except BlockingIOError:
            pass  # it is far behind: what it was told before keeps it busy
        except OSError as error:
            log.warning("the process that %s is gone: %s", _DOES, error.strerror)
            self._gone = True


def _blocks_read() -> int:
    """What this thread had to have read from disks so far, in units that grow."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_inblock


def _messages(at: bytes, soon: Sequence[bytes]) -> Iterator[bytes]:
    """What to write, in pieces of which a pipe takes each whole or not at all: see pipe(7)."""
    message = b""
    for more in (AT + at + END, *(SOON + path + END for path in soon)):
        if len(more) > select.PIPE_BUF:
            continue  # longer than a path that the system takes
        if len(message) + len(more) > select.PIPE_BUF:
            yield message
            message = b""
        message += more
    if message:
        yield message
