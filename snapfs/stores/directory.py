"""A store in a directory: the default, which needs no server.

An object is a file of its name. Several processes and machines may share the directory.
"""

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import trio

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
from snapfs.stores.paging import PAGE, Pages
from snapfs.stores.walking import walk

_THREADS = 16

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PASSING = frozenset({errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"a network file system that is away for a while; too many open files"

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_T = TypeVar("_T")


class DirectoryStore:
    """Objects as files below `root`, which must exist when it is used (see `create`)."""

    def __init__(self, root: Path) -> None:
        self._root = str(root.absolute())
        self._known_folders: set[str] = set()
        self._threads = trio.CapacityLimiter(_THREADS)

    @classmethod
    async def create(cls, root: Path) -> "DirectoryStore":
        """Make the directory, and its parents, where they are missing.

        Raises StoreError.
        """
        store = cls(root)
        await store._in_thread(_make_root, store, Path(store._root))
        return store

    @property
    def url(self) -> str:
        return Path(self._root).as_uri()

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        check_range(start, length)
        return await self._in_thread(self._get, check_name(name), start, length)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._in_thread(self._put, check_name(name), data, if_absent)

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        found = walk(self._root, prefix, after)

        async def next_page() -> Sequence[Listed]:
            return await self._in_thread(self._next_page, found)

        return Pages(next_page)

    async def delete(self, name: str) -> None:
        await self._in_thread(self._delete, check_name(name))

    async def aclose(self) -> None:
        """Nothing to release."""

    async def sweep(self, *, before: float) -> int:
        return await self._in_thread(self._sweep, before)

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        # A file system over a network may hang for minutes: cancelling must not wait for it.
        return await trio.to_thread.run_sync(
            lambda: work(*arguments), limiter=self._threads, abandon_on_cancel=True
        )

    def _get(self, name: str, start: int, length: int | None) -> bytes:
        with self._translated(name):
            try:
                return self._read(name, start, length)
            except _ABSENT as error:
                self._check_root()
                raise ObjectNotFoundError(f"{self.url}/{name}: no such object") from error

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

    def _put(self, name: str, data: bytes, if_absent: bool) -> None:
        *components, last = name.split("/")
        with self._translated(name):
            # The folders reach the disk before the object that lies in them is reported stored.
            folder = make_folders(self._root, components, self._known_folders)
            try:
                publish(folder, last, data, exclusive=if_absent)
            except FileExistsError as error:
                raise ObjectExistsError(f"{self.url}/{name}: exists already") from error

    def _next_page(self, found: Iterator[Listed]) -> Sequence[Listed]:
        with self._translated(""):
            return tuple(islice(found, PAGE))

    def _delete(self, name: str) -> None:
        with self._translated(name):
            try:
                os.unlink(os.path.join(self._root, name))
            except _ABSENT:
                self._check_root()

    def _sweep(self, before: float) -> int:
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


def _make_root(store: DirectoryStore, root: Path) -> None:
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(str(folder.parent))
    except OSError as error:
        raise _store_error(f"{root}: {error.strerror}", error.errno) from error
    if not root.is_dir():
        raise StoreError(f"{root}: is not a directory")
