"""What stat shows: nodes and the mount's own directories as the kernel wants their attributes."""

import os
import stat

from pyfuse3 import EntryAttributes

from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model.content import Content, Hole, Listed
from snapfs.model.identity import Commit
from snapfs.model.inode import directory_inode
from snapfs.mount.options import MountOptions

FOREVER = 10 * 365 * 86400.0
"seconds; what is in a snapshot never changes"
BRIEFLY = 1.0
"""seconds; in the attributes of directories that grow only mtime changes, and with
default_permissions every path that leads through them asks for their attributes"""
BLOCK_SIZE = 1024 * 1024
"what programs are told to read at once"
_UNIT = 512
"of st_blocks"
_LISTS_REMEMBERED = 16384


class Appearance:
    """Turns what the database holds into attributes, under the options of one mount."""

    def __init__(self, tree: Tree, options: MountOptions) -> None:
        self._tree = tree
        self._uid = options.uid
        self._gid = options.gid
        self._own_uid = os.getuid() if options.uid is None else options.uid
        self._own_gid = os.getgid() if options.gid is None else options.gid
        self._holes_of_lists: dict[int, int] = {}

    def of_entry(self, entry: Entry, commit: Commit | int) -> EntryAttributes:
        """An entry of a directory in a snapshot."""
        shown = self.of_node(entry.node)
        if entry.child is not None:
            shown.st_ino = directory_inode(commit, entry.child)
        return shown

    def of_node(self, node: Node) -> EntryAttributes:
        """A node under its own number, as all but directories have it."""
        source = node.attributes
        shown = EntryAttributes()
        shown.st_ino = node.number
        shown.entry_timeout = shown.attr_timeout = FOREVER
        shown.st_mode = source.mode
        shown.st_nlink = source.nlink
        shown.st_uid = source.uid if self._uid is None else self._uid
        shown.st_gid = source.gid if self._gid is None else self._gid
        shown.st_rdev = source.rdev
        shown.st_size = source.size
        shown.st_blksize = BLOCK_SIZE
        if node.data:
            held = source.size - self._holes(node.content())
            shown.st_blocks = (held + _UNIT - 1) // _UNIT
        _set_times(shown, source.mtime_ns)
        return shown

    def of_folder(self, inode: int, time_ns: int) -> EntryAttributes:
        """A directory of the mount itself, which grows."""
        return self._of_own(inode, stat.S_IFDIR | 0o555, 0, time_ns)

    def of_link(self, inode: int, target: bytes, time_ns: int) -> EntryAttributes:
        """A link of the mount itself, whose name may lead elsewhere the next moment."""
        shown = self._of_own(inode, stat.S_IFLNK | 0o777, len(target), time_ns)
        shown.entry_timeout = 0
        shown.attr_timeout = FOREVER
        return shown

    def _of_own(self, inode: int, mode: int, size: int, time_ns: int) -> EntryAttributes:
        shown = EntryAttributes()
        shown.st_ino = inode
        shown.entry_timeout = FOREVER
        shown.attr_timeout = BRIEFLY
        shown.st_mode = mode
        shown.st_nlink = 1
        shown.st_uid = self._own_uid
        shown.st_gid = self._own_gid
        shown.st_size = size
        shown.st_blksize = BLOCK_SIZE
        _set_times(shown, time_ns)
        return shown

    def _holes(self, content: Content) -> int:
        """Bytes of a content in holes, those in its lists too."""
        total = 0
        for extent in content:
            if isinstance(extent, Hole):
                total += extent.length
            elif isinstance(extent, Listed):
                total += self._holes_of_list(extent)
        return total

    def _holes_of_list(self, extent: Listed) -> int:
        known = self._holes_of_lists.get(extent.number)
        if known is None:
            if len(self._holes_of_lists) >= _LISTS_REMEMBERED:
                self._holes_of_lists.clear()
            known = self._holes_of_lists[extent.number] = self._holes(self._tree.listed(extent))
        return known


def absent_for_ever() -> EntryAttributes:
    """The answer that a snapshot has no such name, which stays true."""
    shown = EntryAttributes()
    shown.st_ino = 0
    shown.entry_timeout = FOREVER
    return shown


def _set_times(shown: EntryAttributes, time_ns: int) -> None:
    shown.st_atime_ns = shown.st_mtime_ns = shown.st_ctime_ns = time_ns
