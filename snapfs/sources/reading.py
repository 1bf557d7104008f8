"""Reading a regular file: safely opened, holes left out, and telling whether it held still.

    with open_file(path, found.stat) as file:
        for extent in file.extents():       # a Run of data, or a Hole
            ...
        outcome = file.outcome()

What is kept are the bytes up to the size that the file had when it was opened. Errors of reading
are OSErrors, from whichever call meets them.
"""

import enum
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol

from snapfs.model.content import Hole

SMALL = 128 << 10
"bytes up to which a file is read at once, by `read_small`"

# O_NONBLOCK: a FIFO or device that took the file's place must not make us wait.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NO_HOLES_KNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
_NOT_A_FILE = (errno.ELOOP, errno.ENXIO, errno.ENODEV)
"what opening a symbolic link, socket or dead device gives"


@dataclass(frozen=True, slots=True)
class Data:
    """Where a file has bytes."""

    offset: int
    length: int


class Change(enum.StrEnum):
    """What became of a file while it was read, in the words of a finding."""

    NONE = "did not change"
    GREW = "grew while it was read: kept up to its first size"
    SHRANK = "became shorter while it was read: kept up to where it ended"
    ALTERED = "changed while it was read"


class Outcome(NamedTuple):
    """What was read of a file."""

    size: int
    "bytes kept, holes included; less than the first size only if the file SHRANK"
    change: Change


class Run:
    """A run of data in an open file, to be read once from its beginning to its end."""

    __slots__ = ("_descriptor", "_end", "_position", "data")

    def __init__(self, descriptor: int, data: Data) -> None:
        self.data = data
        self._descriptor = descriptor
        self._position = data.offset
        self._end = data.offset + data.length

    @property
    def taken(self) -> int:
        """Bytes read so far."""
        return self._position - self.data.offset

    def readinto(self, buffer: memoryview) -> int:
        """Fill the beginning of `buffer` with the next bytes, and return how many: 0 at the end.

        The end is that of the run, or of the file if it became shorter.
        """
        wanted = self._end - self._position
        if wanted <= 0:
            return 0
        count = os.preadv(self._descriptor, [buffer[:wanted]], self._position)
        self._position += count
        return count

    def read(self) -> bytes:
        """All that is left, in memory: for runs that are known to be short."""
        pieces = []
        while piece := os.pread(self._descriptor, self._end - self._position, self._position):
            self._position += len(piece)
            pieces.append(piece)
            if self._position == self._end:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class File:
    """An open regular file. `open_file` makes it; leaving its `with` closes it."""

    __slots__ = ("_kept", "descriptor", "stat")

    def __init__(self, descriptor: int, status: os.stat_result) -> None:
        self.descriptor = descriptor
        self.stat = status
        "its fstat when it was opened: the attributes to record"
        self._kept = 0

    def __enter__(self) -> "File":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.descriptor)

    @property
    def small(self) -> bool:
        """Whether `read_small` may be used in place of `extents`: short, and without holes."""
        return self.stat.st_size <= SMALL and not self._sparse

    @property
    def _sparse(self) -> bool:
        return self.stat.st_blocks * 512 < self.stat.st_size

    def read_small(self) -> bytes:
        """The content of a small file, up to its first size: one system call if it held still."""
        size = self.stat.st_size
        data = os.pread(self.descriptor, size, 0)
        if len(data) != size:
            data += Run(self.descriptor, Data(len(data), size - len(data))).read()
        self._kept = len(data)
        return data

    def read_small_into(self, buffer: memoryview) -> memoryview:
        """As `read_small`, into the beginning of `buffer`, which has room for its first size."""
        run = Run(self.descriptor, Data(0, self.stat.st_size))
        while run.readinto(buffer[run.taken :]):
            pass
        self._kept = run.taken
        return buffer[: run.taken]

    def extents(self) -> Iterator[Run | Hole]:
        """The file's runs of data and its holes, in order, without gaps.

        Each Run must be read to its end before the next extent is asked for. Ends early where
        the file became shorter.
        """
        size = self.stat.st_size
        found = extents(self.descriptor, size) if self._sparse else iter((Data(0, size),))
        for extent in found:
            if isinstance(extent, Hole):
                yield extent
                self._kept += extent.length
            elif extent.length:
                run = Run(self.descriptor, extent)
                yield run
                self._kept += run.taken
                if run.taken < extent.length:
                    return

    def outcome(self) -> Outcome:
        """What was read, and whether the file changed since it was opened. Ask when done."""
        return Outcome(self._kept, change_of(self.stat, os.fstat(self.descriptor), self._kept))


