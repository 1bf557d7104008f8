"""A pass by several connections gives what one would, in the same order, and ends when told to."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import LocalError
from snapfs.metadata import sweep as module
from snapfs.metadata.database import Database, Row
from snapfs.metadata.sweep import sweep
from tests.metadata.making import open_replica

_DIRECTORIES = 300
_FILES = 40
_SQL = (
    "SELECT e.directory, e.name, e.size + t.more FROM temp.told t CROSS JOIN entry e"
    " WHERE e.directory > ?1 AND e.directory <= ?2 AND e.size >= ?3"
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Directories with gaps between their numbers, a few of them much larger than the others."""
    with open_replica(tmp_path / "replica.db").db as db:
        with db.writing():
            db.execute_many(
                "INSERT INTO directory VALUES (?, 1, ?)",
                ((7 * at + 3, b"%d" % at) for at in range(_DIRECTORIES)),
            )
            db.execute_many(
                "INSERT INTO entry VALUES (?, ?, 1, 2, 2, NULL, ?, 1, 0, 0)",
                (
                    (7 * at + 3, b"%05d" % each, at + each)
                    for at in range(_DIRECTORIES)
                    for each in range(_FILES * 100 if at % 30 == 5 else _FILES)
                ),
            )
        yield db


def _prepare(db: Database) -> None:
    db.execute("CREATE TEMP TABLE IF NOT EXISTS told (more)")
    db.execute("INSERT INTO temp.told VALUES (1000)")


def _alone(db: Database) -> list[Row]:
    return [
        (directory, name, size + 1000)
        for directory, name, size in db.rows("SELECT directory, name, size FROM entry")
        if size >= 20
    ]


def _threads() -> int:
    return sum(thread.name == "sweep" for thread in threading.enumerate())


@pytest.mark.parametrize("connections", [None, 1, 2, 3])
def test_the_rows_of_all_directories_come_in_order(db: Database, connections: int | None) -> None:
    found = list(sweep(db, _SQL, (20,), prepare=_prepare, connections=connections))
    assert found == _alone(db)
    assert _threads() == 0


def test_a_view_without_directories_has_nothing(tmp_path: Path) -> None:
    with open_replica(tmp_path / "replica.db").db as db:
        assert list(sweep(db, _SQL, (0,), prepare=_prepare, connections=2)) == []


def test_only_a_large_view_is_shared_among_cores(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    assert module._worthwhile(db) == 1
    monkeypatch.setattr(module, "_WORTHWHILE", 1)
    assert module._worthwhile(db) == 2
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert module._worthwhile(db) == 1


def test_who_reads_slowly_is_waited_for(db: Database) -> None:
    rows = sweep(db, _SQL, (0,), prepare=_prepare, connections=2)
    next(rows)
    time.sleep(0.3)
    pass_ = rows.gi_frame.f_locals["pass_"]
    begun = [range_ for range_ in pass_._ranges if range_.batches]
    assert all(len(range_.batches) <= 8 for range_ in begun)
    assert len(begun) <= 2
    assert _threads() == 2
    assert 1 + sum(1 for _ in rows) == db.rows("SELECT count(*) FROM entry")[0][0]
    assert _threads() == 0


def test_who_stops_reading_ends_the_pass(db: Database) -> None:
    rows = sweep(db, _SQL, (0,), prepare=_prepare, connections=2)
    next(rows)
    rows.close()
    assert _threads() == 0


def test_an_interrupt_ends_what_takes_long(db: Database) -> None:
    sql = (
        "WITH RECURSIVE n (value) AS (SELECT ?1 UNION ALL SELECT value + 1 FROM n"
        " WHERE value < 1000000000) SELECT max(value), ?2 FROM n"
    )

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(sweep(db, sql, prepare=lambda _: None, connections=2))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 30  # it would take minutes
    assert _threads() == 0


@pytest.mark.parametrize("threads", [0, 1])
def test_threads_that_cannot_be_had(
    db: Database, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    start, started = threading.Thread.start, []

    def scarce(thread: threading.Thread) -> None:
        if len(started) >= threads:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    rows = sweep(db, _SQL, (20,), prepare=_prepare, connections=2)
    if threads:
        assert list(rows) == _alone(db)
    else:
        with pytest.raises(RuntimeError):
            list(rows)
    assert _threads() == 0


def test_an_interrupt_while_threads_are_started(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        if started:
            raise KeyboardInterrupt
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(sweep(db, _SQL, (20,), prepare=_prepare, connections=2))
    assert _threads() == 0


def test_no_query_is_about_too_many_numbers_at_once(db: Database) -> None:
    db.execute("INSERT INTO directory VALUES (100000, 1, x'61')")
    for connections in (1, 2):
        found = list(sweep(db, "SELECT ?1, ?2", prepare=lambda _: None, connections=connections))
        assert (found[0][0], found[-1][1]) == (0, 100_000)
        assert all(0 < high - low <= 2000 for low, high in found)


def test_an_error_of_any_thread_is_raised(db: Database) -> None:
    with pytest.raises(LocalError, match="no such table"):
        list(sweep(db, "SELECT * FROM nowhere WHERE ?1 < ?2", prepare=_prepare, connections=2))
    assert _threads() == 0


def test_an_error_that_nobody_foresaw_is_raised(db: Database) -> None:
    def prepare(_: Database) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(sweep(db, _SQL, (0,), prepare=prepare, connections=2))
    assert _threads() == 0
