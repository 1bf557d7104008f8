"""Inode numbers of the mount, computed both ways: the mount keeps no table of them.

64 bits: kind 4, snapshot serial 28, directory 32. Files are kind 0, so that their inode is their
node's number alone: an unchanged file is one inode in every snapshot, and the kernel keeps one copy
of its pages.
"""

import enum
from dataclasses import dataclass

_SERIAL_BITS = 28
_DIRECTORY_BITS = 32
MAXIMUM_SERIAL = 2**_SERIAL_BITS - 1
MAXIMUM_DIRECTORY = 2**_DIRECTORY_BITS - 1
MAXIMUM_NODE = 2**60 - 1
ROOT_INODE = 1
"as FUSE has it; nodes are numbered from 2"


class Kind(enum.IntEnum):
    """What an inode number stands for."""

    NODE = 0
    "a file, link, device…: the rest is its node's number"
    DIRECTORY = 1
    "a directory of a snapshot: serial and directory"
    HOST = 2
    "a directory of the mount that holds a host's sources: the rest is the host's number"
    SOURCE = 3
    "a directory of the mount that holds a source's snapshots: the rest is the source's number"
    LINK = 4
    "a symbolic link to a snapshot: serial of the snapshot, source as directory"
    HELD = 5
    "a directory of the past, which the mount holds as long as the kernel knows it: its number"
    TAGGED = 6
    "a symbolic link to a snapshot from where its tag leads: serial of the snapshot, source"


@dataclass(frozen=True, slots=True)
class Inode:
    """An inode number, taken apart."""

    kind: Kind
    serial: int
    number: int

    def encode(self) -> int:
        return self.kind << 60 | self.serial << _DIRECTORY_BITS | self.number


def decode(inode: int) -> Inode:
    """Take an inode number apart. ValueError for a kind that does not exist."""
    kind = Kind(inode >> 60)
    if kind in (Kind.NODE, Kind.HELD):
        return Inode(kind, 0, inode & MAXIMUM_NODE)
    return Inode(kind, inode >> _DIRECTORY_BITS & MAXIMUM_SERIAL, inode & MAXIMUM_DIRECTORY)


def directory_inode(serial: int, directory: int) -> int:
    """The inode of a directory in the snapshot of this serial."""
    return Kind.DIRECTORY << 60 | serial << _DIRECTORY_BITS | directory


def is_held(inode: int) -> bool:
    """Whether it stands for something that the mount holds: told for every inode that is let go."""
    return inode >> 60 == Kind.HELD
