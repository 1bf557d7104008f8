"""A store in a directory: the default, which needs no server.

An object is a file of its name. Several processes and machines may share the directory.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from snapfs.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooShortError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from snapfs.stores.base import Listed
from snapfs.stores.durable import TEMPORARY, fsync_folder, make_folders, publish
from snapfs.stores.names import check_name, check_range
from snapfs.stores.paging import PAGE
from snapfs.stores.walking import walk

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PASSING = frozenset({errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"a network file system that is away for a while; too many open files"

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Files:
    """Objects as files below `root`, which must exist when it is used (see `create`).

    Safe to call from many threads.
    """

    at_once = 16

    def __init__(self, root: Path) -> None:
        self._root = str(root.absolute())
        self._known_folders: set[str] = set()

    @classmethod
    def create(cls, root: Path) -> "Files":
        """Make the directory, and its parents, where they are missing. Raises StoreError."""
        files = cls(root)
        _make_root(Path(files._root))
        return files

    def close(self) -> None:
        """Nothing to release."""

    @property
    def url(self) -> str:
        """As `Verbs.url`."""
        return Path(self._root).as_uri()

    def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        """As `Verbs.get`."""
        check_range(start, length)
        check_name(name)
        with self._translated(name):
            try:
                return self._read(name, start, length)
            except _ABSENT as error:
                self._check_root()
                raise ObjectNotFoundError(f"{self.url}/{name}: no such object") from error

    def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        """As `Verbs.put`."""
        *components, last = check_name(name).split("/")
        with self._translated(name):
            # The folders reach the disk before the object that lies in them is reported stored.
            folder = make_folders(self._root, components, self._known_folders)
            try:
                publish(folder, last, data, exclusive=if_absent)
            except FileExistsError as error:
                raise ObjectExistsError(f"{self.url}/{name}: exists already") from error

    def pages(self, prefix: str, *, after: str = "") -> Iterator[Sequence[Listed]]:
        """As `Verbs.pages`."""
        with self._translated(""):
            found = walk(self._root, prefix, after)
            while page := tuple(islice(found, PAGE)):
                yield page

    def delete(self, name: str) -> None:
        """As `Verbs.delete`."""
        with self._translated(check_name(name)):
            try:
                os.unlink(os.path.join(self._root, name))
            except _ABSENT:
                self._check_root()

    def sweep(self, *, before: float) -> int:
        """As `Verbs.sweep`."""
        removed = 0
        with self._translated(""):
            for folder, _, files in os.walk(self._root):
                for path in (os.path.join(folder, f) for f in files if f.startswith(TEMPORARY)):
                    # A writer that ends meanwhile removes its own.
                    with suppress(FileNotFoundError):
                        if os.stat(path).st_mtime < before:
                            os.unlink(path)
                            removed += 1
        return removed

    def _read(self, name: str, start: int, length: int | None) -> bytes:
        with open(os.path.join(self._root, name), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            end = size if length is None else start + length
            if end > size or (start and start >= end):
                raise ObjectTooShortError(f"{self.url}/{name}: has only {size} bytes")
            data = os.pread(file.fileno(), end - start, start)
        if len(data) != end - start:
            raise StoreUnavailableError(f"{self.url}/{name}: read {len(data)} of {end - start}")
        return data

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._check_root()
            raise _store_error(f"{self.url}/{name}: {error.strerror}", error.errno) from error

    def _check_root(self) -> None:
        """A disk that is not mounted must not pass for a repository without objects."""
        if not os.path.isdir(self._root):
            raise StoreError(
                f"{self._root}: no such directory",
                hint="Is its disk mounted? `snapfs init` makes a new repository.",
            )


def _store_error(what: str, code: int | None) -> StoreError:
    if code in _FULL:
        return StoreFullError(what, hint="Make room on that file system, or raise the quota.")
    if code in _FORBIDDEN:
        return StoreError(what, hint="The user that runs snapfs must be able to read and write it.")
    if code in _PASSING:
        return StoreUnavailableError(what)
    return StoreError(what)


def _make_root(root: Path) -> None:
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(str(folder.parent))
    except OSError as error:
        raise _store_error(f"{root}: {error.strerror}", error.errno) from error
    if not root.is_dir():
        raise StoreError(f"{root}: is not a directory")
