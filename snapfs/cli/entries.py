"""Entries of a snapshot as lines of `ls` and as JSON. Pure."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from snapfs.cli import render
from snapfs.metadata.tree import Entry
from snapfs.model.attributes import Attributes


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry, and the path under which it is shown."""

    path: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class OwnerNames:
    """Names of users and groups as the source's host knew them."""

    users: Mapping[int, bytes]
    groups: Mapping[int, bytes]

    def user(self, uid: int) -> str:
        return render.shown(self.users.get(uid, b"")) or str(uid)

    def group(self, gid: int) -> str:
        return render.shown(self.groups.get(gid, b"")) or str(gid)


class EntryJson(msgspec.Struct, omit_defaults=True):
    """An entry under --json. The fields in base64 are there where the text beside lost bytes."""

    path: str
    type: str
    mode: str
    uid: int
    gid: int
    user: str
    group: str
    size: int
    mtime: str
    mtime_ns: int
    nlink: int
    inode: int
    path_base64: str | None = None
    target: str | None = None
    target_base64: str | None = None
    device: str | None = None


def json_of(listed: Listed, names: OwnerNames) -> EntryJson:
    """An entry for --json."""
    attributes = listed.entry.node.attributes
    link = attributes.target if attributes.is_symlink else None
    return EntryJson(
        path=render.readable(listed.path),
        type=kind(attributes.mode),
        mode=f"{stat.S_IMODE(attributes.mode):04o}",
        uid=attributes.uid,
        gid=attributes.gid,
        user=render.readable(names.users.get(attributes.uid, b"")),
        group=render.readable(names.groups.get(attributes.gid, b"")),
        size=attributes.size,
        mtime=render.exact_time(attributes.mtime_ns),
        mtime_ns=attributes.mtime_ns,
        nlink=attributes.nlink,
        inode=listed.entry.node.number,
        path_base64=render.exact(listed.path),
        target=None if link is None else render.readable(link),
        target_base64=None if link is None else render.exact(link),
        device=_device(attributes) if attributes.is_device else None,
    )


def lines(page: Iterable[Listed], names: OwnerNames) -> Iterator[str]:
    """Lines as of `ls -l`, aligned among themselves."""
    rows = [_row(listed, names) for listed in page]
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for mode, links, user, group, size, time, name in rows:
        yield (
            f"{mode:{widths[0]}} {links:>{widths[1]}} {user:{widths[2]}} {group:{widths[3]}}"
            f" {size:>{widths[4]}} {time} {name}"
        )


def kind(mode: int) -> str:
    """The type of an inode in a word."""
    return {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symlink",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
    }.get(stat.S_IFMT(mode), "unknown")


def _row(listed: Listed, names: OwnerNames) -> tuple[str, ...]:
    attributes = listed.entry.node.attributes
    arrow = f" -> {render.shown(attributes.target)}" if attributes.is_symlink else ""
    return (
        stat.filemode(attributes.mode) + ("+" if _has_acl(attributes) else ""),
        str(attributes.nlink),
        names.user(attributes.uid),
        names.group(attributes.gid),
        _device(attributes) if attributes.is_device else str(attributes.size),
        render.local_time(attributes.mtime_ns),
        render.shown(listed.path) + arrow,
    )


def _has_acl(attributes: Attributes) -> bool:
    return any(name.startswith(b"system.posix_acl_") for name, _ in attributes.xattrs)


def _device(attributes: Attributes) -> str:
    return f"{os.major(attributes.rdev)},{os.minor(attributes.rdev)}"
