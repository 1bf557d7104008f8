"""Writing files so that each appears whole, survives a power failure, and may be the only one.

The functions block, and raise OSError; only where a file system cannot do what is needed at all
they raise StoreError.
"""
# System calls, one by one, are what this file is about.
# ruff: noqa: PTH102, PTH104, PTH108, PTH118, PTH120

import errno
import os
from collections.abc import Sequence
from contextlib import suppress

from snapfs.errors import StoreError

TEMPORARY = ".new-"
"how temporary files begin: no object's name has a component that begins with a dot"

_CANNOT = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"what file systems answer to a call that they do not have"

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def publish(folder: str, name: str, data: bytes, *, exclusive: bool) -> None:
    """Create `name` in the folder, or replace it; with `exclusive`, only create it.

    Raises FileExistsError (exclusive), OSError; StoreError where the file system has no way to
    create exclusively.
    """
    temporary = os.path.join(folder, f"{TEMPORARY}{os.urandom(8).hex()}")
    target = os.path.join(folder, name)
    try:
        # 1. The bytes reach the disk while nothing names them.
        _write(temporary, data)
        # 2. The name appears, in one step.
        if exclusive:
            _name_exclusively(temporary, target)
        else:
            os.rename(temporary, target)
    finally:
        # What ended the attempt matters; a temporary file that stays behind is never listed.
        with suppress(OSError):
            os.unlink(temporary)
    # 3. The name reaches the disk, and only then the caller hears that the object is there.
    fsync_folder(folder)


def make_folders(root: str, components: Sequence[str], known: set[str]) -> str:
    """Make the folders below the root that are missing, and return the innermost one's path.

    `known` are folders that this process has brought to the disk before. Others get an fsync of
    their parent even where they exist: another process may have made them a moment ago and not
    have got that far, and an object in a folder that a power failure takes is lost.
    """
    path = root
    for component in components:
        parent, path = path, os.path.join(path, component)
        if path in known:
            continue
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        fsync_folder(parent)
        known.add(path)
    return path


def fsync_folder(path: str) -> None:
    """Bring the folder's names to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # File systems of other machines (CIFS) know no fsync of folders: names are theirs to keep.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _name_exclusively(temporary: str, target: str) -> None:
    """Give the file its name unless that is taken. The temporary name may remain beside it."""
    try:
        _link_or_rename(temporary, target)
    except FileExistsError:
        # The loser will build on the object that it lost to, so that one must outlive a power
        # failure as well, and its writer may not have come to its own fsync yet.
        fsync_folder(os.path.dirname(target))
        raise


def _link_or_rename(temporary: str, target: str) -> None:
    try:
        os.link(temporary, target)
        return
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    try:
        _rename_noreplace(temporary, target)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        raise StoreError(
            f"{target}: this file system has neither hard links nor exclusive renaming",
            hint="A repository needs one of them: put it on another file system.",
        ) from error


def _rename_noreplace(source: str, target: str) -> None:
    """The system call renameat2, which Python does not offer."""
    import ctypes  # few file systems need it

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    paths = (os.fsencode(source), os.fsencode(target))
    if call(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(_RENAME_NOREPLACE)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)
