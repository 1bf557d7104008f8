"""At a terminal: prompts, the live display, tables; and none of it elsewhere."""

import os
from pathlib import Path

from snapfs.cli.progress import lines
from snapfs.jobs.progress import Progress
from tests.cli.running import Snapfs


def test_passphrases_are_asked_for(bare: Snapfs) -> None:
    unset = {"SNAPFS_PASSPHRASE": None}
    differ = bare.at_terminal("init", answers=["one\n", "two\n"], **unset)
    assert differ.status == 2
    assert b"differ" in differ.stdout
    assert not bare.repository.exists()

    made = bare.at_terminal("init", answers=["one\n", "one\n"], **unset)
    assert made.status == 0
    assert b"Recovery code" in made.stdout
    assert bare.at_terminal("key", "list", answers=["one\n"], **unset).status == 0
    wrong = bare.at_terminal("key", "list", answers=["two\n"], **unset)
    assert wrong.status == 12


def test_a_prompt_is_left_with_control_c(snapfs: Snapfs) -> None:
    left = snapfs.at_terminal("snapshots", answers=["\x03"], SNAPFS_PASSPHRASE=None)
    assert left.status == 130
    assert b"interrupted" in left.stdout
    assert b"Traceback" not in left.stdout


def test_a_missing_repository_is_known_before_a_passphrase_is_asked_for(bare: Snapfs) -> None:
    assert bare.at_terminal("snapshots", SNAPFS_PASSPHRASE=None).status == 10


def test_the_display_is_for_terminals_only(snapfs: Snapfs, tree: Path) -> None:
    (tree / "large").write_bytes(os.urandom(20_000_000))
    seen = snapfs.at_terminal("ingest", str(tree))
    assert seen.status == 0
    assert b"stored" in seen.stdout.partition(b"snapshot ")[0]
    assert b"\x1b[" in seen.stdout
    quiet = snapfs("ingest", tree)
    assert quiet.stderr == ""
    assert "\x1b" not in quiet.text
    json_at_terminal = snapfs.at_terminal("ingest", str(tree), "--json")
    assert b"\x1b" not in json_at_terminal.stdout


def test_titles_are_bold_at_a_terminal_only(snapfs: Snapfs) -> None:
    assert snapfs.at_terminal("snapshots").stdout.startswith(b"\x1b[1mID")
    assert snapfs("snapshots").text.startswith("ID")


def test_the_display_fits_the_terminal() -> None:
    progress = Progress()
    progress.doing, progress.files, progress.bytes = "ingesting", 1234, 5_000_000
    progress.current = b"/a/" + b"long/" * 40 + b"name\x1b"
    figures, current = lines(progress, 2.0, 40).split("\n")
    assert len(figures) <= 40
    assert len(current) == 40
    assert current.endswith("name\\x1b")
    progress.total_bytes, progress.total_files = 10_000_000, 2000
    assert "50%" in lines(progress, 2.0, 200)
