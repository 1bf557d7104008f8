"""Directories of the target, open as descriptors, so that no link can lead out of it.

Every entry is made relative to the descriptor of its directory, and a directory is opened relative
to its parent's, never through a symbolic link. A directory stays open while something below it is
being made; whoever is last gives it its attributes, for content that comes later changes its time.
"""

import errno
import os
import stat
import threading
from dataclasses import dataclass

from snapfs.errors import LocalError
from snapfs.jobs.restore.attributes import raise_if_fatal, set_attributes
from snapfs.jobs.restore.decide import may_replace
from snapfs.jobs.restore.options import Overwrite, RestoreOptions
from snapfs.jobs.restore.report import Tally
from snapfs.model.attributes import Attributes
from snapfs.model.finding import Trouble

TEMPORARY = b".snapfs-restore-"
"names of entries that are not finished begin like this; those of a broken run are removed"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_A_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)


@dataclass(slots=True, eq=False)
class OpenDirectory:
    """A directory of the target. Belongs to the `Directories` that opened it."""

    parent: "OpenDirectory | None"
    path: bytes
    "absolute, for findings"
    inner: bytes
    "within the target, without a leading slash; empty for the target itself"
    descriptor: int
    "-1 in a dry run for one that is not there"
    wanted: Attributes | None
    "given to it when it is left; None: it keeps its own"
    fresh: bool
    "made by this run: nothing of others is in it"
    users: int = 1

    def join(self, name: bytes) -> bytes:
        """The absolute path of an entry, for findings."""
        # Made for every file. A name is no path of its own, so os.path.join would see no more.
        return self.path + name if self.path.endswith(b"/") else self.path + b"/" + name

    def join_inner(self, name: bytes) -> bytes:
        """The path of an entry within the target."""
        return self.inner + b"/" + name if self.inner else name


