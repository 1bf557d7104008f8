"""The file system: each request of the kernel answered from the database, its inode number alone.

There is no table of inodes. Look-ups in snapshots take microseconds and run inline on the event
loop; only reading contents, looking at the log and questions about the past wait.
"""

import errno
import os
import stat
from collections.abc import Sequence
from functools import partial
from typing import cast

import pyfuse3
from pyfuse3 import (
    EntryAttributes,
    FileInfo,
    FUSEError,
    ReaddirToken,
    RequestContext,
    StatvfsData,
)

from snapfs.metadata.lines import Line, Lines
from snapfs.metadata.tree import Tree
from snapfs.model import inode as inodes
from snapfs.model.attributes import XattrPairs
from snapfs.model.identity import Commit, SourceNumber
from snapfs.model.inode import Inode, Kind
from snapfs.mount.attributes import Appearance, absent_for_ever
from snapfs.mount.directories import OpenDirectories
from snapfs.mount.factnames import PREFIX
from snapfs.mount.failing import absent, answer, stale
from snapfs.mount.files import OpenFiles
from snapfs.mount.following import Follower
from snapfs.mount.history import History, PastDirectory
from snapfs.mount.layout import Layout
from snapfs.mount.listing import OpenDirectory, SnapshotDirectory
from snapfs.mount.readonly import ReadOnly
from snapfs.mount.upper import Upper
from snapfs.mount.views import BY_TAG, IN_SOURCE

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_FACT = PREFIX.encode()


