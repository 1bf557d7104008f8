"""How a job and its helper talk, through a socket: a header, a message, and contents behind it.

The helper says hello with one byte, once. Descriptors may come along with a header.
"""

import socket
import struct
from array import array
from collections.abc import Iterable, Sequence

import msgspec

HELLO = b"h"
_HEADER = struct.Struct("<II")
"bytes of the message, and of the contents"
_BUFFERS = 512
"that are handed to the kernel at once; it takes 1024"

_Ancillary = tuple[int, int, "array[int]"]


class EndedError(Exception):
    """The other process is not there any more."""


def greeted(descriptor: int) -> socket.socket:
    """In a helper: its socket, with hello said. Raises EndedError."""
    job = socket.socket(fileno=descriptor)
    try:
        job.sendall(HELLO)
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
