"""An SQLite database: opening, reading, transactions, and what its errors mean to a user."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from snapfs.errors import LocalError, SnapfsError, ViewDamagedError

log = logging.getLogger(__name__)

Value = int | str | bytes | float | None
Row = tuple[Any, ...]
"its columns have the types of the schema, whose tables are STRICT; mypy cannot know them"

_BUSY_MILLISECONDS = 60_000
"writers hold the lock for one bounded piece; a minute means that one hangs"
_MAPPED = 32 * 1024 * 1024
"""bytes at the start of each file that are read without a copy. More makes the process look as
large as the database, and look-ups were no quicker for it when measured."""
_ALL = 2**40
"""bytes: SQLite takes as much of it as it can map. Two connections that copy their pages are hardly
quicker than one; with all mapped they take half its time."""


class Database:
    """One connection. May be used by several threads, by one at a time."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self.connection = connection
        self.path = path

    @classmethod
    def create_or_open(cls, path: Path, schema: str, version: int) -> "Database":
        """Open `path` for writing; if it is new, create the tables of `schema` in it.

        `schema` names a file of this package. Raises LocalError, and ViewDamagedError where the
        file is no sound database or of another schema version.
        """
        with translated(path):
            database = cls(_connect(path, readonly=False), path)
            database._install(schema, version)
        return database

    @classmethod
    def open_readonly(cls, path: Path, *, whole: bool = False) -> "Database":
        """Open an existing database for reading only; `whole` for what will read most of it."""
        with translated(path):
            connection = _connect(path, readonly=True)
            if whole:
                connection.pragma("mmap_size", _ALL)
            return cls(connection, path)

    def give_up_durability(self) -> None:
        """For a database that is thrown away whatever happens: no waiting for the disk, and no log.

        For its one connection, right after it was created. Transactions can still be taken back.
        """
        with translated(self.path):
            self.connection.pragma("synchronous", "off")
            # Each page is written once, where a log beside it would have it written twice.
            self.connection.pragma("journal_mode", "memory")

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; further use is an error."""
        self.connection.close()

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query whose result is bounded by the question."""
        try:
            return list(self.connection.execute(sql, values))
        except apsw.Error as error:
            raise translate(error, self.path) from error

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or None."""
        try:
            row: Row | None = self.connection.execute(sql, values).fetchone()
        except apsw.Error as error:
            raise translate(error, self.path) from error
        return row

    def stream(self, sql: str, values: Sequence[Value] = ()) -> Iterator[Row]:
        """The rows of a query of any length, one after the other."""
        try:
            yield from self.connection.execute(sql, values)
        except apsw.Error as error:
            raise translate(error, self.path) from error

    def execute(self, sql: str, values: Sequence[Value] = ()) -> None:
        """A statement without result."""
        try:
            self.connection.execute(sql, values)
        except apsw.Error as error:
            raise translate(error, self.path) from error

    def execute_many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        """A statement for each of `values`."""
        try:
            self.connection.executemany(sql, values)
        except apsw.Error as error:
            raise translate(error, self.path) from error

    def changed(self, sql: str, values: Iterable[Sequence[Value]]) -> int:
        """How many rows a statement for each of `values` has inserted or changed."""
        before = self.connection.total_changes()
        self.execute_many(sql, values)
        return int(self.connection.total_changes()) - before

    def returned(self, sql: str, values: Iterable[Sequence[Value]]) -> list[Row]:
        """What a statement with RETURNING gives for each of `values`, which are a bounded page."""
        try:
            return list(self.connection.executemany(sql, values))
        except apsw.Error as error:
            raise translate(error, self.path) from error

    def version(self) -> int:
        """A number that is another one whenever other connections have changed the database."""
        with translated(self.path):
            return int(self.connection.data_version())

    def attach(self, path: Path, name: str) -> None:
        """Make another database's tables readable, not writable, as `name.table`."""
        self.execute("ATTACH ? AS " + name, (f"file:{_quoted(path)}?mode=ro",))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that holds the write lock from its beginning."""
        with translated(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with translated(self.path):
                self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A transaction for many changes of temporary tables, which cost thrice as much alone."""
        self.execute("SAVEPOINT many")
        try:
            yield
        finally:
            self.execute("RELEASE many")

    def _install(self, schema: str, version: int) -> None:
        with self.writing():
            found = self.connection.pragma("user_version")
            if found == version:
                return
            if found != 0 or self.row("SELECT 1 FROM sqlite_schema LIMIT 1"):
                raise ViewDamagedError(
                    f"{self.path}: is of schema {found}, this program's is {version}",
                    hint="it is only a copy: 'snapfs repair' builds it again",
                )
            from importlib import resources  # which takes a while to load, for once

            text = resources.files(__package__).joinpath(schema).read_text()
            self.connection.execute(text)
            self.connection.execute(f"PRAGMA user_version = {version}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn apsw's errors into ours; `path` is the database that they are about."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error, path) from error


def translate(error: apsw.Error, path: Path) -> SnapfsError:
    """What an error of SQLite means to the user."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.ConstraintError):
        return ViewDamagedError(
            f"{path}: the local database is damaged ({error})",
            hint="it is only a copy: 'snapfs repair' builds it again from the repository",
        )
    if isinstance(error, apsw.FullError):
        return LocalError(
            f"{path}: no space left on the disk of the state directory",
            hint="free some space, or set SNAPFS_STATE_DIR to a directory elsewhere",
        )
    return LocalError(
        f"{path}: {error}", hint="is the state directory there, writable, and on a local disk?"
    )


def _connect(path: Path, *, readonly: bool) -> apsw.Connection:
    mode = "ro" if readonly else "rwc"
    flags = apsw.SQLITE_OPEN_URI | (
        apsw.SQLITE_OPEN_READONLY
        if readonly
        else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    )
    connection = apsw.Connection(
        f"file:{_quoted(path)}?mode={mode}", flags=flags, statementcachesize=200
    )
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    # Plans don't depend on values. Else SQLite compiles a statement with a range anew whenever its
    # values change, hoping for a better plan; that takes three times as long as to answer it.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    if not readonly:
        connection.pragma("journal_mode", "wal")
    # A commit that a power failure takes back is applied again from the log: no fsync is needed.
    connection.pragma("synchronous", "normal")
    connection.pragma("cache_size", -16_000)
    connection.pragma("mmap_size", _MAPPED)
    return connection


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
