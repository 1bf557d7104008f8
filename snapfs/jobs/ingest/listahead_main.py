"""The helper that lists directories ahead of an ingest: so that the kernel has them in memory.

python -P -m snapfs.jobs.ingest.listahead_main     # told by standard input; see `listahead`
"""

import heapq
import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from operator import methodcaller

AT, SOON, END = b"@", b"+", b"\0"
"before the path where the walk is by now, before one where it will come; behind each"

_MOST = 10_000
"entries of a directory that are looked at: a larger one would push out what is needed before"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = 65536

_Key = tuple[bytes, ...]


def main() -> None:
    """Serve one ingest, until it closes the pipe."""
    source = sys.stdin.fileno()
    coming = Coming()
    poll = select.poll()
    poll.register(source, select.POLLIN)
    while True:
        path = coming.next()
        while path is None or poll.poll(0):
            data = os.read(source, _READ)
            if not data:
                return
            if path is not None:
                coming.add(path)
            coming.told(data)
            path = coming.next()
        with suppress(OSError):
            below = look(path)
            if below is not None:
                coming.add(below)


class Coming:
    """The directories that a walk comes to, in its order: that of the bytes of their names."""

    def __init__(self) -> None:
        self._heap: list[tuple[_Key, bytes]] = []
        self._at: _Key = ()
        "where the walk is"
        self._rest = b""

    def told(self, data: bytes) -> None:
        """Take in what the ingest says."""
        *messages, self._rest = (self._rest + data).split(END)
        for message in messages:
            path = message[1:]
            if message[:1] == AT:
                self._at = _key(path)
            else:
                self.add(path)

    def add(self, path: bytes) -> None:
        """The walk will come here."""
        heapq.heappush(self._heap, (_key(path), path))

    def next(self) -> bytes | None:
        """What it comes to first, and is there no more; what it has left behind is left out."""
        while self._heap:
            key, path = heapq.heappop(self._heap)
            if key > self._at:
                return path
        return None


def look(path: bytes) -> bytes | None:
    """List a directory and look at its entries; tells which directory a walk goes to next.

    That one is not told of by the walk, which goes there at once; none on another file system.
    Raises OSError.
    """
    descriptor = os.open(path, _DIRECTORY)
    try:
        return min(_directories(descriptor, path), default=None)
    finally:
        os.close(descriptor)


def _directories(descriptor: int, path: bytes) -> Iterator[bytes]:
    device = os.fstat(descriptor).st_dev
    with os.scandir(descriptor) as entries:
        # In the order in which they lie on the disk.
        found = sorted(islice(entries, _MOST), key=methodcaller("inode"))
    for entry in found:
        status = os.stat(entry.name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
            yield path.rstrip(b"/") + b"/" + os.fsencode(entry.name)


def _key(path: bytes) -> _Key:
    return tuple(path.split(b"/"))


if __name__ == "__main__":
    main()
