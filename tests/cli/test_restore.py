"""snapfs restore: which snapshot, what is gone, what is removed, and what a dry run tells."""

import os
from pathlib import Path

import pytest

from tests.cli.running import Snapfs


@pytest.fixture
def history(snapfs: Snapfs, tree: Path) -> Snapfs:
    """Three days of the tree; a.txt is gone on the last one."""
    for day in ("2026-11-01", "2026-11-02"):
        (tree / "a.txt").write_text(day)
        snapfs("ingest", tree, "--time", f"{day}T12:00:00Z")
    (tree / "a.txt").unlink()
    snapfs("ingest", tree, "--time", "2026-11-03T12:00:00Z")
    return snapfs


def test_at_a_time(history: Snapfs, tree: Path, tmp_path: Path) -> None:
    history("restore", f"{tree}", "--at", "2026-11-01", "-t", tmp_path / "one")
    assert (tmp_path / "one" / "a.txt").read_text() == "2026-11-01"
    history("restore", f":{tree}/a.txt", "--at", "2026-11-03T11:59Z", "-t", tmp_path / "two")
    assert (tmp_path / "two" / "a.txt").read_text() == "2026-11-02"
    history("restore", "--at", "now", "-t", tmp_path / "all")
    assert not (tmp_path / "all" / tree.relative_to("/") / "a.txt").exists()
    assert (tmp_path / "all" / tree.relative_to("/") / "link").is_symlink()
    assert "2026-10-31" in history("restore", "--at", "2026-10-31", "-t", "x", status=1).stderr
    history("restore", "--at", "never", "-t", "x", status=2)
    history("restore", f"latest:{tree}", "--at", "now", "-t", "x", status=2)


@pytest.mark.parametrize("what", ["{}", "latest:{}", ":{}"])
def test_what_is_deleted(history: Snapfs, tree: Path, what: str) -> None:
    """In place: the rest of the tree is as it was."""
    (tree / "sub" / "b.bin").write_text("changed since")
    done = history("restore", what.format(tree), "--deleted", "-t", tree)
    assert (tree / "a.txt").read_text() == "2026-11-02"
    assert (tree / "sub" / "b.bin").read_text() == "changed since"
    assert "restored 1 file" in done.text


def test_what_is_deleted_at_a_time(history: Snapfs, tree: Path) -> None:
    words = ("restore", "--deleted", str(tree), "-t", "x", "--dry-run")
    assert "would restore 0 files" in history(*words, "--at", "2026-11-02").text
    assert "would restore 1 file " in history(*words, "--at", "2026-11-03").text
    gone = history("restore", "--deleted", "/nosuch", "-t", "x", status=1)
    assert "nothing was ever deleted at /nosuch" in gone.stderr


def test_a_target_that_becomes_the_snapshot(history: Snapfs, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "extra").mkdir(parents=True)
    (target / "extra" / "x").write_text("x")
    words = ("restore", f"latest:{tree}", "-t", target, "--delete")
    *paths, told = history(*words, "--dry-run", "--json").json_lines
    assert {(one["action"], one["path"].removeprefix(str(target))) for one in paths} == {
        ("remove", "/extra"), ("remove", "/extra/x"), ("write", ""), ("write", "/link"),
        ("write", "/sub"), ("write", "/sub/b.bin"),
    }  # fmt: skip
    assert (told["removed"], told["files"], told["dry_run"]) == (2, 1, True)
    assert f"remove {target}/extra/x" in history(*words, "--dry-run", "-v").text
    assert str(target / "extra") not in history(*words, "--dry-run").text
    assert "removed 2 things" in history(*words).text
    assert sorted(os.listdir(target)) == ["link", "sub"]


def test_the_repository_stays(history: Snapfs, tree: Path) -> None:
    """It lies in the target, and the snapshot does not have it."""
    done = history("restore", f"latest:{tree}", "-t", tree.parent, "--delete", status=3)
    assert done.stderr.count("belongs to the repository") == 2
    assert not tree.exists()
    assert history("snapshots", "--json").text.count('"id"') == 3
    history("restore", f"latest:{tree}", "-t", history.repository / "x", "--delete", status=2)


def test_words_that_do_not_fit(history: Snapfs, tree: Path) -> None:
    history("restore", "-t", "x", status=2)
    history("restore", "latest", "-t", "x", "--deleted", "--delete", status=2)
    history("restore", "latest", "-t", "/", "--delete", status=2)
    history("restore", "latest", "-t", "x", "--overwrite", "maybe", status=2)
