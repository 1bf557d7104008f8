"""The helper of an ingest: reads small files as it is told, until the ingest is over.

python -P -m snapfs.jobs.ingest.lookahead_main SOCKET MEMORY     # descriptors; see `lookahead`
"""

import mmap
import select
import socket
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import closing

import msgspec

from snapfs.formats import packs
from snapfs.jobs import framing
from snapfs.jobs.ingest.messages import Answer, Read, Setup, Wanted, Wants
from snapfs.model.finding import Finding
from snapfs.sources.ahead import OpenAhead
from snapfs.sources.attributes import attributes_of_open
from snapfs.sources.reading import open_file


class _FoundError(Exception):
    """There is something to tell of a file."""


def main() -> None:
    """Serve one ingest."""
    memory = mmap.mmap(int(sys.argv[2]), 0)
    try:
        with framing.greeted(int(sys.argv[1])) as ingest, closing(OpenAhead()) as ahead:
            data, _ = framing.receive(ingest)
            setup = msgspec.msgpack.decode(data, type=Setup)
            _Server(ingest, memoryview(memory), setup.block_id_key, ahead).serve()
    except framing.EndedError:
        return


class _Server:
    """Reads what it is told to, in order, and has the files behind it opened meanwhile."""

    def __init__(
        self, ingest: socket.socket, memory: memoryview, block_id_key: bytes, ahead: OpenAhead
    ) -> None:
        self._ingest = ingest
        self._memory = memory
        self._block_id_key = block_id_key
        self._ahead = ahead
        self._decoder = msgspec.msgpack.Decoder(Wants)
        self._poll = select.poll()
        self._poll.register(ingest, select.POLLIN)
        self._todo: deque[Sequence[Wanted]] = deque()
        self._coming: deque[Wanted] = deque()
        "what is to be opened: of the messages that are to be done, too"

    def serve(self) -> None:
        """Raises EndedError when the ingest is over."""
        while True:
            while not self._todo or self._poll.poll(0):
                files = self._decoder.decode(framing.receive(self._ingest)[0]).files
                self._todo.append(files)
                self._coming.extend(files)
            self._answer(self._todo.popleft())

    def _answer(self, files: Sequence[Wanted]) -> None:
        read = []
        for each in files:
            self._open_ahead()
            read.append(self._read(each))
        try:
            framing.send(self._ingest, Answer(tuple(read)))
        except OverflowError:  # a time that no message can hold
            framing.send(self._ingest, Answer((None,) * len(files)))

    def _open_ahead(self) -> None:
        while self._coming and self._ahead.has_room:
            each = self._coming.popleft()
            self._ahead.expect(each.path, each.size)

    def _read(self, wanted: Wanted) -> Read | None:
        path = wanted.path
        try:
            with open_file(path, wanted, descriptor=self._ahead.take(path)) as file:
                if not file.small or file.stat.st_size > wanted.size:
                    return None
                into = self._memory[wanted.offset : wanted.offset + wanted.size]
                content = file.read_small_into(into)
                attributes = attributes_of_open(
                    file.descriptor, path, file.stat, size=len(content), report=_found
                )
                change = file.outcome().change
        except (OSError, _FoundError):
            return None
        key = packs.block_key(content, self._block_id_key) if content else b""
        return Read(attributes, file.stat.st_ctime_ns, change, key)


def _found(finding: Finding) -> None:
    raise _FoundError


if __name__ == "__main__":
    main()
