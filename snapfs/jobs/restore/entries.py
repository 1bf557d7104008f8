"""Making what is not a directory: each under a temporary name, then moved to its place.

Everything here blocks and runs in threads. What cannot be made becomes a finding; a disk that is
full ends the restore.
"""

import errno
import itertools
import os
import stat
from collections.abc import Sequence

import msgspec

from snapfs.jobs.restore.attributes import AS_ROOT, raise_if_fatal, set_attributes
from snapfs.jobs.restore.directory import TEMPORARY, open_inner
from snapfs.jobs.restore.drafts import Draft, ReadBackError
from snapfs.jobs.restore.groups import Group
from snapfs.jobs.restore.links import FirstName
from snapfs.jobs.restore.report import Account
from snapfs.jobs.restore.walk import Task
from snapfs.model.finding import Trouble
from snapfs.model.identity import BlockKey

_NO_LINK = "hard links cannot be made; this is a copy"
_UNLINKABLE = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP)
_FAILURES = (OSError, ReadBackError, ValueError, OverflowError)
"what keeps an entry from being made; the last two, numbers and names that no system call takes"
_DIRECTORY_THERE = (errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)


class Held(msgspec.Struct, frozen=True):
    """The content of a small file, in memory."""

    group: Group
    blocks: Sequence[bytes | memoryview]
    keys: tuple[BlockKey | None, ...]
    "of its blocks, if it is to be verified; else empty"


class Maker:
    """Makes entries below one target. May be used from several threads."""

    def __init__(
        self, root: int, token: bytes, tally: Account, *, sparse: bool, block_id_key: bytes
    ) -> None:
        self._root = root
        self._prefix = TEMPORARY + token + b"-"
        self._numbers = itertools.count()
        self._tally = tally
        self._sparse = sparse
        self._block_id_key = block_id_key

    def make(self, task: Task, held: Held | None) -> FirstName | None:
        """Make one entry, a file with its content; None where that failed, as reported."""
        if task.same:
            return self._keep(task)
        try:
            if task.wanted.is_file:
                return self._make_file(task, held)
            return self._make_special(task)
        except _FAILURES as error:
            self._failed(task, error)
            return None

    def begin(self, task: Task) -> Draft:
        """An empty file for a task, of its size. Raises OSError."""
        draft = Draft.create(task.directory.descriptor, self._temporary())
        with draft:
            draft.reserve(task.wanted.size, task.content, sparse=self._sparse)
        return draft

    def finish(self, task: Task, draft: Draft) -> FirstName:
        """Give a file that is written its attributes and its name. Raises OSError.

        Attributes come BEFORE the name: nothing half-done ever stands under it.
        """
        status = set_attributes(draft.descriptor, task.wanted, task.path, self._tally)
        draft.close()
        self._place(task, draft.temporary)
        return self._made(task, status)

    def link(self, task: Task, first: FirstName) -> bool:
        """Make a further name of an inode; False where it can't be, and a copy must do."""
        try:
            if self._is_inode(task.directory.descriptor, task.name, first):
                self._tally.skipped(task.wanted, task.path)
                return True
            if not self._link_new(task, first):
                return False
        except _FAILURES as error:
            if not (isinstance(error, OSError) and error.errno in _UNLINKABLE):
                self._failed(task, error)
                return True
            self._tally.unset(f"{_NO_LINK} ({error.strerror})", task.path)
            return False
        self._tally.linked(task.path)
        return True

    def report_error(self, task: Task, error: OSError) -> None:
        """Tell of an entry that could not be made. Raises LocalError for a disk that is full."""
        raise_if_fatal(error, task.path)
        wanted = task.wanted
        if error.errno == errno.EPERM and wanted.is_device:
            self._tally.unset("device files could not be made", task.path, advice=AS_ROOT)
            return
        self._tally.found(Trouble.REFUSED, task.path, f"could not be made: {error.strerror}")

    def _failed(self, task: Task, error: Exception) -> None:
        match error:
            case ReadBackError():
                detail = "did not read back from the disk as it was written"
                self._tally.found(Trouble.DAMAGED, task.path, detail)
            case OSError():
                self.report_error(task, error)
            case _:
                detail = f"cannot be on this system: {error}"
                self._tally.found(Trouble.REFUSED, task.path, detail)

    def _make_file(self, task: Task, held: Held | None) -> FirstName:
        with self.begin(task) as draft:
            if held is not None:
                draft.write(held.group, held.blocks)
                self._verify(draft, held)
            return self.finish(task, draft)

    def _keep(self, task: Task) -> FirstName | None:
        """The first of several names, which is there as it should be."""
        try:
            status = os.stat(task.name, dir_fd=task.directory.descriptor, follow_symlinks=False)
        except _FAILURES as error:
            self._failed(task, error)
            return None
        self._tally.skipped(task.wanted, task.path)
        return FirstName(task.directory.join_inner(task.name), status.st_dev, status.st_ino)

    def _verify(self, draft: Draft, held: Held) -> None:
        if held.keys:
            draft.forget_pages()
            draft.verify(held.group, held.keys, self._block_id_key)

    def _make_special(self, task: Task) -> FirstName:
        """A link, device, fifo or socket."""
        directory, temporary = task.directory.descriptor, self._temporary()
        wanted = task.wanted
        if wanted.is_symlink:
            os.symlink(wanted.target, temporary, dir_fd=directory)
        else:
            kind = stat.S_IFMT(wanted.mode)
            os.mknod(temporary, kind | 0o600, wanted.rdev, dir_fd=directory)
        try:
            status = self._set_special(task, temporary)
            self._place(task, temporary)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise
        return self._made(task, status)

    def _set_special(self, task: Task, temporary: bytes) -> os.stat_result:
        # A fifo or device must not be opened; an O_PATH descriptor stands for the inode itself,
        # and its name in /proc is followed to it and no further, be it a link.
        handle = os.open(
            temporary,
            os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
            dir_fd=task.directory.descriptor,
        )
        try:
            status = os.fstat(handle)
            ours = (stat.S_IFMT(task.wanted.mode), 1, os.geteuid())
            if (stat.S_IFMT(status.st_mode), status.st_nlink, status.st_uid) != ours:
                raise OSError(errno.EPERM, "another process put something in its place")
            return set_attributes(f"/proc/self/fd/{handle}", task.wanted, task.path, self._tally)
        finally:
            os.close(handle)

    def _link_new(self, task: Task, first: FirstName) -> bool:
        """Link to where the first name is, if it is still the inode that was made."""
        temporary = self._temporary()
        inner, _, name = first.path.rpartition(b"/")
        try:
            source = open_inner(self._root, inner)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            if not self._is_inode(source, name, first):
                return False
            directory = task.directory.descriptor
            os.link(name, temporary, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(source)
        try:
            self._place(task, temporary)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise
        return True

    def _is_inode(self, directory: int, name: bytes, first: FirstName) -> bool:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == (first.device, first.inode)

    def _place(self, task: Task, temporary: bytes) -> None:
        """Move an entry to its name; what is there is replaced, an empty directory as well."""
        directory = task.directory.descriptor
        try:
            os.rename(temporary, task.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            if error.errno not in _DIRECTORY_THERE:
                raise
            os.rmdir(task.name, dir_fd=directory)
            os.rename(temporary, task.name, src_dir_fd=directory, dst_dir_fd=directory)

    def _made(self, task: Task, status: os.stat_result) -> FirstName:
        self._tally.made(task.wanted, task.path)
        return FirstName(task.directory.join_inner(task.name), status.st_dev, status.st_ino)

    def _temporary(self) -> bytes:
        return self._prefix + b"%d" % next(self._numbers)
