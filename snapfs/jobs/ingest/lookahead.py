"""Files that are captured soon: opened before it is their turn, and small ones read by a helper.

The helper is a process of its own, so that an ingest has two processors. It does nothing but read,
and what it has not read, for whatever reason, the ingest reads itself: without a helper, all.
"""

import logging
import mmap
import os
from collections import deque
from dataclasses import dataclass

import msgspec

from snapfs.jobs.framing import EndedError
from snapfs.jobs.helper import Helper
from snapfs.jobs.ingest.messages import Answer, Read, Setup, Wanted, Wants
from snapfs.jobs.ingest.ring import Ring
from snapfs.sources.ahead import OpenAhead
from snapfs.sources.reading import SMALL

log = logging.getLogger(__name__)

_MEMORY = 2 * 1024 * 1024
"bytes that the contents of files take until their turn comes"
_FROM = 500
"files after which a helper is begun: a few more are read before it is there"
_FILES = 64
"that it is told of at once"
_UNANSWERED = 64 * 1024
"""bytes of messages that it has not answered. They must fit into what the kernel keeps for it: we
must not wait for the helper to read while it waits for us to read its answers."""
_EACH = 64
"bytes of a message for each file, beside its path, at most"


@dataclass(slots=True)
class _Expected:
    """A file that the helper reads."""

    wanted: Wanted
    answered: bool = False
    read: Read | None = None


class LookAhead:
    """Makes files ready in the order in which they are told, and gives them out. For one thread."""

    def __init__(self, reading: "ReadingHelper | None" = None, *, small: int = 0) -> None:
        """`small`: bytes up to which a file is one block whatever is in it."""
        self._reading = reading
        self._small = min(small, SMALL)
        self._opened = OpenAhead()

    def forget(self) -> None:
        """Expect nothing any more, where a walk ended early."""
        self._opened.close()
        if self._reading is not None:
            self._reading.forget()

    def expect(self, at: bytes, status: os.stat_result, *, lasting: bool) -> bool:
        """Make the file ready that lstat saw so; False as long as there is no room for it.

        `lasting`: the path leads to it in any process, and after this directory too.
        """
        small = lasting and status.st_size <= self._small
        if small and self._reading is not None and self._reading.takes():
            return self._reading.expect(at, status)
        return self._opened.expect(at, status.st_size)

    def take(self, at: bytes) -> tuple[Read, bytes] | None:
        """What the helper has read of a file, and its content."""
        return self._reading.take(at) if self._reading else None

    def take_open(self, at: bytes) -> int | None:
        """The descriptor of a file, which is the caller's from now on; None: it is not open."""
        return self._opened.take(at)


class ReadingHelper:
    """The helper that reads, and the memory that it shares. Begun when it is worth it."""

    def __init__(self, block_id_key: bytes) -> None:
        self._helper = Helper(
            "snapfs.jobs.ingest.lookahead_main", "reads files", Setup(block_id_key)
        )
        self._memory: mmap.mmap | None = None
        self._ring = Ring(_MEMORY)
        self._files = 0
        "that were asked for"
        self._gone = False
        "it is not there any more"
        self._expected: dict[bytes, _Expected] = {}
        "what was not taken yet, by its path"
        self._unsent: list[_Expected] = []
        self._unsent_size = 0
        self._sent: deque[tuple[list[_Expected], int]] = deque()
        "what was not answered yet, by messages, with the bytes of each"
        self._sent_size = 0
        self._decoder = msgspec.msgpack.Decoder(Answer)

    def takes(self) -> bool:
        """Whether files may be expected of it by now."""
        try:
            return not self._gone and self._helper.is_ready()
        except EndedError:
            self._has_ended()
            return False

    def expect(self, path: bytes, status: os.stat_result) -> bool:
        """Have a file read; False as long as there is no room for it."""
        if path in self._expected:
            return True
        room = self._sent_size + self._unsent_size + len(path) + _EACH <= _UNANSWERED
        offset = self._ring.take(status.st_size) if room else None
        if offset is None:
            return False
        wanted = Wanted(
            path, status.st_mode, status.st_dev, status.st_ino, status.st_size, offset
        )  # fmt: skip
        expected = self._expected[path] = _Expected(wanted)
        self._unsent.append(expected)
        self._unsent_size += len(path) + _EACH
        if len(self._unsent) >= _FILES:
            self._send()
        return True

    def take(self, path: bytes) -> tuple[Read, bytes] | None:
        """What it has read of a file, and the content; None where we have to read it."""
        self._files += 1
        if self._files == _FROM:
            self._begin()
        expected = self._expected.get(path)
        if expected is None:
            return None
        try:
            while not expected.answered:
                self._receive()
        except EndedError:
            self._has_ended()
            return None
        del self._expected[path]
        read, offset = expected.read, expected.wanted.offset
        try:
            if read is None:
                return None
            assert self._memory is not None
            return read, self._memory[offset : offset + read.attributes.size]
        finally:
            self._ring.give_back(offset)

    def forget(self) -> None:
        """Expect nothing any more."""
        self._unsent.clear()
        self._unsent_size = 0
        try:
            while self._sent:
                self._receive()
        except EndedError:
            self._has_ended()
        for expected in self._expected.values():
            self._ring.give_back(expected.wanted.offset)
        self._expected.clear()

    def end(self) -> None:
        """End the process: it has nothing that would be lost."""
        self._helper.end(at_once=True)

    def _begin(self) -> None:
        try:
            descriptor = os.memfd_create("snapfs", os.MFD_CLOEXEC)
            try:
                os.ftruncate(descriptor, _MEMORY)
                self._memory = mmap.mmap(descriptor, _MEMORY)
                self._helper.begin(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("no memory for a process that reads files: %s", error.strerror)
            self._gone = True

    def _send(self) -> None:
        files, size = self._unsent, self._unsent_size
        self._unsent, self._unsent_size = [], 0
        try:
            self._helper.send(Wants(tuple(each.wanted for each in files)))
        except EndedError:
            self._has_ended()
            return
        self._sent.append((files, size))
        self._sent_size += size

    def _receive(self) -> None:
        """Wait for the next answer. Raises EndedError."""
        if not self._sent:
            self._send()
        answer = self._decoder.decode(self._helper.receive())
        files, size = self._sent.popleft()
        self._sent_size -= size
        for each, read in zip(files, answer.files, strict=True):
            each.read, each.answered = read, True

    def _has_ended(self) -> None:
        """Go on without it: whatever was expected of it is read here."""
        if not self._gone:
            log.warning("%s; going on without it", self._helper.how_it_ended())
        self._gone = True
        self._expected.clear()
        self._unsent.clear()
        self._sent.clear()
