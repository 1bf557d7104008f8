"""Passes over all entries or nodes, by several connections at once: each takes ranges of numbers.

SQLite has one core answer a query, and such a pass is bound by it.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from snapfs.metadata.database import Database, Row, Value

_CONNECTIONS = 2
"at most: with more than two cores nobody has measured it"
_WORTHWHILE = 16 * 1024 * 1024
"bytes of a database; one connection is through less before the others have begun"
_RANGES, _WIDEST = 4, 2000
"""for each connection, as some directories are larger than others; and numbers in one at most, as
some queries give one row for a range"""
_BATCH, _BATCHES = 256, 8
"rows that are handed over at once, and how often before somebody has taken some"

_STEPS = 100_000
"of SQLite's machine, a millisecond or so, after which a thread looks whether it is to end"


def sweep(
    db: Database,
    sql: str,
    values: Sequence[Value] = (),
    *,
    prepare: Callable[[Database], None],
    over: str = "directory",
    connections: int | None = None,
) -> Generator[Row, None, None]:
    """The rows of a query about what lies above number ?1 and up to ?2; `values` are from ?3 on.

    `over` is the table whose numbers these are. The rows come in order of the ranges, and within
    each as the query has them. `prepare` makes the temporary tables that the query needs, on each
    connection that asks it. By default as many connections as there are cores share a database that
    is large. Raises what the query raises.
    """
    last = db.row(f"SELECT coalesce(max(number), 0) FROM {over}") or (0,)
    count = connections or _worthwhile(db)
    ranges = _ranges(int(last[0]), count)
    if count == 1:
        prepare(db)
        for range_ in ranges:
            yield from db.stream(sql, (range_.low, range_.high, *values))
        return
    with _Pass(db, sql, values, prepare, ranges, count) as pass_:
        yield from pass_.rows()


@dataclass(slots=True, eq=False)
class _Range:
    low: int
    high: int
    batches: deque[list[Row]] = field(default_factory=deque)
    done: bool = False


class _Pass:
    """What the threads of one pass share."""

    def __init__(
        self, db: Database, sql: str, values: Sequence[Value],
        prepare: Callable[[Database], None], ranges: list[_Range], threads: int,
    ) -> None:  # fmt: skip
        self._path = db.path
        self._sql = sql
        self._values = values
        self._prepare = prepare
        self._ranges = ranges
        self._todo = deque(ranges)
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name="sweep", daemon=True) for _ in range(threads)
        ]

    def __enter__(self) -> "_Pass":
        try:
            for thread in self._threads:
                thread.start()
        except BaseException as error:
            # One thread does as well, where the system gives no second one.
            if not isinstance(error, RuntimeError) or self._threads[0].ident is None:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads, wherever they are: nobody reads on, or all is read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join()

    def rows(self) -> Iterator[Row]:
        """All rows, in order of the ranges."""
        for range_ in self._ranges:
            while (batch := self._next(range_)) is not None:
                yield from batch

    def _next(self, range_: _Range) -> list[Row] | None:
        with self._changed:
            self._changed.wait_for(lambda: range_.batches or range_.done or self._error)
            if self._error is not None:
                raise self._error
            self._changed.notify_all()
            return range_.batches.popleft() if range_.batches else None

    def _work(self) -> None:
        try:
            with Database.open_readonly(self._path, whole=True) as db:
                db.connection.set_progress_handler(lambda: self._ended, _STEPS)
                self._prepare(db)
                while (range_ := self._take()) is not None:
                    self._ask(db, range_)
        except BaseException as error:  # noqa: BLE001  # whoever reads is to have it
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _take(self) -> _Range | None:
        with self._changed:
            return self._todo.popleft() if self._todo and not self._ended else None

    def _ask(self, db: Database, range_: _Range) -> None:
        rows = db.stream(self._sql, (range_.low, range_.high, *self._values))
        while batch := list(islice(rows, _BATCH)):
            with self._changed:
                self._changed.wait_for(lambda: len(range_.batches) < _BATCHES or self._ended)
                if self._ended:
                    return
                range_.batches.append(batch)
                self._changed.notify_all()
        with self._changed:
            range_.done = True
            self._changed.notify_all()


def _worthwhile(db: Database) -> int:
    """How many connections are to share a pass."""
    pages = db.row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    if pages is None or pages[0] < _WORTHWHILE:
        return 1
    return min(_CONNECTIONS, len(os.sched_getaffinity(0)))


def _ranges(last: int, connections: int) -> list[_Range]:
    count = max(connections * _RANGES, last // _WIDEST)
    edges = [last * at // count for at in range(count + 1)]
    return [_Range(low, high) for low, high in pairwise(edges) if low < high]
