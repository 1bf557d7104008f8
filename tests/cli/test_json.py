"""--json: one value for each result on standard output, and nothing else there."""

import base64
import json
import os
from pathlib import Path

from tests.cli.running import Snapfs


def test_it_is_understood_before_and_after_the_command(snapfs: Snapfs) -> None:
    assert snapfs("--json", "snapshots").json == snapfs("snapshots", "--json").json == []
    other = snapfs("key", "list", "--json", "-r", snapfs.repository, SNAPFS_REPOSITORY="/nosuch")
    assert len(other.json) == 2


def test_an_ingest(snapfs: Snapfs, tree: Path) -> None:
    told = snapfs("ingest", tree, "--host", "web", "--name", "data", "--json").json
    assert told["files"] == {
        "new": 3, "changed": 0, "unchanged": 0, "removed": 0, "failed": 0,
        "directories": len(tree.parts) + 1,
    }  # fmt: skip
    assert told["bytes"]["total"] == told["bytes"]["read"] == told["bytes"]["new"] == 512_006
    assert (told["host"], told["source"], told["findings"]) == ("web", "data", {})


def test_a_snapshot(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree, "--host", "web", "--name", "data", "--tag", "b", "--tag", "a")
    (told,) = snapfs("snapshots", "--json").json
    assert len(told["id"]) == 32
    assert (told["host"], told["source"], told["tags"]) == ("web", "data", ["a", "b"])
    assert told["paths"] == [str(tree)]
    assert told["time"].endswith("Z")
    assert told["files"]["new"] == 3


def test_entries(snapfs: Snapfs, tree: Path) -> None:
    os.utime(tree / "a.txt", ns=(0, 1_234_567_890_123_456_789))
    (tree / "a.txt").chmod(0o4750)
    snapfs("ingest", tree)
    listed = {
        Path(entry["path"]).name: entry
        for entry in snapfs("ls", f"latest:{tree}", "--json").json_lines
    }
    assert listed["link"]["target"] == "a.txt"
    assert listed["sub"]["type"] == "directory"
    told = listed["a.txt"]
    assert (told["type"], told["mode"], told["size"]) == ("file", "4750", 6)
    assert told["mtime"] == "2009-02-13T23:31:30.123456789Z"
    assert told["mtime_ns"] == 1_234_567_890_123_456_789
    assert told["path"] == f"{tree}/a.txt"
    assert "path_base64" not in told


def test_paths_from_the_root(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree)
    (top,) = snapfs("ls", "latest", "--json").json_lines
    assert top["path"] == f"/{tree.parts[1]}"
    (itself,) = snapfs("ls", f"latest:{tree}/a.txt", "--json").json_lines
    assert itself["path"] == f"{tree}/a.txt"
    recursive = snapfs("ls", "-R", "latest:").text
    assert f" {tree}/sub/b.bin\n" in recursive


def test_names_that_are_no_text(snapfs: Snapfs, tree: Path) -> None:
    odd = b"\xff\n\x1b[31m"
    Path(os.fsdecode(bytes(tree) + b"/" + odd)).touch()
    snapfs("ingest", tree)
    entries = snapfs("ls", f"latest:{tree}", "--json").json_lines
    (told,) = [entry for entry in entries if "path_base64" in entry]
    assert base64.b64decode(told["path_base64"]) == bytes(tree) + b"/" + odd
    assert told["path"] == f"{tree}/\ufffd\n\x1b[31m"
    assert r"\xff\n\x1b[31m" in snapfs("ls", f"latest:{tree}").text


def test_errors_are_json_too(snapfs: Snapfs) -> None:
    failed = snapfs("ls", "latest", "--json", status=1)
    told = json.loads(failed.stderr)
    assert failed.stdout == b""
    assert (told["error"], told["exit_status"]) == ("there is no snapshot yet", 1)
    usage = json.loads(snapfs("--json", "ls", status=2).stderr)
    assert usage["exit_status"] == 2


def test_a_restore(snapfs: Snapfs, tree: Path, tmp_path: Path) -> None:
    snapfs("ingest", tree)
    told = snapfs("restore", f"latest:{tree}", "-t", tmp_path / "back", "--json").json
    assert (told["files"], told["symlinks"], told["bytes"]) == (2, 1, 512_006)
    assert told["findings"] == {}
