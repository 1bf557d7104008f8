"""The documented views: what they show, and that nothing else can be done through them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import UsageError
from snapfs.metadata.database import Database
from snapfs.metadata.views import VIEWS, Views
from tests.build import file, folder, link
from tests.metadata.past import Past, tell

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"
STORY = [
    ("commit", "root", {b"a": file(b"one", mode=0o640, uid=7), b"d": {b"\xff": file(b"two")}}),
    ("progress", "root", {b"a": file(b"never shown"), b"d": {b"\xff": file(b"two")}}),
    ("commit", "root", {b"a": file(b"three"), b"l": link(b"a")}),
    ("commit", "home", {b"a": file(b"one")}),
    ("commit", "home", {b"a": file(b"one"), b"forgotten": file(b"x")}),
    ("forget", "home", 1),
]


def asked(check: Callable[[Callable[..., list[tuple]]], None]) -> None:
    """Let `check` ask queries of the story's views."""

    def look(past: Past) -> None:
        with (
            Database.open_readonly(past.repository.db.path) as db,
            Database.open_readonly(past.repository.db.path) as lookups,
        ):
            views = Views(db, lookups)
            check(lambda sql: list(views.ask(sql).rows))

    tell(STORY, look)


def test_files_are_versions_of_paths() -> None:
    def check(ask: Callable[..., list[tuple]]) -> None:
        files = ask(
            "SELECT source_name, path, name, type, size, mode, first, last, gone FROM files"
            " WHERE type <> 'directory' ORDER BY 1, 2, first"
        )
        assert files == [
            ("home", "/a", "a", "file", 3, 0o644, 5, 5, 0),
            ("root", "/a", "a", "file", 3, 0o640, 2, 2, 1),
            ("root", "/a", "a", "file", 5, 0o644, 4, 4, 0),
            ("root", "/d/\ufffd", "\ufffd", "file", 3, 0o644, 2, 2, 1),
            ("root", "/l", "l", "symlink", 1, 0o777, 4, 4, 0),
        ]
        assert ask("SELECT count(*) FROM files WHERE name_bytes = x'ff'") == [(1,)]
        assert ask("SELECT DISTINCT mtime, mtime_ns FROM files") == [
            ("2020-09-13T12:26:40Z", 123_456_789)
        ]

    asked(check)


def test_the_other_views() -> None:
    def check(ask: Callable[..., list[tuple]]) -> None:
        assert ask("SELECT host, name, snapshots, newest FROM sources ORDER BY name") == [
            ("web", "home", 1, 5), ("web", "root", 2, 4),
        ]  # fmt: skip
        snapshots = ask("SELECT snapshot, length(id), name, time, tags FROM snapshots")
        assert snapshots[0] == (2, 32, "root", "2025-11-13T02:13:20Z", None)
        assert [number for number, *_ in snapshots] == [2, 4, 5]
        assert ask("SELECT count(*), sum(size) FROM blocks") == [(5, 3 + 3 + 11 + 5 + 1)]
        assert ask("SELECT sum(size), min(state) FROM packs") == [(23, "used")]

    asked(check)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM entry", "SELECT * FROM main.node", "SELECT * FROM sqlite_schema",
        "DELETE FROM files", "INSERT INTO sources VALUES (1)", "CREATE TEMP TABLE t (a)",
        "DROP VIEW files", "ATTACH 'x' AS y", "PRAGMA user_version", "PRAGMA user_version = 7",
        "SELECT * FROM pragma_table_info('node')", "SELECT load_extension('x')", "BEGIN",
        "VACUUM INTO 'x'", "SELECT 1; SELECT 2", "", "nonsense", "SELECT nothing FROM files",
        "SELECT path('a') FROM files",
    ],
)  # fmt: skip
def test_nothing_else_can_be_asked(sql: str) -> None:
    def check(ask: Callable[..., list[tuple]]) -> None:
        with pytest.raises(UsageError):
            ask(sql)
        assert ask("SELECT count(*) FROM sources") == [(2,)]

    asked(check)


def test_columns_are_known_without_rows() -> None:
    def look(past: Past) -> None:
        with (
            Database.open_readonly(past.repository.db.path) as db,
            Database.open_readonly(past.repository.db.path) as lookups,
        ):
            assert Views(db, lookups).ask("SELECT path, size FROM files WHERE 0").columns == (
                "path", "size",
            )  # fmt: skip

    tell([("commit", "root", {b"d": folder()})], look)


def test_the_document_explains_every_column_and_its_examples_run() -> None:
    text = DOCUMENT.read_text()

    def look(past: Past) -> None:
        with (
            Database.open_readonly(past.repository.db.path) as db,
            Database.open_readonly(past.repository.db.path) as lookups,
        ):
            views = Views(db, lookups)
            for view in VIEWS:
                section = re.search(rf"^## {view}$(.*?)(?=^## |\Z)", text, re.M | re.S)
                assert section is not None
                explained = re.findall(r"^\| `(\w+)` \|", section[1], re.M)
                assert tuple(explained) == views.ask(f"SELECT * FROM {view}").columns
            examples = re.findall(r"^```sql\n(.*?)^```", text, re.M | re.S)
            assert examples
            for example in examples:
                list(views.ask(example).rows)

    tell(STORY, look)
