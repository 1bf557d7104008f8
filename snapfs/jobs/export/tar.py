"""Tar in the pax format: attributes → header blocks. Pure.

What the header of 1988 holds is there too, so that old programs read most of it; what it cannot
hold stands in records before it, whose names and values are bytes:

- `path`, `linkpath`, `uname`, `gname` where they are long or no ASCII: their bytes as they are, as
  GNU tar writes them. (It warns of `hdrcharset`, which would say that they may be no UTF-8.)
- `mtime` with nanoseconds, where it has some or the header cannot count to it;
- `size`, `uid`, `gid` where they are large;
- `SCHILY.xattr.NAME`, the value as it is; of the name `%` and `=` are written as GNU tar does;
- `SCHILY.acl.access`, `SCHILY.acl.default`: POSIX ACLs as text, with numbers for users and groups.
"""

import os
import stat
import struct
from collections.abc import Iterator

from snapfs.model.attributes import NANOSECONDS, Attributes

BLOCK = 512
_RECORD = 20 * BLOCK
"what tar reads and writes at a time; an archive is filled up to it"
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_MAGIC = b"ustar\x0000"
_CHECKSUM_AT = 148
_NAME, _OWNER = 100, 31
_MOST_ID = 0o7777777
_MOST = 0o77777777777
_FILE, _LINK, _PAX = b"0", b"1", b"x"
_KINDS = {
    stat.S_IFREG: _FILE,
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_ACLS = {
    b"system.posix_acl_access": b"SCHILY.acl.access",
    b"system.posix_acl_default": b"SCHILY.acl.default",
}
_ACL_VERSION = 2
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_TAGS = {1: "user", 2: "user", 4: "group", 8: "group", 16: "mask", 32: "other"}
_ACL_WITH_ID = (2, 8)


def can_hold(attributes: Attributes) -> bool:
    """Whether tar has a form for what this is: it has none for sockets."""
    return stat.S_IFMT(attributes.mode) in _KINDS


def member(name: bytes, attributes: Attributes, *, user: bytes = b"", group: bytes = b"") -> bytes:
    """The header blocks of a member; of a file, `attributes.size` bytes and `padding` follow.

    `name` is its path in the archive, `user` and `group` are the names of its owners, if known.
    """
    kind = _KINDS[stat.S_IFMT(attributes.mode)]
    if attributes.is_directory:
        name += b"/"
    size = attributes.size if kind == _FILE else 0
    records = b"".join(_xattr_records(attributes))
    return _blocks(kind, name, attributes.target, attributes, size, user, group, records)


def hard_link(name: bytes, first: bytes, attributes: Attributes) -> bytes:
    """The header blocks of a further name of a member; nothing follows."""
    return _blocks(_LINK, name, first, attributes, 0, b"", b"", b"")


def padding(size: int) -> bytes:
    """What fills a content of `size` bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def end(length: int) -> bytes:
    """What ends an archive that is `length` bytes long so far."""
    return bytes(2 * BLOCK + -(length + 2 * BLOCK) % _RECORD)


def _blocks(
    kind: bytes, name: bytes, target: bytes, attributes: Attributes, size: int,
    user: bytes, group: bytes, records: bytes,
) -> bytes:  # fmt: skip
    records = (
        b"".join(_name_records(name, target, user, group))
        + b"".join(_number_records(attributes, size))
        + records
    )
    device = attributes.rdev if attributes.is_device else 0
    header = _header(
        kind, name, target, size, stat.S_IMODE(attributes.mode), attributes.uid, attributes.gid,
        attributes.mtime_ns // NANOSECONDS, user, group, os.major(device), os.minor(device),
    )  # fmt: skip
    if not records:
        return header
    first = _header(_PAX, b"././@PaxHeader", b"", len(records), 0o644, 0, 0, 0, b"", b"", 0, 0)
    return b"".join((first, records, padding(len(records)), header))


def _header(
    kind: bytes, name: bytes, target: bytes, size: int, mode: int, uid: int, gid: int,
    seconds: int, user: bytes, group: bytes, major: int, minor: int,
) -> bytes:  # fmt: skip
    block = _HEADER.pack(
        name, b"%07o" % mode, b"%07o" % _fitting(uid, _MOST_ID), b"%07o" % _fitting(gid, _MOST_ID),
        b"%011o" % _fitting(size, _MOST), b"%011o" % _fitting(seconds, _MOST), b" " * 8, kind,
        target, _MAGIC, user[:_OWNER], group[:_OWNER], b"%07o" % major, b"%07o" % minor, b"",
    )  # fmt: skip
    checksum = b"%06o\0 " % sum(block)
    return block[:_CHECKSUM_AT] + checksum + block[_CHECKSUM_AT + len(checksum) :]


def _fitting(value: int, most: int) -> int:
    """The value, or 0 where the record before the header says it."""
    return value if 0 <= value <= most else 0


def _name_records(name: bytes, target: bytes, user: bytes, group: bytes) -> Iterator[bytes]:
    texts = (
        (b"path", name, _NAME), (b"linkpath", target, _NAME),
        (b"uname", user, _OWNER), (b"gname", group, _OWNER),
    )  # fmt: skip
    for key, text, most in texts:
        if len(text) > most or not text.isascii():
            yield _record(key, text)


def _number_records(attributes: Attributes, size: int) -> Iterator[bytes]:
    seconds, fraction = divmod(attributes.mtime_ns, NANOSECONDS)
    if fraction or not 0 <= seconds <= _MOST:
        yield _record(b"mtime", _decimal(attributes.mtime_ns))
    if size > _MOST:
        yield _record(b"size", b"%d" % size)
    for key, value in ((b"uid", attributes.uid), (b"gid", attributes.gid)):
        if value > _MOST_ID:
            yield _record(key, b"%d" % value)


def _xattr_records(attributes: Attributes) -> Iterator[bytes]:
    for name, value in attributes.xattrs:
        text = _acl_text(value) if name in _ACLS else None
        if text is not None:
            yield _record(_ACLS[name], text)
        else:
            key = name.replace(b"%", b"%25").replace(b"=", b"%3D")
            yield _record(b"SCHILY.xattr." + key, value)


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record, which begins with its own length."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _decimal(time_ns: int) -> bytes:
    sign, seconds = ("-" if time_ns < 0 else ""), abs(time_ns)
    text = f"{sign}{seconds // NANOSECONDS}.{seconds % NANOSECONDS:09d}"
    return text.rstrip("0").rstrip(".").encode()


def _acl_text(value: bytes) -> bytes | None:
    """An ACL as Linux keeps it, as text; None where it is of another form."""
    if (len(value) - 4) % _ACL_ENTRY.size or value[:4] != struct.pack("<I", _ACL_VERSION):
        return None
    entries = list(_ACL_ENTRY.iter_unpack(value[4:]))
    if not entries or any(tag not in _ACL_TAGS for tag, _, _ in entries):
        return None
    return ",".join(_acl_entry(*entry) for entry in entries).encode()


def _acl_entry(tag: int, permissions: int, number: int) -> str:
    whom = str(number) if tag in _ACL_WITH_ID else ""
    letters = "".join(
        letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1))
    )
    return f"{_ACL_TAGS[tag]}:{whom}:{letters}"
