"""What a restore and its worker process say to each other, through a socket.

The worker says hello with one byte, once. An order is a header, a message, and the bytes of all
contents one behind the other; the descriptors of its directories come along with the header. Its
answer is a header and a message with one outcome for each task, in their order.
"""

import socket
import struct
from collections.abc import Sequence

import msgspec

from snapfs.model.attributes import Attributes
from snapfs.model.finding import Trouble

HELLO = b"h"
DIRECTORIES = 64
"descriptors of one order at most"
_HEADER = struct.Struct("<II")
"bytes of the message, and of the contents"
_BUFFERS = 512
"that are handed to the kernel at once; it takes 1024"


class EndedError(Exception):
    """The other process is not there any more."""


class Setup(msgspec.Struct, frozen=True, array_like=True):
    """What holds for all orders; the first message."""

    token: bytes
    "what the names of unfinished files have in them"
    sparse: bool
    block_id_key: bytes
    "for files that are to be read back; else empty"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A directory of an order, whose descriptor comes along."""

    path: bytes
    "absolute, for findings"
    inner: bytes
    "within the target"


class Order(msgspec.Struct, frozen=True, array_like=True):
    """One entry that is to be made."""

    directory: int
    "which of the order's places"
    name: bytes
    wanted: Attributes
    same: bool
    "what is there is what would be made"
    holes: bool
    spans: tuple[tuple[int, int], ...]
    "offset and length of each block; all of them are in the contents"
    keys: tuple[bytes | None, ...]
    "of the blocks, if they are to be read back"


class Orders(msgspec.Struct, frozen=True, array_like=True):
    """Entries that are made one behind the other."""

    places: tuple[Place, ...]
    orders: tuple[Order, ...]


class Made(msgspec.Struct, frozen=True, array_like=True, tag="made"):
    """It is in its place."""


class Skipped(msgspec.Struct, frozen=True, array_like=True, tag="skipped"):
    """It was kept as it was found."""


class Found(msgspec.Struct, frozen=True, array_like=True, tag="found"):
    """Something about it."""

    trouble: Trouble
    detail: bytes
    "as os.fsencode makes it, as it may name what is no text"


class Unset(msgspec.Struct, frozen=True, array_like=True, tag="unset"):
    """An attribute could not be set."""

    what: bytes
    "as `detail` of what is found"
    advice: str


Note = Made | Skipped | Found | Unset


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one entry."""

    notes: tuple[Note, ...]
    device: int = 0
    inode: int = 0
    "of one with several names that is there now; else 0"


class Outcomes(msgspec.Struct, frozen=True, array_like=True):
    """The answer to an order."""

    outcomes: tuple[Outcome, ...]
    failure: tuple[bytes, str] | None = None
    "what ended it before all was made, as `detail` of what is found, and a hint"


def send(
    to: socket.socket, message: msgspec.Struct, contents: Sequence[bytes | memoryview] = (),
    descriptors: Sequence[int] = (),
) -> None:  # fmt: skip
    """Send a message. Raises EndedError; OverflowError for a number that it cannot hold, and then
    nothing was sent.
    """
    data = msgspec.msgpack.encode(message)
    header = _HEADER.pack(len(data), sum(map(len, contents)))
    try:
        socket.send_fds(to, [header], descriptors)
        buffers = [memoryview(data), *(memoryview(each) for each in contents)]
        for at in range(0, len(buffers), _BUFFERS):
            _send_all(to, buffers[at : at + _BUFFERS])
    except OSError as error:
        raise EndedError from error


def receive(
    source: socket.socket, descriptors: list[int] | None = None, buffer: bytearray | None = None
) -> tuple[bytes, memoryview]:
    """The next message and its contents; `descriptors` gets those that come along, to be closed.

    The contents are in `buffer`, unless they are too long for it. Raises EndedError.
    """
    try:
        header, came, _, _ = socket.recv_fds(
            source, _HEADER.size, DIRECTORIES, socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC
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


def _send_all(to: socket.socket, buffers: list[memoryview]) -> None:
    while buffers:
        sent = to.sendmsg(buffers)
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
