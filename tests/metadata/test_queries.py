"""No question that is asked often reads a whole table."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from snapfs.errors import FormatError
from snapfs.formats.parts import BlockPart, DirectoryRow, MoveRow
from snapfs.formats.records import Forget, New
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.database import Database
from snapfs.metadata.lines import Lines
from snapfs.metadata.local import Confirmed, Local
from snapfs.metadata.past import Change, Past, Span
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.tree import Tree
from snapfs.model.identity import BlockKey, Commit, DirectoryNumber, SegmentNumber, SourceNumber
from tests.metadata.making import INIT, add, apply, condemn, entries, ingest, key, name, node, pack

BIG = ("log", "snapshot", "directory", "entry", "node", "list", "block", "segment", "pack", "fate",
       "confirmed", "tag")  # fmt: skip
_SCAN = re.compile(r"SCAN (\w+)")
_LAST_ROW = "ORDER BY number DESC LIMIT 1"
"a scan by the order of the table that ends at its first row"


class Planned:
    """The SQL of everything that a connection is asked from here on."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._asked: dict[str, tuple] = {}
        self._connection = connection
        connection.exec_trace = self._note

    def _note(self, cursor: apsw.Cursor, sql: str, bindings: tuple | None) -> bool:
        if not sql.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")):
            self._asked[sql] = bindings or ()
        return True

    def scans(self) -> list[tuple[str, str]]:
        """The queries that read a big table from one end to the other."""
        self._connection.exec_trace = None
        assert self._asked
        return [
            (sql, detail)
            for sql, values in self._asked.items()
            if not sql.endswith(_LAST_ROW)
            for *_, detail in self._connection.execute("EXPLAIN QUERY PLAN " + sql, values)
            if (match := _SCAN.match(detail)) and _table(sql, match[1]) in BIG
        ]


def _table(sql: str, name: str) -> str:
    """The table that a query calls by this name."""
    match = re.search(rf"(?:FROM|JOIN|UPDATE) (?:\w+\.)?(\w+) {name}\b", sql)
    return match[1] if match else name


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    replica = Replica.open(tmp_path / "replica.db")
    yield replica
    replica.db.close()


def test_applying_reads_no_whole_table(replica: Replica) -> None:
    planned = Planned(replica.db.connection)
    add(replica, INIT)
    new = New(packs=1, segments=1, blocks=1, nodes=2, directories=1)
    add(replica, ingest(new=new, blocks=1, entries=1))
    apply(replica, BLOCKS, BlockPart((pack("p", ("a",)),), ()))
    anchor = DirectoryRow(b"", False, (), ((b"/", 0),))
    files = DirectoryRow(b"/", True, (b"x",), ((b"f", 1),))
    file = node(size=20, items=(key("a"), 10, 0, 10))
    with_keys = entries(anchor, files, nodes=(node(0o40755), file))
    with pytest.raises(FormatError, match="an older block"):
        apply(replica, 1, with_keys)
    add(replica, condemn(new=New(packs=1, segments=1, blocks=1), blocks=1))
    moves = (MoveRow(name("p"), 0, (0,), (0,)),)
    apply(replica, BLOCKS, BlockPart((pack("q", ("a",)),), moves))
    add(replica, Forget((name("attempt 2"),)))
    replica.attempt(name("x"))
    assert planned.scans() == []


def questions(db: Database) -> list[Callable[[], object]]:
    tree, blocks, snapshots = Tree(db), BlockIndex(db), Snapshots(db)
    lines, past = Lines(db), Past(db)
    source, commit = SourceNumber(1), Commit(1)
    span = Span(source, Commit(0), commit)
    return [
        lambda: tree.lookup(1, commit, b"a"),
        lambda: tree.page(1, commit),
        lambda: tree.node(1),
        lambda: tree.directory(1, commit),
        lambda: tree.parent(1),
        lambda: tree.child(1, b"a"),
        lambda: tree.root(commit),
        lambda: tree.list_key(1),
        lambda: tree.packs_of_list(1, bytes(32)),
        lambda: tree._add_packs(1, set()),
        lambda: lines.find(1, commit, b"a"),
        lambda: lines.page(1, commit),
        lambda: lines.node(1),
        lambda: lines.directory(1, commit),
        lambda: past.versions(source, 1, b"a"),
        lambda: past.names(source, 1, b""),
        lambda: past.last(source, 1, b"a"),
        lambda: past.last_of_directory(source, 1),
        lambda: past.gone(source, commit, 1, b""),
        *(partial(past.changed, span, change, 1, b"") for change in Change),
        lambda: past.place_of(1),
        lambda: blocks.find(BlockKey(bytes(32))),
        lambda: blocks.key(1),
        lambda: blocks.place(1),
        lambda: blocks.segment(SegmentNumber(1)),
        lambda: blocks._usable(1, 1),
        lambda: blocks.fates({1}, [bytes(16)]),
        lambda: snapshots.source("web", "root"),
        lambda: snapshots.source_by_number(1),
        lambda: snapshots.by_number(commit),
        lambda: snapshots.times(source),
        lambda: snapshots.standing(1),
        lambda: snapshots.standings(1),
        lambda: snapshots.latest_standing(1),
        snapshots.newest_time,
        lambda: snapshots.latest(source),
        lambda: snapshots.owner_names(source),
        lambda: Replica(db).tip(),
        lambda: Replica(db).attempt(bytes(16)),
        lambda: Replica(db).fact("read"),
    ]


def test_looking_up_reads_no_whole_table(replica: Replica) -> None:
    planned = Planned(replica.db.connection)
    for ask in questions(replica.db):
        ask()
    assert planned.scans() == []


def test_what_this_machine_knows_is_looked_up(tmp_path: Path, replica: Replica) -> None:
    local = Local.open(tmp_path / "local.db", tmp_path / "replica.db")
    planned = Planned(local.db.connection)
    local.begin_run(bytes(16))
    local.confirm([Confirmed(1, b"f", 1, 2, 3, 4)])
    local.committed(Commit(1))
    local.known(DirectoryNumber(1), 1, Commit(1))
    local.drop(1, [b"f"])
    assert planned.scans() == []


def test_a_question_with_other_values_is_not_compiled_anew(replica: Replica) -> None:
    lines = Lines(replica.db)
    compiled: list[object] = []
    # SQLite asks what is permitted whenever it compiles, and only then.
    replica.db.connection.authorizer = lambda *what: compiled.append(what) or apsw.SQLITE_OK
    for directory in range(1, 4):
        lines.page(directory, Commit(directory), after=b"x" * directory)
        lines.find(directory, Commit(directory), b"y" * directory)
        if directory == 1:
            assert compiled
            compiled.clear()
    assert compiled == []
