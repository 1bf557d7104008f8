"""The entries of one directory, sorted by the bytes of their names, in pages and bounded memory.

Names are read to the end before the first page, so that a directory that cannot be read whole is
never taken for a short one. Entries are looked at (lstat) only as their page is made.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import apsw

from snapfs.errors import LocalError
from snapfs.sources.trouble import Report, finding_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BATCH = 10_000
"names that go into the spill file at once"


class Found:
    """An entry of a directory: its name and what lstat said of it.

    A plain class: a frozen dataclass would take three times as long to make, and there is one for
    each file of a source, changed or not.
    """

    __slots__ = ("name", "stat")

    def __init__(self, name: bytes, stat: os.stat_result) -> None:
        self.name = name
        self.stat = stat

    def __repr__(self) -> str:
        return f"Found({self.name!r})"


def list_directory(
    path: bytes,
    *,
    report: Report,
    spill: Path,
    page: int = 4096,
    in_memory: int = 50_000,
) -> Iterator[list[Found]]:
    """The entries of the directory at `path` in order of name, at most `page` at a time.

    A directory of more than `in_memory` names keeps them in a temporary file in `spill`. A name
    that is gone when it is looked at is left out; one that cannot be looked at is left out and
    reported. The last component of `path` is not followed if it is a symbolic link.

    Raises OSError if the directory cannot be opened or not be listed to its end, before anything
    is yielded; LocalError if `spill` cannot be written. The iterator holds a descriptor until it
    ends or is closed.
    """
    descriptor = os.open(path, _DIRECTORY)
    try:
        with os.scandir(descriptor) as entries:
            names = [os.fsencode(entry.name) for entry in islice(entries, in_memory)]
            rest = (os.fsencode(entry.name) for entry in entries)
            one_more = next(rest, None)
            if one_more is not None:
                names.append(one_more)
                yield from _spilled(descriptor, path, names, rest, spill, page, report)
                return
        # A directory that changes meanwhile may give a name twice.
        ordered = sorted(set(names))
        for begin in range(0, len(ordered), page):
            yield _look(descriptor, path, ordered[begin : begin + page], report)
    finally:
        os.close(descriptor)


def _look(descriptor: int, path: bytes, names: list[bytes], report: Report) -> list[Found]:
    stat = os.stat
    try:
        return [Found(name, stat(name, dir_fd=descriptor, follow_symlinks=False)) for name in names]
    except OSError:
        return _look_one_by_one(descriptor, path, names, report)


def _look_one_by_one(
    descriptor: int, path: bytes, names: list[bytes], report: Report
) -> list[Found]:
    # Only for a page in which something went wrong, so that the good path pays for no `try` each.
    found = []
    for name in names:
        try:
            found.append(Found(name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)))
        except FileNotFoundError:
            continue
        except OSError as error:
            report(finding_of(os.path.join(path, name), error))
    return found


def _spilled(
    descriptor: int,
    path: bytes,
    first: list[bytes],
    rest: Iterator[bytes],
    spill: Path,
    page: int,
    report: Report,
) -> Iterator[list[Found]]:
    database = _open_spill(spill)
    try:
        _store(database, first)
        first.clear()
        while batch := list(islice(rest, _BATCH)):
            _store(database, batch)
        names = (name for (name,) in database.execute("SELECT name FROM names ORDER BY name"))
        while batch := _next_names(names, page):
            yield _look(descriptor, path, batch, report)
    finally:
        database.close()


def _open_spill(spill: Path) -> apsw.Connection:
    """A database for one table of names, whose file has no name any more: no crash leaves it."""
    try:
        handle, name = tempfile.mkstemp(prefix="listing-", dir=spill)
        os.close(handle)
    except OSError as error:
        raise LocalError(f"cannot write to {spill}: {error.strerror}") from error
    try:
        database = apsw.Connection(name)
        database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE names (name BLOB PRIMARY KEY) STRICT, WITHOUT ROWID")
    except apsw.Error as error:
        raise LocalError(f"cannot write to {spill}: {error}") from error
    finally:
        os.unlink(name)
    return database


def _store(database: apsw.Connection, names: Iterable[bytes]) -> None:
    try:
        with database:
            database.executemany(
                "INSERT OR IGNORE INTO names VALUES (?)", ((name,) for name in sorted(names))
            )
    except apsw.Error as error:
        raise LocalError(f"cannot keep the names of a large directory: {error}") from error


def _next_names(names: Iterator[bytes], count: int) -> list[bytes]:
    try:
        return list(islice(names, count))
    except apsw.Error as error:
        raise LocalError(f"cannot read the names of a large directory: {error}") from error
