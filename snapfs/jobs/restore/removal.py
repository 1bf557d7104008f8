"""Removing from the target what the snapshot does not have, and nothing else.

Everything is reached through descriptors of directories, never through a link. What is mounted in
a directory that is to go stays, and so do directories that the repository itself needs.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.errors import UsageError
from snapfs.jobs.restore.attributes import raise_if_fatal
from snapfs.jobs.restore.choice import Inside, Whole
from snapfs.jobs.restore.directory import TEMPORARY, OpenDirectory
from snapfs.jobs.restore.options import RestoreOptions
from snapfs.jobs.restore.places import Inode
from snapfs.jobs.restore.report import Tally
from snapfs.model.finding import Trouble

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPARED = "belongs to the repository or to what this machine knows of it: nothing in it is removed"


def check(whole: Whole, options: RestoreOptions) -> None:
    """Raise UsageError for what nobody means who asks to remove things."""
    target = os.path.realpath(options.target)
    shown = os.fsdecode(target)
    if target == b"/":
        raise UsageError(
            "--delete must not empty the system that runs it",
            hint="mount the disk elsewhere, and name that directory with --target",
        )
    top = whole.top(options.path)
    if top is None:
        return
    if not top.inside:
        raise UsageError(
            f"--delete is for directories, and {os.fsdecode(options.path)} is none",
            hint="leave --delete away: only what has its name is replaced",
        )
    if next(whole.items(top.inside), None) is None:
        raise UsageError(
            f"{os.fsdecode(options.path)} is empty in the snapshot: --delete would empty {shown}",
            hint="was the disk mounted when the snapshot was taken? 'snapfs history' shows more",
        )


@dataclass(slots=True)
class _Doomed:
    """A directory whose content is being removed."""

    name: bytes
    path: bytes
    descriptor: int
    names: Iterator[bytes]
    kept: bool = False
    "something stays in it, which is reported"


class Removal:
    """Removes entries of the target. For one thread at a time."""

    def __init__(
        self, whole: Whole, tally: Tally, spared: frozenset[Inode], *, dry_run: bool
    ) -> None:
        self._whole = whole
        self._tally = tally
        self._spared = spared
        self._dry_run = dry_run

    def purge(self, directory: OpenDirectory, inside: Inside) -> None:
        """Remove what is in a directory of the target and not in that of the snapshot.

        What cannot be removed becomes a finding. Raises LocalError where the disk is read-only.
        """
        if directory.descriptor < 0:
            return
        if Inode.of(os.fstat(directory.descriptor)) in self._spared:
            self._tally.found(Trouble.REFUSED, directory.path, _SPARED)
            return
        names = self._names(directory.descriptor, directory.path)
        while name := next(names, b""):
            # Those of a broken run are gone before this, unless this is a dry run.
            if not name.startswith(TEMPORARY) and not self._whole.has(inside, name):
                self._remove(directory.descriptor, name, directory.join(name))

    def clear(self, directory: OpenDirectory, name: bytes) -> None:
        """Remove the content of a directory that stands where something else is to be."""
        if directory.descriptor < 0 or directory.fresh:
            return
        if self._is_directory(directory.descriptor, name):
            self._empty(directory.descriptor, name, directory.join(name))

    def _remove(self, parent: int, name: bytes, path: bytes) -> None:
        """Remove an entry with all that is in it."""
        if not self._is_directory(parent, name):
            self._unlink(parent, name, path)
        elif self._empty(parent, name, path):
            self._remove_empty(parent, name, path)

    def _empty(self, parent: int, name: bytes, path: bytes) -> bool:
        """Remove all that is in a directory, however deep; False if something stays."""
        levels: list[_Doomed] = []
        top = self._open(parent, name, path)
        if top is None:
            return False
        levels.append(top)
        try:
            while True:
                level = levels[-1]
                inner = next(level.names, None)
                if inner is not None:
                    self._go_on(levels, inner)
                    continue
                os.close(levels.pop().descriptor)
                if not levels:
                    return not level.kept
                above = levels[-1]
                above.kept |= level.kept or not self._remove_empty(
                    above.descriptor, level.name, level.path
                )
        finally:
            for level in levels:
                os.close(level.descriptor)

    def _go_on(self, levels: list[_Doomed], name: bytes) -> None:
        """Remove an entry of the last level, or add it as the next one."""
        level = levels[-1]
        path = level.path + b"/" + name
        if not self._is_directory(level.descriptor, name):
            level.kept |= not self._unlink(level.descriptor, name, path)
            return
        deeper = self._open(level.descriptor, name, path)
        if deeper is None:
            level.kept = True
        else:
            levels.append(deeper)

    def _open(self, parent: int, name: bytes, path: bytes) -> _Doomed | None:
        try:
            descriptor = os.open(name, _FLAGS, dir_fd=parent)
        except OSError as error:
            self._failed(error, path)
            return None
        spared = Inode.of(os.fstat(descriptor)) in self._spared
        if spared or _mount(descriptor) != _mount(parent):
            os.close(descriptor)
            reason = _SPARED if spared else "is where something is mounted, and stays"
            self._tally.found(Trouble.REFUSED, path, reason)
            return None
        return _Doomed(name, path, descriptor, self._names(descriptor, path))

    def _names(self, descriptor: int, path: bytes) -> Iterator[bytes]:
        """The names in a directory. What is removed meanwhile does not disturb the listing."""
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    yield os.fsencode(entry.name)
        except OSError as error:
            self._failed(error, path)

    def _is_directory(self, parent: int, name: bytes) -> bool:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False  # what is done about it next meets the same error, and says so
        return stat.S_ISDIR(status.st_mode)

    def _unlink(self, parent: int, name: bytes, path: bytes) -> bool:
        try:
            if not self._dry_run:
                os.unlink(name, dir_fd=parent)
        except OSError as error:
            return self._failed(error, path)
        self._tally.removed(path)
        return True

    def _remove_empty(self, parent: int, name: bytes, path: bytes) -> bool:
        try:
            if not self._dry_run:
                os.rmdir(name, dir_fd=parent)
        except OSError as error:
            return self._failed(error, path)
        self._tally.removed(path)
        return True

    def _failed(self, error: OSError, path: bytes) -> bool:
        raise_if_fatal(error, path)
        self._tally.found(Trouble.REFUSED, path, f"could not be removed: {error.strerror}")
        return False


def _mount(descriptor: int) -> bytes:
    """Which mount a directory is reached through: a bind mount has the device of what it shows."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as lines:
        return next((line for line in lines if line.startswith(b"mnt_id:")), b"")
