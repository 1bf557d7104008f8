"""Something is lost, and this machine has no copy: what can be read is, and the rest is told."""

import os
from pathlib import Path

import pytest

from tests.cli.running import Snapfs, eventually


@pytest.fixture
def elsewhere(snapfs: Snapfs, tree: Path) -> Snapfs:
    """A new machine, and a repository with four snapshots of two sources."""
    for day in range(2):
        (tree / "day").write_text(str(day))
        for name in ("one", "two"):
            snapfs("ingest", tree, "--host", "web", "--name", name)
    snapfs.environment["SNAPFS_STATE_DIR"] = str(snapfs.home / "new")
    return snapfs


def lose_record(snapfs: Snapfs, number: int) -> None:
    (snapfs.repository / "log" / f"{number:016x}").unlink()


def ingest_and_lose_names(snapfs: Snapfs, tree: Path) -> None:
    """One snapshot more, whose parts are lost; and a new machine."""
    before = set((snapfs.repository / "meta").rglob("*"))
    (tree / "day").write_text("2")
    snapfs("ingest", tree, "--host", "web", "--name", "one")
    for path in set((snapfs.repository / "meta").rglob("*")) - before:
        if path.is_file():
            path.unlink()
    snapfs.environment["SNAPFS_STATE_DIR"] = str(snapfs.home / "newest")


def test_a_record(elsewhere: Snapfs, tree: Path, tmp_path: Path) -> None:
    lose_record(elsewhere, 4)
    listed = elsewhere("snapshots", "--json", status=3)
    assert [one["source"] for one in listed.json] == ["one", "two"]
    assert "record 4 is missing" in listed.stderr
    target = tmp_path / "back"
    words = ("--host", "web", "--name", "one", "--target", target)
    assert "cannot be shown" in elsewhere("restore", f"latest:{tree}", *words, status=3).stderr
    assert (target / "day").read_text() == "0"
    assert elsewhere("find", "day", "--json", status=3).json_lines
    assert "record 4 is missing" in elsewhere("ingest", tree, "--name", "one", status=1).stderr
    assert "this machine has no copy" in elsewhere("repair", status=3).stderr


def test_names(elsewhere: Snapfs, tree: Path) -> None:
    ids = [one["id"] for one in elsewhere("snapshots", "--json").json]
    ingest_and_lose_names(elsewhere, tree)
    elsewhere("repair", status=3)
    failed = elsewhere("ls", f"latest:{tree}", "--name", "one", status=1)
    assert f"the newest before it that can be read is {ids[2][:8]}" in failed.stderr
    assert "day" in elsewhere("ls", f"{ids[2]}:{tree}", status=3).text
    assert "day" in elsewhere("ls", f"latest:{tree}", "--name", "two").text
    source = ("--host", "web", "--name", "one")
    told = elsewhere("stats", "--each", "--json", *source, status=3).json_lines
    assert [one["id"] for one in told] == [ids[0], ids[2]], "not of what cannot be read"
    growth = elsewhere("stats", "--growth", "--to", "latest", *source, "--json", status=3)
    assert isinstance(growth.json_lines, list)


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no FUSE")
def test_a_mount(elsewhere: Snapfs, tree: Path, tmp_path: Path) -> None:
    lose_record(elsewhere, 4)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    told = elsewhere("mount", mountpoint)
    try:
        assert "snapshots that build on it are not in the mount" in told.stderr
        assert sorted(os.listdir(mountpoint / "web")) == ["one", "two"]
        path = mountpoint / "web/one/latest" / str(tree)[1:] / "day"
        assert path.read_text() == "0"
    finally:
        elsewhere("umount", mountpoint)


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no FUSE")
def test_a_mount_in_the_foreground_ends_well(elsewhere: Snapfs, tmp_path: Path) -> None:
    """A service manager would mount it again."""
    lose_record(elsewhere, 4)
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    with elsewhere.start("mount", "--foreground", mountpoint) as running:
        eventually(lambda: os.path.ismount(mountpoint))
        elsewhere("umount", mountpoint)
        assert running.wait(20) == 0


def test_going_on_without_a_record(elsewhere: Snapfs, tree: Path) -> None:
    lose_record(elsewhere, 3)
    told = elsewhere("repair", status=3)
    assert "'snapfs repair --give-up'" in told.stderr
    assert "hosts that have written to it, the last first: web" in told.stderr
    dry = elsewhere("repair", "--give-up", "--dry-run", "--json", status=3).json
    assert (dry["given_up"], dry["sound"]) == ([], False)
    told = elsewhere("repair", "--give-up")
    assert "given up: 1 record of the log (3)" in told.text
    assert "given up: 1 snapshot of web/two" in told.text
    assert told.text.splitlines()[-1] == "nothing is damaged any more"
    listed = elsewhere("snapshots", "--json").json
    assert [one["source"] for one in listed] == ["one", "one"]
    stored = sum(path.stat().st_size for path in (elsewhere.repository / "packs").rglob("*"))
    elsewhere("ingest", tree, "--host", "web", "--name", "two")
    assert "day" in elsewhere("ls", f"latest:{tree}", "--name", "two").text
    now = sum(path.stat().st_size for path in (elsewhere.repository / "packs").rglob("*"))
    assert now == stored, "nothing is stored again"
    elsewhere("check", "--read-data")
    # The machine that has seen record 3, and would still have a copy: it is told, and goes on.
    elsewhere.environment["SNAPFS_STATE_DIR"] = str(elsewhere.home / "state")
    failed = elsewhere("ingest", tree, "--host", "web", "--name", "one", status=1)
    assert "given up" in failed.stderr
    assert "'snapfs repair'" in failed.stderr
    assert "built again" in elsewhere("repair").text
    elsewhere("ingest", tree, "--host", "web", "--name", "one")
    elsewhere("check")


def test_going_on_without_names(elsewhere: Snapfs, tree: Path) -> None:
    ingest_and_lose_names(elsewhere, tree)
    given_up = elsewhere("repair", "--give-up", "--json").json["given_up"]
    assert given_up == [{"record": 6, "host": "web", "source": "one", "snapshots": 1}]
    elsewhere("ingest", tree, "--host", "web", "--name", "one")
    assert len(elsewhere("snapshots", "--json").json) == 5
    elsewhere("prune", "--now")
    elsewhere("check", "--read-data")
