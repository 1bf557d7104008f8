"""The file system: each request of the kernel answered from the database, its inode number alone.

There is no table of inodes. Look-ups take microseconds and run inline on the event loop; only
reading contents and looking at the log wait.
"""

import errno
import functools
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import pyfuse3
from pyfuse3 import (
    EntryAttributes,
    FileInfo,
    FUSEError,
    ReaddirToken,
    RequestContext,
    StatvfsData,
)

from snapfs.errors import SnapfsError
from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model import inode as inodes
from snapfs.model.identity import Commit
from snapfs.model.inode import Inode, Kind
from snapfs.mount.attributes import Appearance, absent_for_ever
from snapfs.mount.files import OpenFiles
from snapfs.mount.following import Follower
from snapfs.mount.layout import Layout
from snapfs.mount.listing import OpenDirectory, SnapshotDirectory
from snapfs.mount.readonly import ReadOnly
from snapfs.mount.upper import Upper

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_DOTS = 2
"positions of `.` and `..` in a listing"


def _answer(
    handler: Callable[Concatenate["FileSystem", P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["FileSystem", P], Coroutine[Any, Any, T]]:
    """A handler that answers EIO to its program where the local database fails, and lives on."""

    async def answer(self: "FileSystem", /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await handler(self, *args, **kwargs)
        except SnapfsError as error:
            log.error("%s", error.what)
            raise FUSEError(errno.EIO) from error

    return answer


class FileSystem(ReadOnly):
    """The handlers of one mount."""

    def __init__(
        self, tree: Tree, layout: Layout, look: Appearance, files: OpenFiles, follower: Follower,
        *, enable_acl: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.enable_acl = enable_acl
        self._tree = tree
        self._layout = layout
        self._look = look
        self._files = files
        self._follower = follower
        self._upper = Upper(layout, look)
        self._directories: dict[int, _Listing] = {}
        self._next_listing = 0

    @_answer
    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        parent = _decode(parent_inode)
        if name == b".":
            return self._attributes(parent_inode)
        if name == b"..":
            return self._attributes(self._parent(parent_inode))
        if parent.kind is Kind.DIRECTORY:
            self._require_shown(parent.serial)
            entry = self._tree.lookup(parent.number, Commit(parent.serial), name)
            return self._look.of_entry(entry, parent.serial) if entry else absent_for_ever()
        if parent.kind is Kind.LINK or (parent.kind is Kind.NODE and not _is_root(parent)):
            raise FUSEError(errno.ENOTDIR)
        found = None if self._upper.may_change(parent, name) else self._upper.lookup(parent, name)
        if found is None:
            await self._follower.fresh()
            found = self._upper.lookup(parent, name)
        if found is None:
            # Raised, not returned: the kernel must ask again, for the name may come to be.
            raise FUSEError(errno.ENOENT)
        return found

    @_answer
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return self._attributes(inode)

    @_answer
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        taken = _decode(inode)
        if taken.kind is Kind.LINK:
            return self._upper.target(taken) or _stale()
        return self._node(taken).attributes.target

    @_answer
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        if flags & _WRITING:
            raise FUSEError(errno.EROFS)
        node = self._node(_decode(inode))
        if not node.attributes.is_file:
            raise FUSEError(errno.EINVAL)
        return FileInfo(fh=self._files.open(node), keep_cache=True)

    @_answer
    async def read(self, fh: int, off: int, size: int) -> bytes:
        return await self._files.read(fh, off, size)

    async def release(self, fh: int) -> None:
        self._files.close(fh)

    @_answer
    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        listing = _Listing(inode, self._parent(inode), self._directory(_decode(inode)))
        self._next_listing += 1
        self._directories[self._next_listing] = listing
        return self._next_listing

    @_answer
    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        listing = self._directories[fh]
        if start_id == 0:
            if _decode(listing.inode).kind is not Kind.DIRECTORY:
                await self._follower.fresh()
            listing.directory.begin()
        for position, (name, inode) in enumerate(listing.dots()[start_id:], start=start_id + 1):
            if not pyfuse3.readdir_reply(token, name, self._attributes(inode), position):
                return
        for behind, name, shown in listing.directory.items(max(start_id - _DOTS, 0)):
            if not pyfuse3.readdir_reply(token, name, shown, behind + _DOTS):
                return

    async def releasedir(self, fh: int) -> None:
        del self._directories[fh]

    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        # No blocks at all: a read-only view has no size, and one that is full would alarm monitors.
        status = StatvfsData()
        status.f_bsize = status.f_frsize = 4096
        status.f_namemax = 255
        return status

    @_answer
    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        for known, value in self._xattrs(inode):
            if known == name:
                return value
        raise FUSEError(pyfuse3.ENOATTR)

    @_answer
    async def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        return [name for name, _ in self._xattrs(inode)]

    def _attributes(self, inode: int) -> EntryAttributes:
        taken = _decode(inode)
        if taken.kind is Kind.DIRECTORY:
            return self._look.of_entry(self._entry(taken), taken.serial)
        if taken.kind is Kind.NODE and not _is_root(taken):
            return self._look.of_node(self._node(taken))
        return self._upper.attributes(taken) or _stale()

    def _directory(self, inode: Inode) -> OpenDirectory:
        if inode.kind is Kind.DIRECTORY:
            self._require_shown(inode.serial)
            return SnapshotDirectory(
                self._tree,
                inode.number,
                Commit(inode.serial),
                functools.partial(self._look.of_entry, commit=inode.serial),
            )
        return self._upper.directory(inode) or _not_a_directory()

    def _parent(self, inode: int) -> int:
        if inode == inodes.ROOT_INODE:
            return inode
        return self._layout.parent(_decode(inode)) or _stale()

    def _entry(self, inode: Inode) -> Entry:
        self._require_shown(inode.serial)
        return self._tree.directory(inode.number, Commit(inode.serial)) or _stale()

    def _node(self, inode: Inode) -> Node:
        if inode.kind is not Kind.NODE:
            raise FUSEError(errno.EINVAL)
        return self._tree.node(inode.number) or _stale()

    def _xattrs(self, inode: int) -> Sequence[tuple[bytes, bytes]]:
        taken = _decode(inode)
        if taken.kind is Kind.DIRECTORY:
            return self._entry(taken).node.attributes.xattrs
        if taken.kind is Kind.NODE and not _is_root(taken):
            return self._node(taken).attributes.xattrs
        return ()

    def _require_shown(self, serial: int) -> None:
        if self._layout.shown(serial) is None:
            _stale()


class _Listing:
    """An open directory with its dots."""

    __slots__ = ("directory", "inode", "parent")

    def __init__(self, inode: int, parent: int, directory: OpenDirectory) -> None:
        self.inode = inode
        self.parent = parent
        self.directory = directory

    def dots(self) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
        return (b".", self.inode), (b"..", self.parent)


def _decode(inode: int) -> Inode:
    try:
        return inodes.decode(inode)
    except ValueError:
        _stale()


def _is_root(inode: Inode) -> bool:
    return inode.number == inodes.ROOT_INODE


def _stale() -> NoReturn:
    raise FUSEError(errno.ESTALE)


def _not_a_directory() -> NoReturn:
    raise FUSEError(errno.ENOTDIR)
