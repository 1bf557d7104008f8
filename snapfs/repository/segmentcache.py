"""Caches of segments: plain ones in memory, sealed ones on disk. Both are bounded, both may fail.

What the disk holds is checked by its seal on each use, as if it came from the store.
"""

import logging
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from snapfs.metadata.blockindex import SegmentPlace
from snapfs.repository.state import make_private

log = logging.getLogger(__name__)


class PlainSegment:
    """The opened bytes of a segment, and which of its blocks have been found to be sound."""

    __slots__ = ("data", "verified")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.verified: set[int] = set()
        "offsets of blocks whose key was checked"


class MemoryCache:
    """Least recently used plain segments, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0
        self._held: OrderedDict[int, PlainSegment] = OrderedDict()

    def get(self, number: int) -> PlainSegment | None:
        found = self._held.get(number)
        if found is not None:
            self._held.move_to_end(number)
        return found

    def holds(self, number: int) -> bool:
        """Whether it is there; asking is no use of it."""
        return number in self._held

    def put(self, number: int, segment: PlainSegment) -> None:
        if number in self._held:
            return
        self._held[number] = segment
        self._size += len(segment.data)
        while self._size > self.limit and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._size -= len(dropped.data)


class DiskCache:
    """Sealed segments as files, least recently used first to go. Its methods block.

    Several processes may share the directory: each counts what it knows of, and a file that
    another has removed is simply not there. A disk that is full or broken makes it useless, never
    wrong: it says so once and goes on.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._sizes: OrderedDict[str, int] | None = None
        self._size = 0
        self._complained = False
        self._lock = threading.Lock()
        "guards the sizes: segments are opened in several threads"

    def get(self, place: SegmentPlace) -> bytes | None:
        """The sealed bytes of a segment, unchecked."""
        path = self._path(_name(place))
        try:
            data = path.read_bytes()
            os.utime(path)  # the order of use outlives the process
        except OSError:
            return None
        return data if len(data) == place.stored else None

    def put(self, place: SegmentPlace, sealed: bytes | memoryview) -> None:
        """Keep a segment, and let go of others where the bound is passed."""
        name = _name(place)
        try:
            self._write(self._path(name), sealed)
            with self._lock:
                sizes = self._known()
                self._size += len(sealed) - sizes.pop(name, 0)
                sizes[name] = len(sealed)
                self._shrink(sizes)
        except OSError as error:
            self._complain(error)

    def drop(self, place: SegmentPlace) -> None:
        """Remove a segment that turned out to be damaged."""
        name = _name(place)
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            self._complain(error)
            return
        with self._lock:
            if self._sizes is not None:
                self._size -= self._sizes.pop(name, 0)

    def _known(self) -> OrderedDict[str, int]:
        """What is in the directory, oldest use first; read at the first use."""
        if self._sizes is None:
            found: list[tuple[float, str, int]] = []
            for path in self._directory.glob("??/*"):
                with suppress(FileNotFoundError):  # another process let go of it
                    status = path.stat()
                    found.append((status.st_mtime, path.name, status.st_size))
            self._sizes = OrderedDict((name, size) for _, name, size in sorted(found))
            self._size = sum(self._sizes.values())
        return self._sizes

    def _write(self, path: Path, sealed: bytes | memoryview) -> None:
        make_private(path.parent)
        # Two threads may have the same segment: it was fetched again before it was written.
        temporary = path.with_name(f"{path.name}.{threading.get_native_id()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(sealed)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _shrink(self, sizes: OrderedDict[str, int]) -> None:
        while self._size > self._limit and sizes:
            name, size = sizes.popitem(last=False)
            self._size -= size
            self._path(name).unlink(missing_ok=True)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.warning("the disk cache is not used: %s", error)

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name


def _name(place: SegmentPlace) -> str:
    return f"{place.pack.hex()}-{place.place}"
