"""Regular files while they are written: under a temporary name, until they are whole.

A crash at any point leaves nothing half-done under a real name.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from snapfs.formats import packs
from snapfs.jobs.restore.groups import Group
from snapfs.model.content import Content, Stored
from snapfs.model.identity import BlockKey

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ReadBackError(Exception):
    """What was written did not come back from the disk as it should."""


@dataclass(slots=True)
class Draft:
    """A file under a temporary name in a directory. `close` or `discard` ends it.

    So does a `with` that an exception leaves; one that ends well leaves it open.
    """

    directory: int
    temporary: bytes
    descriptor: int

    @classmethod
    def create(cls, directory: int, temporary: bytes) -> "Draft":
        """An empty file that only this user may open. Raises OSError."""
        return cls(directory, temporary, os.open(temporary, _FLAGS, 0o600, dir_fd=directory))

    def __enter__(self) -> "Draft":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.discard()

    def reserve(self, size: int, content: Content, *, sparse: bool) -> None:
        """Give the file its size where writing does not; without `sparse` its holes, too.

        A list may hold holes.
        """
        if all(isinstance(extent, Stored) for extent in content):
            return
        os.ftruncate(self.descriptor, size)
        if not sparse:
            os.posix_fallocate(self.descriptor, 0, size)

    def write(self, group: Group, blocks: Sequence[bytes | memoryview]) -> None:
        """Write the bytes of a group's blocks. Raises OSError."""
        for data, offset in zip(blocks, group.offsets, strict=True):
            _write_all(self.descriptor, memoryview(data), offset)

    def forget_pages(self) -> None:
        """Let the next reading come from the disk."""
        os.fsync(self.descriptor)
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def verify(self, group: Group, keys: Sequence[BlockKey | None], block_id_key: bytes) -> None:
        """Raise ReadBackError where the file does not hold the blocks of these keys."""
        for block, offset, key in zip(group.blocks, group.offsets, keys, strict=True):
            data = os.pread(self.descriptor, block.length, offset)
            if len(data) != block.length or packs.block_key(data, block_id_key) != key:
                raise ReadBackError

    def close(self) -> None:
        """Nothing more is done to it. Raises OSError where a network file system failed late."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def discard(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.temporary, dir_fd=self.directory)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
