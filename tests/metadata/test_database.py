"""A database that cannot be used says so in the user's words, and what to do."""

import re
import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3

from snapfs.errors import LocalError, ViewDamagedError
from snapfs.formats.records import Tag
from snapfs.metadata.database import Database
from snapfs.metadata.replica import Replica
from snapfs.metadata.schema import VERSION
from tests.metadata.making import add, dump, open_replica, published


def test_garbage_is_a_damaged_view_that_can_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    path.write_bytes(b"no database at all " * 1000)
    with pytest.raises(ViewDamagedError, match=r"replica\.db.*damaged") as raised:
        Replica.open(path)
    assert "snapfs repair" in raised.value.hint


def test_damage_within_is_a_damaged_view(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    with open_replica(path).db as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(ViewDamagedError, match="damaged"):
        Replica.open(path).tip()


def test_another_schema_is_a_damaged_view(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    with open_replica(path).db as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ViewDamagedError, match="schema 99") as raised:
        Replica.open(path)
    assert "snapfs repair" in raised.value.hint


def test_other_tables_are_another_version(tmp_path: Path) -> None:
    """A view with the tables of an older program has a file of its own, as long as this holds.

    If it fails: raise VERSION in metadata/schema.py, and note the new tables here.
    """
    with open_replica(tmp_path / "replica.db").db as db:
        tables = [str(sql) for (sql,) in db.rows("SELECT sql FROM sqlite_schema WHERE sql <> ''")]
    said = "\n".join(sorted(re.sub(r"--[^\n]*|\s+", " ", sql) for sql in tables))
    known = (VERSION, blake3(said.encode()).hexdigest(8))
    assert known == (5, "591241ac93ad8cd1")


def test_a_foreign_database_is_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE precious (a)")
    foreign.close()
    with pytest.raises(ViewDamagedError):
        Replica.open(path)
    with sqlite3.connect(path) as foreign:
        assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    foreign.close()


def test_a_place_that_cannot_be_written_is_a_local_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "replica.db", tmp_path, tmp_path / "missing" / "replica.db"):
        with pytest.raises(LocalError) as raised:
            Replica.open(path)
        assert "state directory" in raised.value.hint


def test_a_state_that_is_read_only_is_a_local_error(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    open_replica(path).db.close()
    with Database.open_readonly(path) as db, pytest.raises(LocalError, match="readonly"):
        add(Replica(db), Tag((), (), ()))


def test_a_full_disk_is_a_local_error_and_changes_nothing(tmp_path: Path) -> None:
    replica = open_replica(tmp_path / "replica.db")
    pages = replica.db.row("PRAGMA page_count")
    assert pages is not None
    replica.db.execute(f"PRAGMA max_page_count = {pages[0]}")
    before = dump(replica)
    big = published(replica, Tag((), ("x" * 100_000,), ()))
    with pytest.raises(LocalError, match="no space left") as raised:
        replica.apply_heads([big])
    assert "SNAPFS_STATE_DIR" in raised.value.hint
    assert dump(replica) == before
    replica.db.execute("PRAGMA max_page_count = 1000000")
    replica.apply_heads([big])
    assert replica.tip().number == 2


def test_readers_see_nothing_of_a_transaction_that_is_under_way(tmp_path: Path) -> None:
    replica = open_replica(tmp_path / "replica.db")
    with Database.open_readonly(tmp_path / "replica.db") as db:
        looking = Replica(replica.db, reading=db)
        with replica.db.writing():
            replica.db.execute("DELETE FROM log")
            assert looking.tip().number == 1
        assert looking.tip().number == 0