class Directories:
    """Opens directories of the target and closes them. May be used from several threads."""

    def __init__(self, options: RestoreOptions, tally: Tally) -> None:
        self._options = options
        self._tally = tally
        self._open: set[OpenDirectory] = set()
        self._lock = threading.Lock()
        "guards the set, and who uses what"

    def open_target(self, wanted: Attributes | None, *, passing: bool = False) -> OpenDirectory:
        """The target itself; whatever links lead to it are the user's.

        Raises LocalError where it cannot be made or opened.
        """
        path = os.path.abspath(self._options.target)
        fresh, descriptor = False, -1
        try:
            if not self._options.dry_run:
                fresh = not os.path.isdir(path)
                os.makedirs(path, 0o777 if wanted is None else 0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if not self._options.dry_run or error.errno != errno.ENOENT:
                raise LocalError(
                    f"{os.fsdecode(path)}: cannot be the target: {error.strerror}",
                    hint="name a directory that you may write to with --target",
                ) from error
        fresh_or_absent = fresh or descriptor < 0
        if wanted and not self._is_given(wanted, path, fresh=fresh_or_absent, passing=passing):
            wanted = None
        return self._add(OpenDirectory(None, path, b"", descriptor, wanted, fresh))

    def enter(
        self, parent: OpenDirectory, name: bytes, wanted: Attributes, *, passing: bool = False
    ) -> OpenDirectory | None:
        """The directory `name` in `parent`, made if need be; None where that failed, as reported.

        It keeps `parent` open. One that is only passed through keeps its attributes if it is there.
        Raises LocalError where the disk is full or read-only.
        """
        path = parent.join(name)
        try:
            descriptor, fresh = self._open_or_make(parent, name, wanted)
        except _KeptError:
            self._tally.found(
                Trouble.REFUSED,
                path,
                "something else is in its place and is kept: nothing below it was restored",
            )
            return None
        except OSError as error:
            raise_if_fatal(error, path)
            self._tally.found(Trouble.REFUSED, path, f"cannot be made or opened: {error.strerror}")
            return None
        fresh_or_absent = fresh or descriptor < 0
        given = self._is_given(wanted, path, fresh=fresh_or_absent, passing=passing)
        with self._lock:
            parent.users += 1
        return self._add(
            OpenDirectory(
                parent, path, parent.join_inner(name), descriptor, wanted if given else None, fresh
            )
        )

    def hold(self, directory: OpenDirectory) -> None:
        """Keep a directory open until it is released once more."""
        with self._lock:
            directory.users += 1

    def release(self, directory: OpenDirectory) -> None:
        """One user less; the last one gives the directory its attributes, and closes it."""
        current: OpenDirectory | None = directory
        while current is not None:
            with self._lock:
                current.users -= 1
                if current.users:
                    return
                self._open.discard(current)
            self._finish(current)
            current = current.parent

    def close(self) -> None:
        """Close what a failure has left open."""
        for directory in self._open:
            if directory.descriptor >= 0:
                os.close(directory.descriptor)
        self._open.clear()

    def _add(self, directory: OpenDirectory) -> OpenDirectory:
        with self._lock:
            self._open.add(directory)
        return directory

    def _is_given(self, wanted: Attributes, path: bytes, *, fresh: bool, passing: bool) -> bool:
        """Whether a directory gets the attributes of the snapshot; else it keeps those it has."""
        if fresh or passing:
            return fresh
        if self._options.overwrite is not Overwrite.NEVER:
            return True
        self._tally.skipped(wanted, path)
        return False

    def _finish(self, directory: OpenDirectory) -> None:
        try:
            if directory.wanted is None:
                return
            self._tally.made(directory.wanted, directory.path)
            if self._options.dry_run:
                return
            try:
                set_attributes(directory.descriptor, directory.wanted, directory.path, self._tally)
            except OSError as error:
                self._tally.found(Trouble.METADATA, directory.path, f"attributes: {error.strerror}")
        finally:
            if directory.descriptor >= 0:
                os.close(directory.descriptor)

    def _open_or_make(
        self, parent: OpenDirectory, name: bytes, wanted: Attributes
    ) -> tuple[int, bool]:
        """Descriptor of a directory, and whether it was made."""
        if self._options.dry_run:
            return self._look(parent, name, wanted), False
        try:
            # For this user alone until it has its own mode: its content is not for everyone.
            os.mkdir(name, 0o700, dir_fd=parent.descriptor)
            return os.open(name, _FLAGS, dir_fd=parent.descriptor), True
        except FileExistsError:
            pass
        try:
            descriptor = self._open_existing(parent.descriptor, name)
        except OSError as error:
            if error.errno not in _NOT_A_DIRECTORY:
                raise
            self._check_replaceable(parent, name, wanted)
            os.unlink(name, dir_fd=parent.descriptor)
            os.mkdir(name, 0o700, dir_fd=parent.descriptor)
            return os.open(name, _FLAGS, dir_fd=parent.descriptor), True
        remove_temporaries(descriptor)
        return descriptor, False

    def _look(self, parent: OpenDirectory, name: bytes, wanted: Attributes) -> int:
        """The descriptor of a directory if it is there, else -1; changes nothing."""
        if parent.descriptor < 0:
            return -1
        try:
            return os.open(name, _FLAGS, dir_fd=parent.descriptor)
        except FileNotFoundError:
            return -1
        except OSError as error:
            if error.errno not in _NOT_A_DIRECTORY:
                raise
        self._check_replaceable(parent, name, wanted)
        return -1

    def _check_replaceable(self, parent: OpenDirectory, name: bytes, wanted: Attributes) -> None:
        found = os.stat(name, dir_fd=parent.descriptor, follow_symlinks=False)
        if not may_replace(self._options.overwrite, wanted, existing_mtime_ns=found.st_mtime_ns):
            raise _KeptError

    def _open_existing(self, parent: int, name: bytes) -> int:
        """Open a directory that is there; its owner may lack permissions, until it is left."""
        if self._options.overwrite is Overwrite.NEVER or os.geteuid() == 0:
            return os.open(name, _FLAGS, dir_fd=parent)
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            status = os.fstat(handle)
            if status.st_mode & 0o700 != 0o700 and status.st_uid == os.geteuid():
                os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(status.st_mode) | 0o700)
            return os.open(".", _FLAGS, dir_fd=handle)
        finally:
            os.close(handle)


class _KeptError(Exception):
    """What is in a directory's place is not to be replaced."""


def remove_temporaries(descriptor: int) -> None:
    """Remove what a broken run has left in a directory that is open."""
    with os.scandir(descriptor) as entries:
        left = [entry.name for entry in entries if os.fsencode(entry.name).startswith(TEMPORARY)]
    for name in left:
        try:
            os.unlink(name, dir_fd=descriptor)
        except OSError:
            continue  # a directory, or another's: not ours


def open_inner(root: int, inner: bytes) -> int:
    """Open a directory by its path within the target, through no symbolic link."""
    descriptor = os.dup(root)
    for name in filter(None, inner.split(b"/")):
        try:
            deeper = os.open(name, _FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor


def is_full_directory(directory: OpenDirectory, name: bytes) -> bool:
    """Whether a directory with something in it has this name: nothing can be moved to its place."""
    if directory.descriptor < 0:
        return False
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=directory.descriptor)
    except OSError:
        return False
    try:
        with os.scandir(descriptor) as entries:
            return next(entries, None) is not None
    finally:
        os.close(descriptor)