class Seen(Protocol):
    """What lstat says of which file it was."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...


class State(Seen, Protocol):
    """What lstat says of which state of it that was."""

    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


def open_file(path: bytes, seen: Seen, *, descriptor: int | None = None) -> File:
    """Open the regular file at `path`, which lstat saw as `seen`, without touching its access time.

    `descriptor` is one that `open_descriptor` has given for this path; it is closed in any case.

    Raises FileNotFoundError if it is gone, or if something else has its name by now (another
    lstat will tell what), and OSError if it cannot be opened.
    """
    if descriptor is None:
        descriptor = open_descriptor(path)
    try:
        status = os.fstat(descriptor)
        if not same_inode(status, seen):
            raise _replaced(path)
    except OSError:
        os.close(descriptor)
        raise
    return File(descriptor, status)


def open_descriptor(path: bytes) -> int:
    """A descriptor for whatever is at `path`, unless it is a link. Raises as `open_file`."""
    try:
        try:
            return os.open(path, _READ | os.O_NOATIME)
        except PermissionError:
            # Only its owner and root may spare a file's access time.
            return os.open(path, _READ)
    except OSError as error:
        if error.errno in _NOT_A_FILE:
            raise _replaced(path) from error
        raise


def lstat_again(path: bytes, seen: Seen) -> os.stat_result:
    """What lstat says by now of what it saw as `seen`.

    Raises FileNotFoundError if it is gone, or if something else has its name by now; OSError.
    """
    status = os.lstat(path)
    if not same_inode(status, seen):
        raise _replaced(path)
    return status


def same_inode(one: os.stat_result, other: Seen) -> bool:
    """Whether both are of one inode, and of one type."""
    return (
        stat.S_IFMT(one.st_mode) == stat.S_IFMT(other.st_mode)
        and one.st_ino == other.st_ino
        and one.st_dev == other.st_dev
    )


def _replaced(path: bytes) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "was replaced by something else meanwhile", path)


def change_of(before: os.stat_result, after: os.stat_result, kept: int) -> Change:
    """What became of a file between two fstats, `kept` bytes having been read between them."""
    if kept < before.st_size:
        return Change.SHRANK
    if after.st_size > before.st_size:
        return Change.GREW
    if (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    ):
        return Change.NONE
    return Change.ALTERED


def extents(descriptor: int, size: int) -> Iterator[Data | Hole]:
    """Where the first `size` bytes of an open file have data and where holes, without gaps.

    A file system that does not know says that all is data. Moves the descriptor's position.
    """
    position = 0
    while position < size:
        begin = _seek(descriptor, position, os.SEEK_DATA, nowhere=-1, unknown=position)
        if begin < 0:
            # No data follows: a hole up to the end, where the end still is where it was.
            begin = min(size, os.fstat(descriptor).st_size)
            size = begin
        begin = min(begin, size)
        if begin > position:
            yield Hole(begin - position)
        if begin >= size:
            return
        end = min(size, _seek(descriptor, begin, os.SEEK_HOLE, nowhere=size, unknown=size))
        if end > begin:
            yield Data(begin, end - begin)
        position = end


def _seek(descriptor: int, position: int, whence: int, *, nowhere: int, unknown: int) -> int:
    try:
        return os.lseek(descriptor, position, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return nowhere
        if error.errno in _NO_HOLES_KNOWN:
            return unknown
        raise
