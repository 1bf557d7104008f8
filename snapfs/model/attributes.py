"""What is kept of an inode besides its content."""

import stat

import msgspec

XattrPairs = tuple[tuple[bytes, bytes], ...]

NANOSECONDS = 1_000_000_000


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """The state of one inode, without its content and its names.

    A struct, as there is one for each file: a frozen dataclass takes ten times as long to make.

    Access time, change time and birth time are not kept: the first changes by being read, the
    other two cannot be set again.
    """

    mode: int
    "type and permission bits, as st_mode"
    uid: int
    gid: int
    mtime_ns: int
    "nanoseconds since 1970; any integer, before 1970 negative"
    nlink: int = 1
    "names that this inode has within the snapshot; of directories always 1"
    size: int = 0
    "bytes of a regular file, length of a link's target, else 0"
    rdev: int = 0
    "device number of a block or character device, as st_rdev"
    target: bytes = b""
    "of symbolic links"
    xattrs: XattrPairs = ()
    "extended attributes in order of name; POSIX ACLs are among them"

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_device(self) -> bool:
        return stat.S_ISBLK(self.mode) or stat.S_ISCHR(self.mode)
