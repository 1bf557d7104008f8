"""What is kept of an inode besides its content: from lstat, extended attributes and link targets.

Extended attributes are kept as the system gives them, POSIX ACLs (`system.posix_acl_*`) and labels
(`security.selinux`, `security.capability`) among them. Left out is what belongs to the file system
and not to the file, and would be wrong or refused elsewhere:

- `btrfs.`, `ceph.`, `afs.`, `lustre.`, `trusted.lov`: layout, compression, counters;
- `system.` other than ACLs: other views of what the mode and the ACL say (ntfs, cifs).

`system.nfs4_acl` and `system.richacl` are views, too, but of an ACL that nothing else shows.
"""

import errno
import os
import stat

from snapfs.model.attributes import Attributes, XattrPairs
from snapfs.model.finding import Finding, Trouble
from snapfs.sources.trouble import Report, describe

_FOREIGN_PREFIXES = ("btrfs.", "ceph.", "afs.", "lustre.", "system.")
_FOREIGN = frozenset({"trusted.lov"})
_ACLS = frozenset(
    {
        "system.posix_acl_access",
        "system.posix_acl_default",
        "system.nfs4_acl",
        "system.richacl",
    }
)
_NO_XATTRS = (errno.ENOTSUP, errno.ENOSYS)


def attributes_of(
    path: bytes, status: os.stat_result, *, report: Report, nlink: int = 1
) -> Attributes:
    """The attributes of what lies at `path` and has this lstat; symbolic links are not followed.

    Raises OSError if a link's target cannot be read. Extended attributes that cannot be read are
    reported and left out.
    """
    mode = status.st_mode
    target = os.readlink(path) if stat.S_ISLNK(mode) else b""
    return Attributes(
        mode=mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        nlink=1 if stat.S_ISDIR(mode) else nlink,
        size=status.st_size if stat.S_ISREG(mode) else len(target),
        rdev=status.st_rdev if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) else 0,
        target=target,
        xattrs=_xattrs(path, path, report),
    )


def attributes_of_open(
    descriptor: int,
    path: bytes,
    status: os.stat_result,
    *,
    size: int,
    report: Report,
    nlink: int = 1,
) -> Attributes:
    """The attributes of an open regular file, of which `size` bytes are kept.

    `status` is its fstat; `path` is for findings only.
    """
    return Attributes(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        nlink=nlink,
        size=size,
        xattrs=_xattrs(descriptor, path, report),
    )


def _xattrs(at: bytes | int, path: bytes, report: Report) -> XattrPairs:
    """What hangs on `at`, a descriptor or a path that is not followed; `path` is for findings."""
    follow = isinstance(at, int)
    try:
        listed = os.listxattr(at, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            report(_lost(path, "extended attributes", error))
        return ()
    if not listed:
        return ()
    pairs = []
    for name in filter(_belongs_to_file, listed):
        try:
            pairs.append((os.fsencode(name), os.getxattr(at, name, follow_symlinks=follow)))
        except OSError as error:
            if error.errno != errno.ENODATA:
                report(_lost(path, f"extended attribute {name}", error))
    return tuple(sorted(pairs))


def _belongs_to_file(name: str) -> bool:
    return name in _ACLS or not (name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN)


def _lost(path: bytes, what: str, error: OSError) -> Finding:
    return Finding(Trouble.METADATA, path, f"{what}: {describe(error)}")
