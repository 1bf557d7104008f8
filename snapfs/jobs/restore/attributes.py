"""Setting the attributes of what was restored, in the order that loses nothing.

The owner comes first, because changing it clears setuid bits and capabilities; then extended
attributes, which need write permission; then the mode, and the times last.
"""

import errno
import os
import stat

from snapfs.errors import LocalError
from snapfs.jobs.restore.report import Account
from snapfs.model.attributes import Attributes
from snapfs.model.finding import Trouble

AS_ROOT = "run as root to restore this"
_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_DENIED = (errno.EPERM, errno.EACCES)


def set_attributes(
    where: int | str, wanted: Attributes, path: bytes, tally: Account
) -> os.stat_result:
    """Give an inode its attributes and return its status; what cannot be set is told to `tally`.

    `where` is a descriptor of a file or directory, or the path in /proc of an O_PATH descriptor of
    anything. `path` is for findings. Raises LocalError where the disk is full or read-only.
    """
    denied = _set_owner(where, wanted, path, tally)
    _set_xattrs(where, wanted, path, tally)
    if not wanted.is_symlink:
        _set_mode(where, wanted, denied, path, tally)
    return _set_times(where, wanted, path, tally)


def raise_if_fatal(error: OSError, path: bytes) -> None:
    """Raise LocalError for an error that every further file would meet as well."""
    if error.errno in _FATAL:
        raise LocalError(
            f"{os.fsdecode(path)}: {error.strerror}",
            hint="what was restored so far is there; 'restore --overwrite if-changed' goes on",
        ) from error


def _set_owner(where: int | str, wanted: Attributes, path: bytes, tally: Account) -> int:
    """Set owner and group; the set-id bits that must not be given without them."""
    try:
        os.chown(where, wanted.uid, wanted.gid)
        return 0
    except OSError as error:
        raise_if_fatal(error, path)
        reason = error.strerror
    except OverflowError:
        reason = "no such id can be"
    denied = 0
    for what, bit, uid, gid in (
        ("owner", stat.S_ISUID, wanted.uid, -1),
        ("group", stat.S_ISGID, -1, wanted.gid),
    ):
        try:
            os.chown(where, uid, gid)
        except (OSError, OverflowError):
            tally.unset(f"{what} could not be set ({reason})", path, advice=AS_ROOT)
            denied |= bit
    return denied


def _set_xattrs(where: int | str, wanted: Attributes, path: bytes, tally: Account) -> None:
    _drop_xattrs(where, {name for name, _ in wanted.xattrs})
    for name, value in wanted.xattrs:
        try:
            os.setxattr(where, name, value)
        except OSError as error:
            raise_if_fatal(error, path)
            namespace = os.fsdecode(name.partition(b".")[0])
            tally.unset(
                f"extended attributes of '{namespace}' could not be set ({error.strerror})",
                path,
                advice=AS_ROOT if error.errno in _DENIED else "",
            )
        except ValueError:
            tally.found(Trouble.METADATA, path, "has an extended attribute of an impossible name")


def _drop_xattrs(where: int | str, wanted: set[bytes]) -> None:
    """Take away what the snapshot has not: ACLs inherited from above, attributes found there."""
    try:
        present = os.listxattr(where)
    except OSError:
        return  # a file system without any
    for name in map(os.fsencode, present):
        if name not in wanted and (name in _ACLS or name.startswith(b"user.")):
            try:
                os.removexattr(where, name)
            except OSError as error:
                if error.errno != errno.ENODATA:
                    return  # not ours to change: the mode, set next, says so


def _set_mode(
    where: int | str, wanted: Attributes, denied: int, path: bytes, tally: Account
) -> None:
    mode = stat.S_IMODE(wanted.mode)
    if not wanted.is_directory:
        # A set-id bit with another's owner would be a privilege that nobody granted.
        if mode & denied:
            tally.unset("setuid or setgid was left off, for want of the owner", path)
        mode &= ~denied
    try:
        os.chmod(where, mode)
    except OSError as error:
        raise_if_fatal(error, path)
        tally.unset(f"mode could not be set ({error.strerror})", path, advice=AS_ROOT)


def _set_times(where: int | str, wanted: Attributes, path: bytes, tally: Account) -> os.stat_result:
    try:
        os.utime(where, ns=(wanted.mtime_ns, wanted.mtime_ns))
    except OSError as error:
        raise_if_fatal(error, path)
        tally.unset(f"time could not be set ({error.strerror})", path, advice=AS_ROOT)
        return os.stat(where)
    except OverflowError:
        tally.found(Trouble.METADATA, path, "this machine cannot count to its time")
        return os.stat(where)
    status = os.stat(where)
    # Linux clips what the file system cannot hold, and says nothing.
    if status.st_mtime_ns != wanted.mtime_ns:
        tally.unset("the file system cannot hold the exact time", path)
    return status
