"""Questions about what is stored, asked of the program itself."""

import base64
import json
import os
import pwd
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.running import Snapfs, eventually


@dataclass(frozen=True, slots=True)
class Asked:
    """A machine with three snapshots of a tree, which questions do not change."""

    snapfs: Snapfs
    tree: Path
    ids: list[str]


@pytest.fixture(scope="module")
def asked(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    home = tmp_path_factory.mktemp("asked")
    snapfs = Snapfs(home).with_repository(made)
    tree = home / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("first\n")
    (tree / "sub" / "b.bin").write_bytes(bytes(range(256)) * 2000)
    (tree / "link").symlink_to("a.txt")
    os.close(os.open(os.fsencode(tree) + b"/\xff.pdf", os.O_CREAT))
    ids = []
    for change in (lambda: None, lambda: _change(tree), (tree / "new").unlink):
        change()
        done = snapfs("ingest", tree, "--host", "web", "--name", "data", "--json")
        ids.append(done.json["snapshot"])
    return Asked(snapfs, tree, ids)


def _change(tree: Path) -> None:
    (tree / "a.txt").write_text("second text\n")
    (tree / "sub" / "b.bin").rename(tree / "sub" / "c.bin")
    (tree / "link").unlink()
    (tree / "new").write_text("new\n")


def test_history_of_a_file(asked: Asked) -> None:
    snapfs, tree, told = asked.snapfs, asked.tree, asked.ids
    lines = snapfs("history", tree / "a.txt", "--json").json_lines
    assert [(one["first"]["snapshot"], one["last"]["snapshot"], one["size"]) for one in lines] == [
        (told[0], told[0], 6), (told[1], told[2], 12),
    ]  # fmt: skip
    assert lines[1]["changed"] == ["content", "time"]
    text = snapfs("history", "tree/a.txt").text.splitlines()
    assert len(text) == 4
    assert text[2].endswith("content, time")
    assert text[3].endswith(f"snapfs restore {told[0][:8]}:{tree}/a.txt --target DIR")


def test_history_of_what_is_gone(asked: Asked) -> None:
    snapfs, tree, told = asked.snapfs, asked.tree, asked.ids
    lines = snapfs("history", tree / "new", "--json").json_lines
    assert [one["exists"] for one in lines] == [True, False]
    assert lines[1]["first"]["snapshot"] == told[2]
    assert "size" not in lines[1]
    text = snapfs("history", tree / "new").text
    assert "deleted" in text
    what = f"{told[1][:8]}:{tree}/new"
    assert f"snapfs restore {what} --target DIR" in text
    snapfs("restore", what, "--target", snapfs.home / "back")
    assert (snapfs.home / "back" / "new").read_text() == "new\n"


def test_history_of_a_directory(asked: Asked) -> None:
    snapfs, tree, told = asked.snapfs, asked.tree, asked.ids
    names = {Path(one["path"]).name: one for one in snapfs("history", tree, "--json").json_lines}
    assert set(names) == {"a.txt", "link", "new", "sub", "\ufffd.pdf"}
    assert names["link"]["deleted"] and names["link"]["last"]["snapshot"] == told[0]
    assert names["a.txt"]["versions"] == 2
    assert "sub/" in snapfs("history", tree).text
    itself = snapfs("history", "-d", tree, "--json").json_lines
    assert itself and all(one["path"] == str(tree) and one["type"] == "directory" for one in itself)
    assert itself[-1]["last"]["snapshot"] == told[-1]


def test_history_of_nothing(asked: Asked) -> None:
    failed = asked.snapfs("history", asked.tree / "nowhere", status=1)
    assert "no snapshot has" in failed.stderr
    assert "snapfs find nowhere" in failed.stderr


def test_an_empty_repository(snapfs: Snapfs) -> None:
    assert "no snapshot yet" in snapfs("history", "/x", status=1).stderr
    assert snapfs("stats", "--json").json["compression"] is None
    snapfs("stats", "--growth", status=1)


def test_find(asked: Asked) -> None:
    snapfs, tree = asked.snapfs, asked.tree

    def found(*words: str) -> list[str]:
        return sorted(Path(one["path"]).name for one in snapfs("find", *words, "--json").json_lines)

    big = ("--size", "+100K", "--size", "-1M")
    assert found("*.BIN", "-i", *big) == ["b.bin", "c.bin"]
    assert found("*.bin", "--deleted", "--type", "f,d") == ["b.bin"]
    assert found("a.txt", "--any-version") == ["a.txt", "a.txt"]
    assert found("**/sub/*", "--owner", str(os.getuid()), "--newer", "-1d") == ["b.bin", "c.bin"]
    text = snapfs("find", "b.bin").text.splitlines()
    assert text[1].split()[-2:] == ["deleted", f"{tree}/sub/b.bin"]
    made = snapfs("find", "a.txt", "--json").json_lines[0]["mtime"][:10]
    assert found("a.txt", "--newer", made) == ["a.txt"], "a day is meant from its begin"
    assert found("a.txt", "--older", made) == []
    assert "a bracket is not closed" in snapfs("find", "[abc", status=2).stderr
    assert "of a user called 'nobodyx'" in snapfs("find", "--owner", "nobodyx", status=2).stderr
    assert found("a.txt", "--owner", "987654") == []
    assert (
        "of a user called '1844674407"
        in snapfs("find", "--owner", "18446744073709551616", status=2).stderr
    )
    assert found("a.txt", "--owner", pwd.getpwuid(os.getuid()).pw_name) == ["a.txt"]
    assert snapfs("find", "--newer", "soon", status=2).stderr.startswith("snapfs: not a time")


def test_names_that_are_no_text(asked: Asked) -> None:
    (one,) = asked.snapfs("find", b"\xff*", "--json").json_lines
    assert base64.b64decode(one["path_base64"]) == os.fsencode(asked.tree) + b"/\xff.pdf"
    assert r"\xff.pdf" in asked.snapfs("find", "*.pdf").text


def test_diff(asked: Asked) -> None:
    snapfs, tree, told = asked.snapfs, asked.tree, asked.ids
    refused = snapfs("diff", told[0], told[1], f"{tree}/nowhere", status=1).stderr
    assert "neither snapshot has anything at" in refused
    differences = {
        Path(one["path"]).name: one
        for one in snapfs("diff", told[0], told[1], str(tree), "--json").json_lines
    }
    kinds = {name: one["kind"] for name, one in differences.items()}
    assert kinds == {
        "a.txt": "modified", "c.bin": "renamed", "link": "removed", "new": "added",
        "sub": "metadata", "tree": "metadata",
    }  # fmt: skip
    assert differences["c.bin"]["renamed_from"] == f"{tree}/sub/b.bin"
    assert (differences["a.txt"]["before"]["size"], differences["a.txt"]["after"]["size"]) == (
        6,
        12,
    )
    text = snapfs("diff", told[0], told[1], "--only", "added", "--only", "renamed").text
    assert text.splitlines() == [
        f"+  {tree}/new  (4 B)",
        f"R  {tree}/sub/b.bin -> {tree}/sub/c.bin",
        "1 added, 1 renamed; +4 B",
    ]
    assert snapfs("diff", told[0], told[0]).text == "no differences\n"


def test_du(asked: Asked) -> None:
    snapfs, tree = asked.snapfs, asked.tree
    usages = {one["path"]: one for one in snapfs("du", f"latest:{tree}", "--json").json_lines}
    assert usages[f"{tree}/sub"] == {"path": f"{tree}/sub", "size": 512_000, "entries": 1}
    assert usages[str(tree)]["size"] == 512_012
    assert "500.0 KiB" in snapfs("du").text
    (file,) = snapfs("du", f"latest:{tree}/a.txt", "--json").json_lines
    assert file["size"] == 12
    snapfs("du", "latest:/nowhere", status=1)


def test_stats(asked: Asked) -> None:
    snapfs, tree, told = asked.snapfs, asked.tree, asked.ids
    totals = snapfs("stats", "--json").json
    assert (totals["sources"], totals["snapshots"]) == (1, 3)
    assert totals["logical"] == 512_006 + 512_016 + 512_012
    assert totals["unique"] == 512_000 + 6 + 12 + 4
    assert "deduplication 1:3.00" in snapfs("stats").text

    each = snapfs("stats", "--each", "--json").json_lines
    assert [(one["id"], one["alone"]) for one in each] == [
        (told[0], 6), (told[1], 4), (told[2], 0),
    ]  # fmt: skip

    (most, *_) = snapfs("stats", "--growth", "--to", told[1], "--json").json_lines
    assert (most["path"], most["growth"]) == (str(tree), 10)
    assert "web/data: +6 B from" in snapfs("stats", "--growth").text
    snapfs("stats", "--growth", "--each", status=2)


def test_sql(asked: Asked) -> None:
    snapfs = asked.snapfs
    query = "SELECT type, count(*) AS count FROM files WHERE name GLOB '*.*' GROUP BY type"
    assert snapfs("sql", query, "--json").json_lines == [{"type": "file", "count": 5}]
    assert snapfs("sql", query).text.splitlines() == ["type  count", "file      5"]
    assert snapfs("sql", "SELECT x'00ff' AS b, NULL AS n").text.splitlines() == ["b     n", "00ff"]
    alike = "SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS 'a:2', 5 AS a"
    assert snapfs("sql", alike, "--json").json_lines == [
        {"a": 1, "a:2": 2, "b": 3, "a:2:2": 4, "a:3": 5}
    ]
    limited = snapfs("sql", "SELECT * FROM files", "--limit", "2")
    assert len(limited.text.splitlines()) == 3
    assert "more than these 2 rows" in limited.stderr
    refused = snapfs("sql", "DELETE FROM files", "--json", status=2)
    assert json.loads(refused.stderr)["hint"].startswith("only SELECT")


def test_a_query_without_end_is_ended(snapfs: Snapfs) -> None:
    endless = (
        "WITH RECURSIVE n (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n)"
        " SELECT 'begun' UNION ALL SELECT max(x) FROM n"
    )
    with snapfs.start("sql", "--limit", "0", "--json", endless) as process:
        assert process.stderr is not None
        _wait_until_it_computes(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"interrupted" in process.stderr.read()


def _wait_until_it_computes(pid: int) -> None:
    """Until it has used more of the processor than all that comes before the query takes."""
    eventually(lambda: _cpu_seconds(pid) > 1.0)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
