"""Files that are read soon: opened, and their first bytes asked for, while others are worked on.

The kernel then reads several files at once, where a disk would be waited for with each of them.
Nothing is looked at before its turn: whether a file changes is watched from its own reading on.
"""

import os
from contextlib import suppress

from snapfs.sources.reading import open_descriptor

_AT_ONCE = 32
"files that are open before their turn"
_FIRST = 1024 * 1024
"bytes of each that the kernel is asked for"


class OpenAhead:
    """Descriptors by path, for one thread; `close` it."""

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}

    def close(self) -> None:
        """Close what nobody took."""
        while self._open:
            os.close(self._open.popitem()[1])

    @property
    def has_room(self) -> bool:
        """Whether one more may be open."""
        return len(self._open) < _AT_ONCE

    def expect(self, path: bytes, size: int) -> bool:
        """Open a file that lstat saw with this size; False as long as too many are open.

        What fails is left to its reader to find.
        """
        if not self.has_room:
            return False
        if path not in self._open:
            with suppress(OSError):
                descriptor = self._open[path] = open_descriptor(path)
                os.posix_fadvise(descriptor, 0, min(size, _FIRST), os.POSIX_FADV_WILLNEED)
        return True

    def take(self, path: bytes) -> int | None:
        """The descriptor of a path, which is the caller's from now on; None where there is none."""
        return self._open.pop(path, None)
