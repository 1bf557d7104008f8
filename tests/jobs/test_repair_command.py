"""snapfs repair as a user meets it: check, repair, ingest, and nothing is damaged any more."""

from pathlib import Path

import pytest

from tests.cli.running import Snapfs, damage_pack
from tests.jobs.repairing import without_copies


@pytest.fixture
def snapfs(tmp_path: Path) -> Snapfs:
    """A repository with one snapshot of two files."""
    program = Snapfs(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("one", "two"):
        (tree / name).write_bytes(name.encode() * 1000)
    program("init")
    program("ingest", tree, "--host", "web", "--name", "tree")
    return program


def test_a_damaged_pack(snapfs: Snapfs) -> None:
    tree = snapfs.home / "tree"
    assert "nothing is damaged" in snapfs("repair").text
    damage_pack(snapfs.repository)
    assert "'snapfs repair --read-data' saves" in snapfs("check", "--read-data", status=1).stderr
    assert "as far as is seen without --read-data" in snapfs("repair").text
    planned = snapfs("repair", "--read-data", "--dry-run", status=3)
    assert "would be saved from: 1 damaged pack" in planned.text
    done = snapfs("repair", "--read-data", status=3)
    assert "0 blocks saved (0 B), 2 without a sound copy" in done.text
    assert "run 'snapfs ingest' now" in done.text
    assert f"web/tree:{tree}/one, snapshot" in done.stderr
    assert snapfs("check", "--json", status=1).json["affected_count"] == 2
    healed = snapfs("ingest", tree, "--host", "web", "--name", "tree", "--json").json
    assert healed["healed"] == 2
    assert "nothing is damaged" in snapfs("check", "--read-data").text
    told = snapfs("repair", "--read-data", "--json").json
    assert (told["sound"], told["packs"], told["left"]["problems"]) == (True, 0, [])
    first = snapfs("snapshots", "--json").json[0]["id"]
    assert snapfs("cat", f"{first}:{tree}/one").stdout == b"one" * 1000


def test_what_is_lost_for_good(snapfs: Snapfs) -> None:
    tree = snapfs.home / "tree"
    (pack,) = (path for path in (snapfs.repository / "packs").rglob("*") if path.is_file())
    pack.unlink()
    for name in ("one", "two"):
        (tree / name).write_bytes(name.encode() * 2000)
    snapfs("repair", status=3)
    lost = snapfs("ingest", tree, "--host", "web", "--name", "tree", "--json").json["snapshot"]
    told = snapfs("check", status=1).stderr
    assert "'snapfs forget' the snapshots that show it, and once 'snapfs prune'" in told
    first = snapfs("snapshots", "--json").json[0]["id"]
    assert first != lost
    snapfs("forget", first)
    snapfs("prune", "--now")
    assert "nothing is damaged" in snapfs("check", "--read-data").text


def test_a_damaged_database(snapfs: Snapfs) -> None:
    (replica,) = (snapfs.home / "state").rglob("replica-*.db")
    replica.write_bytes(b"garbage")
    failed = snapfs("snapshots", status=1)
    assert "'snapfs repair' builds it again" in failed.stderr
    assert "would be moved aside" in snapfs("repair", "--dry-run", status=3).text
    done = snapfs("repair")
    assert f"the damaged one is {replica.name}.quarantine-" in done.text
    assert len(snapfs("snapshots", "--json").json) == 1
    assert "nothing is damaged" in snapfs("check", "--read-data").text


def test_a_lost_record(snapfs: Snapfs) -> None:
    (snapfs.repository / "log" / f"{1:016x}").unlink()
    without_copies(snapfs.home)
    done = snapfs("repair", status=3)
    assert "this machine has no copy of a lost record" in done.stderr
    assert "1 problem left" in done.text


def test_words_that_do_not_fit(snapfs: Snapfs) -> None:
    snapfs("repair", "--read-data", "--read-data-subset", "5%", status=2)
