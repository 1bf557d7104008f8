"""A helper: a process of its own that takes a part of a job, so that the job has two processors.

Python's lock lets only one thread at a time run. A helper is told once what holds for all of its
work, and then answers what it is sent. It ends when the job's socket is closed, by whatever end of
the job.
"""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar

import msgspec
import trio

from snapfs.jobs import framing

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"seconds until one is ended that does not end"
_KEPT = 212_992
"bytes that the kernel keeps of what was not received, if it may: its own default"


def start(
    module: str, does: str, descriptors: Sequence[int] = (), stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes] | None:
    """Run a module of ours in a process; None, with a warning, where that is not possible.

    `module` is given the numbers of the descriptors that it gets. `does` says what it does, for
    messages: it follows on "the process that". `stdin` is as for `subprocess.Popen`.
    """
    try:
        # A session of its own: Ctrl-C is for the job, which then ends it.
        return subprocess.Popen(
            (sys.executable, "-P", "-m", module, *map(str, descriptors)),
            pass_fds=descriptors, stdin=stdin, stdout=subprocess.DEVNULL, bufsize=0,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        log.warning("no process that %s: %s", does, error.strerror)
        return None


class Helper:
    """The process, which `begin` starts. It takes a moment until it is ready."""

    def __init__(self, module: str, does: str, setup: msgspec.Struct) -> None:
        """`module` and `does` are as for `start`; the first descriptor is that of its socket, what
        `begin` hands over follows. `setup` is the first message.
        """
        self._module = module
        self._does = does
        self._setup = setup
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    @property
    def begun(self) -> bool:
        """Whether `begin` was called."""
        return self._socket is not None

    def begin(self, *descriptors: int) -> None:
        """Start it, once. One that cannot be started is never ready, and a warning says why."""
        self._socket, theirs = socket.socketpair()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KEPT)
        with theirs:
            handed = (theirs.fileno(), *descriptors)
            self._process = start(self._module, self._does, handed)

    def is_ready(self) -> bool:
        """Whether it has said hello, and was told its setup. One that ended before never does.

        Raises EndedError.
        """
        if self._socket is None or self._ready:
            return self._ready
        try:
            if self._socket.recv(1, socket.MSG_DONTWAIT) != framing.HELLO:
                return False
        except OSError:
            return False
        self.send(self._setup)
        self._ready = True
        return True

    def send(
        self, message: msgspec.Struct, contents: Sequence[bytes | memoryview] = (),
        descriptors: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """Send a message, as `framing.send` does."""
        assert self._socket is not None
        framing.send(self._socket, message, contents, descriptors)

    def receive(self) -> bytes:
        """Wait for the next answer. Raises EndedError."""
        assert self._socket is not None
        return framing.receive(self._socket)[0]

    def how_it_ended(self) -> str:
        """A sentence for one that is not there any more, after an EndedError."""
        assert self._process is not None
        assert self._socket is not None
        # It may be there: a socket can fail for want of memory, too. Other threads may be at it,
        # so it is not closed yet.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"the process that {self._does} ended with {how}"

    def end(self, *, at_once: bool = False) -> None:
        """Have it end, once it has done what it was sent; or by a signal, at once."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            if at_once:
                self._process.kill()
            self._process.wait()


class _Helped(Protocol):
    def end(self) -> None:
        """End the helper; blocks."""


T = TypeVar("T", bound=_Helped)


@asynccontextmanager
async def helping(helped: T) -> AsyncIterator[T | None]:
    """What has a helper, which ends with the block; None where a helper would be of no use: there
    is one processor alone, or Python does not know how to start it."""
    if len(os.sched_getaffinity(0)) < 2 or not sys.executable:
        yield None
        return
    try:
        yield helped
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(helped.end)
