"""The worker process of a restore: makes small entries as it is told, until the restore is over.

python -P -m snapfs.jobs.restore.worker_main DESCRIPTOR     # of a socket; see `worker`
"""

import os
import socket
import sys
from dataclasses import dataclass, field

import msgspec

from snapfs.errors import LocalError
from snapfs.jobs import framing
from snapfs.jobs.restore import groups, messages
from snapfs.jobs.restore.directory import OpenDirectory
from snapfs.jobs.restore.entries import Held, Maker
from snapfs.jobs.restore.groups import Group
from snapfs.jobs.restore.messages import Found, Made, Note, Order, Outcome, Outcomes, Skipped, Unset
from snapfs.jobs.restore.walk import Task
from snapfs.model.attributes import Attributes
from snapfs.model.content import Hole, Stored
from snapfs.model.finding import Trouble
from snapfs.model.identity import BlockKey, NodeNumber


@dataclass(slots=True)
class _Notes:
    """Notes what there is to tell of one entry, for the restore to tell it."""

    notes: list[Note] = field(default_factory=list)

    def made(self, wanted: Attributes, path: bytes) -> None:
        self.notes.append(Made())

    def skipped(self, wanted: Attributes, path: bytes) -> None:
        self.notes.append(Skipped())

    def found(self, trouble: Trouble, path: bytes, detail: str) -> None:
        self.notes.append(Found(trouble, os.fsencode(detail)))

    def unset(self, what: str, path: bytes, *, advice: str = "") -> None:
        self.notes.append(Unset(os.fsencode(what), advice))

    def linked(self, path: bytes) -> None:
        raise AssertionError("further names are made by the restore itself")


def main() -> None:
    """Serve one restore."""
    try:
        with framing.greeted(int(sys.argv[1])) as restore:
            data, _ = framing.receive(restore)
            _serve(restore, msgspec.msgpack.decode(data, type=messages.Setup))
    except framing.EndedError:
        return


def _serve(restore: socket.socket, setup: messages.Setup) -> None:
    notes = _Notes()
    maker = Maker(-1, setup.token, notes, sparse=setup.sparse, block_id_key=setup.block_id_key)
    decoder = msgspec.msgpack.Decoder(messages.Orders)
    buffer = bytearray(groups.LIMIT)
    while True:
        descriptors: list[int] = []
        try:
            data, contents = framing.receive(
                restore, descriptors, buffer, most=messages.DIRECTORIES
            )
            framing.send(
                restore, _make_all(maker, notes, decoder.decode(data), descriptors, contents)
            )
        except framing.EndedError:
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _make_all(
    maker: Maker, notes: _Notes, told: messages.Orders, descriptors: list[int], contents: memoryview
) -> Outcomes:
    directories = [
        OpenDirectory(None, place.path, place.inner, descriptor, None, fresh=False)
        for place, descriptor in zip(told.places, descriptors, strict=True)
    ]
    outcomes: list[Outcome] = []
    try:
        for order in told.orders:
            length = sum(length for _, length in order.spans)
            task = _task(order, directories)
            notes.notes = []
            name = maker.make(task, _held(order, contents[:length]))
            contents = contents[length:]
            if name is None or order.wanted.nlink == 1:
                outcomes.append(Outcome(tuple(notes.notes)))
            else:
                outcomes.append(Outcome(tuple(notes.notes), name.device, name.inode))
    except LocalError as error:
        return Outcomes(tuple(outcomes), (os.fsencode(error.what), error.hint))
    return Outcomes(tuple(outcomes))


def _task(order: Order, directories: list[OpenDirectory]) -> Task:
    content = (Hole(order.wanted.size),) if order.holes else ()
    directory = directories[order.directory]
    return Task(directory, order.name, NodeNumber(0), order.wanted, content, order.same)


def _held(order: Order, data: memoryview) -> Held | None:
    if not order.spans:
        return None
    blocks, offsets, pieces = [], [], []
    for offset, length in order.spans:
        blocks.append(Stored(0, length))
        offsets.append(offset)
        pieces.append(data[:length])
        data = data[length:]
    keys = tuple(None if key is None else BlockKey(key) for key in order.keys)
    return Held(Group(tuple(blocks), tuple(offsets)), pieces, keys)


if __name__ == "__main__":
    main()
