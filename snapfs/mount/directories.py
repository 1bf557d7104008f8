"""Open directories by handle: what each call of readdir is told, from `.` and `..` on."""

from collections.abc import Callable
from dataclasses import dataclass

from pyfuse3 import EntryAttributes

from snapfs.mount.attributes import of_dot
from snapfs.mount.following import Follower
from snapfs.mount.history import History, PastDirectory
from snapfs.mount.listing import OpenDirectory, SnapshotDirectory

Reply = Callable[[bytes, EntryAttributes, int], bool]
"a name, its attributes, the position behind it; false where there is no room for it"

_DOTS = 2
"positions of `.` and `..` in a listing"


@dataclass(frozen=True, slots=True)
class _Listing:
    inode: int
    parent: Callable[[], int]
    "the inode of the directory that it is in"
    directory: OpenDirectory | PastDirectory


class OpenDirectories:
    """The directories that programs hold open."""

    def __init__(self, follower: Follower, history: History | None) -> None:
        self._follower = follower
        self._history = history
        self._open: dict[int, _Listing] = {}
        self._next = 0

    def open(
        self, inode: int, parent: Callable[[], int], directory: OpenDirectory | PastDirectory
    ) -> int:
        """A new handle on a directory."""
        self._next += 1
        self._open[self._next] = _Listing(inode, parent, directory)
        return self._next

    def close(self, handle: int) -> None:
        """Give a handle back."""
        del self._open[handle]

    async def tell(self, handle: int, start: int, reply: Reply) -> None:
        """Tell `reply` what is behind a position, until it has no room. Raises SnapfsError."""
        listing = self._open[handle]
        directory = listing.directory
        if start == 0:
            if not isinstance(directory, SnapshotDirectory):
                await self._follower.fresh()
            directory.begin()
        if start < _DOTS and not _tell_dots(listing, start, reply):
            return
        position = max(start - _DOTS, 0)
        if isinstance(directory, PastDirectory):
            if self._history is not None:
                await self._history.tell(directory, position, _DOTS, reply)
            return
        for behind, name, shown in directory.items(position):
            if not reply(name, shown, behind + _DOTS):
                return


def _tell_dots(listing: _Listing, start: int, reply: Reply) -> bool:
    dots = ((b".", listing.inode), (b"..", listing.parent()))
    return all(
        reply(name, of_dot(inode), position)
        for position, (name, inode) in enumerate(dots[start:], start=start + 1)
    )