class FileSystem(ReadOnly):
    """The handlers of one mount."""

    def __init__(
        self, tree: Tree, lines: Lines, layout: Layout, look: Appearance, files: OpenFiles,
        follower: Follower, history: History | None, *, enable_acl: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.enable_acl = enable_acl
        self._tree = tree
        self._lines = lines
        self._layout = layout
        self._look = look
        self._files = files
        self._follower = follower
        self._history = history
        "None where nothing but snapshots is wanted"
        self._upper = Upper(layout, look, plain=history is None)
        self._directories = OpenDirectories(follower, history)

    @answer
    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        parent = _decode(parent_inode)
        if parent.kind is Kind.HELD:
            await self._follower.fresh()
            return await self._past().lookup(parent, name) or absent()
        if name == b".":
            return self._attributes(parent_inode)
        if name == b"..":
            return self._attributes(self._parent(parent_inode))
        if parent.kind is Kind.DIRECTORY:
            self._require_shown(parent.serial)
            line = self._lines.find(parent.number, Commit(parent.serial), name)
            return self._look.of_line(line, parent.serial) if line else absent_for_ever()
        if not _is_directory(parent):
            raise FUSEError(errno.ENOTDIR)
        found = None if self._upper.may_change(parent, name) else self._upper.lookup(parent, name)
        if found is None:
            await self._follower.fresh()
            found = self._upper.lookup(parent, name) or await self._unlisted(parent, name)
        return found or absent()

    @answer
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        taken = _decode(inode)
        if taken.kind is Kind.HELD:
            await self._follower.fresh()
            return await self._past().attributes(taken)
        return self._attributes(inode)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        # Nothing is kept for the other inodes that the kernel knows.
        for inode, count in inode_list:
            if inodes.is_held(inode) and self._history is not None:
                self._history.forget(_decode(inode).number, count)

    @answer
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        taken = _decode(inode)
        if taken.kind in (Kind.LINK, Kind.TAGGED):
            return self._upper.target(taken) or stale()
        return self._node(taken).data or b""

    @answer
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        if flags & _WRITING:
            raise FUSEError(errno.EROFS)
        line = self._node(_decode(inode))
        if not stat.S_ISREG(line.mode):
            raise FUSEError(errno.EINVAL)
        return FileInfo(fh=self._files.open(line), keep_cache=True)

    @answer
    async def read(self, fh: int, off: int, size: int) -> bytes:
        # pyfuse3 takes whatever has bytes, though its types do not say so.
        return cast("bytes", await self._files.read(fh, off, size))

    async def release(self, fh: int) -> None:
        self._files.close(fh)

    @answer
    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        directory = self._directory(_decode(inode))
        return self._directories.open(inode, partial(self._parent, inode), directory)

    @answer
    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        reply = partial(pyfuse3.readdir_reply, token)
        await self._directories.tell(fh, start_id, reply)

    async def releasedir(self, fh: int) -> None:
        self._directories.close(fh)

    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        # No blocks at all: a read-only view has no size, and one that is full would alarm monitors.
        status = StatvfsData()
        status.f_bsize = status.f_frsize = 4096
        status.f_namemax = 255
        return status

    @answer
    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        taken = _decode(inode)
        if taken.kind is Kind.HELD:
            xattrs = await self._past().xattrs(taken)
        else:
            xattrs = self._xattrs(taken)
        found = next((value for known, value in xattrs if known == name), None)
        if found is None and name.startswith(_FACT) and taken.kind is Kind.NODE and self._history:
            await self._follower.fresh()
            found = await self._history.fact(taken.number, name)
        if found is None:
            raise FUSEError(pyfuse3.ENOATTR)
        return found

    @answer
    async def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        return [name for name, _ in self._xattrs(_decode(inode))]

    # --- the past

    async def _unlisted(self, parent: Inode, name: bytes) -> EntryAttributes | None:
        """What has a name that is in no listing."""
        if self._history is None:
            return None
        if parent.kind is Kind.SOURCE and name in IN_SOURCE:
            return await self._history.top(SourceNumber(parent.number), name)
        if _is_root(parent) and name == BY_TAG:
            return await self._history.top(None, name)
        return None

    def _past(self) -> History:
        return self._history or stale()

    # --- what is there

    def _attributes(self, inode: int) -> EntryAttributes:
        taken = _decode(inode)
        if taken.kind is Kind.DIRECTORY:
            self._require_shown(taken.serial)
            line = self._lines.directory(taken.number, Commit(taken.serial)) or stale()
            return self._look.of_line(line, taken.serial)
        if taken.kind is Kind.NODE and not _is_root(taken):
            return self._look.of_line(self._node(taken), 0)
        return self._upper.attributes(taken) or stale()

    def _directory(self, inode: Inode) -> OpenDirectory | PastDirectory:
        if inode.kind is Kind.DIRECTORY:
            self._require_shown(inode.serial)
            commit = Commit(inode.serial)
            return SnapshotDirectory(self._lines, inode.number, commit, self._look.show_line)
        if inode.kind is Kind.HELD:
            return self._past().directory(inode)
        found = self._upper.directory(inode)
        if found is None:
            raise FUSEError(errno.ENOTDIR)
        return found

    def _parent(self, inode: int) -> int:
        if inode == inodes.ROOT_INODE or inodes.is_held(inode):
            # Which directory of the past one came from is not known. The kernel knows it itself.
            return inode
        return self._layout.parent(_decode(inode)) or stale()

    def _node(self, inode: Inode) -> Line:
        if inode.kind is not Kind.NODE:
            raise FUSEError(errno.EINVAL)
        return self._lines.node(inode.number) or stale()

    def _xattrs(self, inode: Inode) -> XattrPairs:
        if inode.kind is Kind.DIRECTORY:
            self._require_shown(inode.serial)
            entry = self._tree.directory(inode.number, Commit(inode.serial)) or stale()
            return entry.node.attributes.xattrs
        if inode.kind is Kind.NODE and not _is_root(inode):
            return (self._tree.node(inode.number) or stale()).attributes.xattrs
        return ()

    def _require_shown(self, serial: int) -> None:
        if self._layout.shown(serial) is None:
            stale()


def _decode(inode: int) -> Inode:
    try:
        return inodes.decode(inode)
    except ValueError:
        stale()


def _is_root(inode: Inode) -> bool:
    return inode.kind is Kind.NODE and inode.number == inodes.ROOT_INODE


def _is_directory(inode: Inode) -> bool:
    return inode.kind not in (Kind.NODE, Kind.LINK, Kind.TAGGED) or _is_root(inode)
