"""Questions in the user's own SQL, over documented views; nothing can be changed by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import apsw

from snapfs.errors import SnapfsError, UsageError
from snapfs.metadata.database import Database, Row, translate
from snapfs.metadata.moments import Moments
from snapfs.metadata.paths import Paths

VIEWS = ("sources", "snapshots", "files", "blocks", "packs")
_HINT = f"only SELECT, and only from the views {', '.join(VIEWS)}: see docs/sql.md"
_REFUSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a query, its rows still to be read."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


class Views:
    """The views, as temporary ones of a read-only connection that is used for nothing else.

    `lookups` is another connection to the same database: what the functions in a query look up is
    not for the user to be allowed.
    """

    def __init__(self, db: Database, lookups: Database) -> None:
        self._db = db
        sources = [number for (number,) in db.rows("SELECT number FROM source")]
        Moments(db, sources)
        db.execute(
            "CREATE TEMP TABLE live (anchor, number, PRIMARY KEY (anchor, number)) WITHOUT ROWID"
        )
        db.execute("INSERT INTO temp.live SELECT anchor, number FROM temp.moment WHERE counts")
        self._add_functions(Paths(lookups))
        db.execute(resources.files(__package__).joinpath("views.sql").read_text())
        db.connection.authorizer = _authorize

    def ask(self, sql: str) -> Answer:
        """Run one query. Raises UsageError where it is none, or asks for more than the views."""
        columns: list[str] = []
        cursor = self._db.connection.cursor()

        def begin(cursor: apsw.Cursor, _sql: str, _values: object) -> bool:
            # Here, and not behind the first step, because a query without rows has columns too.
            if columns:
                return False
            columns.extend(str(column[0]) for column in cursor.get_description())
            return True

        cursor.exec_trace = begin
        try:
            cursor.execute(sql)
        except apsw.Error as error:
            raise _refusal(error, self._db.path) from error
        if not columns:
            raise UsageError("there is no query in this", hint=_HINT)
        return Answer(tuple(columns), self._rows(cursor))

    def _rows(self, cursor: apsw.Cursor) -> Iterator[Row]:
        try:
            yield from cursor
        except apsw.Error as error:
            raise _refusal(error, self._db.path) from error

    def _add_functions(self, paths: Paths) -> None:
        def path(*values: object) -> str | None:
            directory, name = values
            assert isinstance(directory, int) and isinstance(name, bytes)
            return _text(paths.entry(directory, name))

        connection = self._db.connection
        connection.create_scalar_function("text", _text, 1, deterministic=True)
        connection.create_scalar_function("path", path, 2, deterministic=True)


def _text(*values: object) -> str | None:
    """A name as text; bytes that are no UTF-8 become U+FFFD."""
    (name,) = values
    return name.decode(errors="replace") if isinstance(name, bytes) else None


def _authorize(
    action: int, one: str | None, two: str | None, database: str | None, within: str | None
) -> int:
    """What a statement may do: select, call functions, and read the views, which read the tables.

    No boundary against whoever owns the database file: it keeps what is no promise out of sight.
    """
    if action in (apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE):
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_FUNCTION:
        return apsw.SQLITE_DENY if two in _REFUSED_FUNCTIONS else apsw.SQLITE_OK
    if action == apsw.SQLITE_READ:
        # Without a column it is only that rows are counted; within which view is not said then.
        known = within in VIEWS or one in VIEWS or one in _TABLE_FUNCTIONS
        return apsw.SQLITE_OK if known or not two or not database else apsw.SQLITE_DENY
    return apsw.SQLITE_DENY


def _refusal(error: apsw.Error, path: Path) -> SnapfsError:
    """What a failed query means: mostly that the user's SQL is wrong."""
    if isinstance(error, apsw.AuthError):
        return UsageError(f"that may not be asked here ({error})", hint=_HINT)
    if isinstance(error, apsw.ExecTraceAbort):
        return UsageError("one query at a time, please", hint=_HINT)
    if isinstance(error, apsw.SQLError | apsw.BindingsError | apsw.MismatchError | apsw.RangeError):
        return UsageError(f"SQLite does not take this query: {error}", hint=_HINT)
    return translate(error, path)
