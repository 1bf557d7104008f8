"""A helper: a process of its own that takes a part of a job, so that the job has two processors.

Python's lock lets only one thread at a time run. A helper says hello with one byte, once, and then
answers what it is sent. Each message is a header, the message itself, and contents; descriptors may
come along with the header. It ends when the job's socket is closed, by whatever end of the job.
"""

import os
import socket
import struct
import subprocess
import sys
from array import array
from collections.abc import Iterable, Sequence

import msgspec

_HELLO = b"h"
_HEADER = struct.Struct("<II")
"bytes of the message, and of the contents"
_PATIENCE = 5.0
"seconds until one is ended that does not end"
_KEPT = 212_992
"bytes that the kernel keeps of what was not received, if it may: its own default"
_BUFFERS = 512
"that are handed to the kernel at once; it takes 1024"

_Ancillary = tuple[int, int, "array[int]"]


class EndedError(Exception):
    """The other process is not there any more."""


def has_use() -> bool:
    """Whether there is a second processor for a helper, and Python knows how to start it."""
    return len(os.sched_getaffinity(0)) > 1 and bool(sys.executable)


class Helper:
    """The process, which `begin` starts. It takes a moment until it is ready."""

    def __init__(self, module: str) -> None:
        """`module` is run with the descriptor of its socket, and what else `begin` hands over."""
        self._module = module
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    @property
    def begun(self) -> bool:
        """Whether `begin` was called."""
        return self._socket is not None

    def begin(self, *descriptors: int) -> None:
        """Start it, once. Raises OSError; then it is never ready."""
        self._socket, theirs = socket.socketpair()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KEPT)
        with theirs:
            handed = (theirs.fileno(), *descriptors)
            # A session of its own: Ctrl-C is for the job, which then ends it.
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-m", self._module, *map(str, handed)), pass_fds=handed,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def is_ready(self) -> bool:
        """Whether it has said hello. One that ended before never does."""
        if self._socket is None or self._ready:
            return self._ready
        try:
            self._ready = self._socket.recv(1, socket.MSG_DONTWAIT) == _HELLO
        except OSError:
            return False
        return self._ready

    def send(
        self, message: msgspec.Struct, contents: Sequence[bytes | memoryview] = (),
        descriptors: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """Send a message, as `send` does."""
        assert self._socket is not None
        send(self._socket, message, contents, descriptors)

    def receive(self) -> bytes:
        """Wait for the next answer. Raises EndedError."""
        assert self._socket is not None
        return receive(self._socket)[0]

    def how_it_ended(self) -> str:
        """The words for how one ended that is not there any more."""
        assert self._process is not None
        assert self._socket is not None
        # It may be there: a socket can fail for want of memory, too.
        self._socket.close()
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return f"ended with signal {-status}" if status < 0 else f"ended with status {status}"

    def end(self, *, at_once: bool = False) -> None:
        """Have it end, once it has done what it was sent; or by a signal, at once."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            if at_once:
                self._process.kill()
            self._process.wait()


def greeted(descriptor: int) -> socket.socket:
    """In a helper: its socket, with hello said. Raises EndedError."""
    job = socket.socket(fileno=descriptor)
    try:
        job.sendall(_HELLO)
    except OSError as error:
        job.close()
        raise EndedError from error
    return job


def send(
    to: socket.socket, message: msgspec.Struct, contents: Sequence[bytes | memoryview] = (),
    descriptors: Sequence[int] = (),
) -> None:  # fmt: skip
    """Send a message. Raises EndedError; OverflowError for a number that it cannot hold, and then
    nothing was sent.
    """
    data = msgspec.msgpack.encode(message)
    header = _HEADER.pack(len(data), sum(map(len, contents)))
    buffers = [memoryview(each) for each in (header, data, *contents)]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
    try:
        _send_all(to, buffers[:_BUFFERS], rights if descriptors else ())
        for at in range(_BUFFERS, len(buffers), _BUFFERS):
            _send_all(to, buffers[at : at + _BUFFERS])
    except OSError as error:
        raise EndedError from error


def receive(
    source: socket.socket, descriptors: list[int] | None = None, buffer: bytearray | None = None,
    *, most: int = 0,
) -> tuple[bytes, memoryview]:  # fmt: skip
    """The next message and its contents; `descriptors` gets those that come along, `most` at most,
    to be closed.

    The contents are in `buffer`, unless they are too long for it. Raises EndedError.
    """
    try:
        header, came, _, _ = socket.recv_fds(
            source, _HEADER.size, most, socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC
        )
        if descriptors is not None:
            descriptors += came
        if len(header) < _HEADER.size:
            raise EndedError
        length, contents = _HEADER.unpack(header)
        message = _receive_all(source, memoryview(bytearray(length)))
        into = memoryview(buffer or b"")[:contents]
        if len(into) < contents:
            into = memoryview(bytearray(contents))
        return bytes(message), _receive_all(source, into)
    except OSError as error:
        raise EndedError from error


def _send_all(
    to: socket.socket, buffers: list[memoryview], ancillary: Iterable[_Ancillary] = ()
) -> None:
    while buffers:
        sent = to.sendmsg(buffers, ancillary)
        ancillary = ()  # it has gone with the first byte
        while buffers and sent >= len(buffers[0]):
            sent -= len(buffers.pop(0))
        if sent:
            buffers[0] = buffers[0][sent:]


def _receive_all(source: socket.socket, into: memoryview) -> memoryview:
    at = 0
    while at < len(into):
        count = source.recv_into(into[at:], 0, socket.MSG_WAITALL)
        if not count:
            raise EndedError
        at += count
    return into
