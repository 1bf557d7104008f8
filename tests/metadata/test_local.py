"""Confirmations count only for what the log has, and only for the version that holds."""

from pathlib import Path

import pytest

from snapfs.errors import ViewDamagedError
from snapfs.formats.parts import DirectoryRow
from snapfs.formats.records import New
from snapfs.metadata.local import Confirmed, Known, Local, directory_key
from snapfs.metadata.replica import Replica
from snapfs.metadata.tree import Tree
from snapfs.model.identity import Commit, DirectoryNumber
from tests.metadata.making import add, apply, entries, ingest, name, node, open_replica

KEY = directory_key("web", "root", b"/")
ANCHOR = DirectoryRow(b"", False, (), ((b"/", 0),))


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """A replica whose record 2 has a file f."""
    replica = open_replica(tmp_path / "replica.db")
    add(replica, ingest(new=New(nodes=2, directories=1), entries=1))
    files = DirectoryRow(b"/", False, (), ((b"f", 1),))
    apply(replica, 1, entries(ANCHOR, files, nodes=(node(0o40755), node())))
    return replica


def open_local(tmp_path: Path) -> Local:
    return Local.open(tmp_path / "local.db", tmp_path / "replica.db")


def state(inode: int = 5, mtime: int = 2) -> Confirmed:
    return Confirmed(KEY, b"f", 1, mtime, 3, inode)


def known(local: Local, replica: Replica, head: int = 2) -> Known:
    root = Tree(replica.db).root(Commit(2))
    assert root is not None
    (found,) = local.known(DirectoryNumber(root.child or 0), KEY, Commit(head))
    return found


def test_a_state_counts_once_its_attempt_is_in_the_log(tmp_path: Path, replica: Replica) -> None:
    local = open_local(tmp_path)
    local.begin_run(name("attempt 2"))
    local.confirm([state()])
    assert known(local, replica).size is None
    local.committed(Commit(2))
    assert known(local, replica)[3:] == (1, 2, 3, 5)
    local.drop(KEY, [b"f"])
    assert known(local, replica).size is None


def test_the_log_decides_what_became_of_a_run(tmp_path: Path, replica: Replica) -> None:
    """The process ended before it could note its commit; another noted one that the log lost."""
    with open_local(tmp_path).db as db:
        local = Local(db)
        local.begin_run(name("attempt 2"))
        local.confirm([state()])
    with open_local(tmp_path).db as db:
        local = Local(db)
        assert known(local, replica).inode == 5
        local.begin_run(name("attempt 3"))
        local.confirm([state(6)])
        local.committed(Commit(2))
        assert known(local, replica).inode == 6
    assert known(open_local(tmp_path), replica).inode is None


def test_a_state_of_an_older_version_does_not_count(tmp_path: Path, replica: Replica) -> None:
    local = open_local(tmp_path)
    local.begin_run(name("attempt 2"))
    local.confirm([state()])
    local.committed(Commit(2))
    add(replica, ingest(head=2, new=New(nodes=1), entries=1))
    files = DirectoryRow(b"/", False, (), ((b"f", 0),))
    apply(replica, 1, entries(files, nodes=(node(),)))
    assert known(local, replica, 2).inode == 5
    assert known(local, replica, 3).inode is None


def test_a_state_of_a_later_commit_than_the_head_does_not_count(
    tmp_path: Path, replica: Replica
) -> None:
    local = open_local(tmp_path)
    local.begin_run(name("attempt 3"))
    local.confirm([state()])
    local.committed(Commit(3))
    assert known(local, replica, 2).inode is None


def test_numbers_that_do_not_fit_are_left_out(tmp_path: Path, replica: Replica) -> None:
    local = open_local(tmp_path)
    local.begin_run(name("attempt 2"))
    local.confirm([state(inode=2**63), state(mtime=-(2**63) - 1)])
    local.committed(Commit(2))
    assert known(local, replica).inode is None


def test_directories_of_other_sources_have_other_keys() -> None:
    keys = {
        directory_key(host, source, path)
        for host in ("web", "we")
        for source in ("root", "b/root", "\udcff")
        for path in (b"", b"/", b"/\xff")
    }
    assert len(keys) == 18


def test_damage_is_told_in_our_words(tmp_path: Path, replica: Replica) -> None:
    local = open_local(tmp_path)
    local.db.execute("PRAGMA writable_schema = 1")
    local.db.execute("UPDATE main.sqlite_schema SET rootpage = 999 WHERE name = 'confirmed'")
    local.db.close()
    with pytest.raises(ViewDamagedError):
        known(open_local(tmp_path), replica)


def test_what_was_given_up_confirms_nothing(tmp_path: Path, replica: Replica) -> None:
    """Its state is not what an entry of the same name is in, once its source goes on without it."""
    with open_local(tmp_path).db as db:
        local = Local(db)
        local.begin_run(name("attempt 2"))
        local.confirm([state()])
    replica.db.execute("UPDATE log SET source = NULL WHERE number = 2")
    with open_local(tmp_path).db as db:
        assert known(Local(db), replica).size is None
