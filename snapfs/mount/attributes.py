"""What stat shows: names of snapshots and the mount's own directories as the kernel has them."""

import os
import stat

from pyfuse3 import EntryAttributes

from snapfs.metadata import contents
from snapfs.metadata.lines import Line
from snapfs.metadata.tree import Tree
from snapfs.model.attributes import NANOSECONDS
from snapfs.model.content import Content, Hole, Listed
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

    def of_line(self, line: Line, commit: int) -> EntryAttributes:
        """A name of a directory in a snapshot."""
        shown = lasting()
        self.show_line(shown, line, commit)
        return shown

    def show_line(self, shown: EntryAttributes, line: Line, commit: int) -> None:
        """Make `lasting` attributes those of a line: a listing has the same ones for each name."""
        inode = line.number if line.child is None else directory_inode(commit, line.child)
        self._show(shown, line, inode)

    def of_past(self, line: Line) -> EntryAttributes:
        """A file under a name that may mean another one the next moment."""
        shown = lasting()
        shown.entry_timeout = 0
        self._show(shown, line, line.number)
        return shown

    def of_passage(self, inode: int, line: Line | None) -> EntryAttributes:
        """A directory of the past: as open as the line that it is about, to look and go through.

        A file's mode says who may read it; the same may look through its versions.
        """
        if line is None:
            shown = self.of_folder(inode, 0)
        else:
            shown = lasting()
            self._show(shown, line, inode)
            readable = line.mode & 0o444
            mode = line.mode if line.child is not None else readable | readable >> 2
            shown.st_mode = stat.S_IFDIR | mode & 0o555
            shown.st_nlink = 1
            shown.st_size = shown.st_blocks = shown.st_rdev = 0
        shown.entry_timeout = shown.attr_timeout = 0
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

    def _show(self, shown: EntryAttributes, line: Line, inode: int) -> None:
        _, _, _, mode, uid, gid, seconds, nanoseconds, size, links, device, _ = line
        shown.st_ino = inode
        shown.st_mode = mode
        shown.st_nlink = links
        shown.st_uid = uid if self._uid is None else self._uid
        shown.st_gid = gid if self._gid is None else self._gid
        shown.st_rdev = device
        shown.st_size = size
        shown.st_blocks = self._blocks(line)
        _set_times(shown, seconds * NANOSECONDS + nanoseconds)

    def _of_own(self, inode: int, mode: int, size: int, time_ns: int) -> EntryAttributes:
        shown = lasting()
        shown.attr_timeout = BRIEFLY
        shown.st_ino = inode
        shown.st_mode = mode
        shown.st_nlink = 1
        shown.st_uid = self._own_uid
        shown.st_gid = self._own_gid
        shown.st_size = size
        _set_times(shown, time_ns)
        return shown

    def _blocks(self, line: Line) -> int:
        """Units of 512 bytes that a file takes: what it holds outside of holes."""
        data = line.content
        if not data:
            return 0
        held = line.size
        if not contents.is_one_block(data):
            held -= self._holes(contents.decode(data))
        return (held + _UNIT - 1) // _UNIT

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


def lasting() -> EntryAttributes:
    """Attributes that the kernel may keep, of nothing yet."""
    shown = EntryAttributes()
    shown.entry_timeout = shown.attr_timeout = FOREVER
    shown.st_blksize = BLOCK_SIZE
    return shown


def of_dot(inode: int) -> EntryAttributes:
    """`.` or `..` in a listing, of which the kernel takes number and type."""
    shown = EntryAttributes()
    shown.st_ino = inode
    shown.st_mode = stat.S_IFDIR
    return shown


def absent_for_ever() -> EntryAttributes:
    """The answer that a snapshot has no such name, which stays true."""
    shown = lasting()
    shown.st_ino = 0
    return shown


def _set_times(shown: EntryAttributes, time_ns: int) -> None:
    shown.st_atime_ns = shown.st_mtime_ns = shown.st_ctime_ns = time_ns
