"""snapfs prune and what comes before it, on the command line: from forgetting to free space."""

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.running import Snapfs

SIZE = 600_000
"bytes of each day's file, which do not compress"


@pytest.fixture
def ids(snapfs: Snapfs, tree: Path) -> list[str]:
    """The ids of four snapshots; each but the last has a file that no other one has."""
    for day in range(1, 5):
        (tree / "daily").write_bytes(os.urandom(SIZE) if day < 4 else b"nothing")
        snapfs(
            "ingest", tree, "--host", "web", "--name", "data", "--time", f"2026-01-0{day}T10:00Z"
        )
    return [one["id"] for one in snapfs("snapshots", "--json").json]


def stored(snapfs: Snapfs) -> int:
    packs = snapfs.repository / "packs"
    return sum(path.stat().st_size for path in packs.rglob("*") if path.is_file())


def test_from_forgetting_to_free_space(
    snapfs: Snapfs, tree: Path, ids: list[str], tmp_path: Path
) -> None:
    before = stored(snapfs)
    rehearsed = snapfs("forget", *ids[:3], "--dry-run", "--json").json
    assert rehearsed["bytes"]["plain"] == 3 * SIZE
    # A share of segments, of which one holds text, too, that does compress: more or less of it,
    # as the files were cut.
    assert 2.9 * SIZE < rehearsed["bytes"]["stored"] < 3.4 * SIZE
    assert re.search(r"1\.[6-9] MiB", snapfs("forget", *ids[:3], "--dry-run").text)
    assert snapfs("forget", *ids[:3], "--json").json["bytes"] is None

    planned = snapfs("prune", "--now", "--dry-run", "--json").json
    assert (planned["dry_run"], planned["condemned"], planned["deleted"]) == (True, 0, 0)
    freed = planned["bytes_unneeded"] + planned["bytes_repacked"] - planned["bytes_copied"]
    assert abs(freed - rehearsed["bytes"]["stored"]) < 0.05 * freed
    text = snapfs("prune", "--now", "--dry-run").text
    assert re.search(r"unneeded: 2 packs, 1\.\d MiB", text)
    assert re.search(r"to repack: 1 pack, .* are copied\n", text)
    assert "requests: gets 1, puts 5, deletes 3, about\n" in text
    assert planned["requests"] == {"gets": 1, "puts": 5, "deletes": 3}
    assert stored(snapfs) == before

    done = snapfs("prune", "--now", "--json").json
    assert done["deleted"] == 3
    assert stored(snapfs) < before - 2.9 * SIZE
    assert snapfs("check", "--read-data", "--json").json["sound"]
    snapfs("restore", f"latest:{tree}", "--target", tmp_path / "back")
    subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "back"], check=True)
    assert "begun to delete" in snapfs("forget", "--undo", status=1).stderr


def test_nothing_is_lost_that_can_be_brought_back(snapfs: Snapfs, ids: list[str]) -> None:
    before = stored(snapfs)
    snapfs("forget", *ids[:3])
    assert snapfs("prune", "--json").json["condemned"] == 0
    snapfs("forget", "--undo")
    assert [one["id"] for one in snapfs("snapshots", "--json").json] == ids
    assert stored(snapfs) == before


def test_how_long_it_can_be_brought_back(snapfs: Snapfs, ids: list[str]) -> None:
    assert snapfs("prune", "--dry-run", "--json").json["held"] == 0
    assert "in 14 days or later" in snapfs("forget", *ids[:2]).text
    planned = snapfs("prune", "--dry-run", "--json").json
    assert (planned["held"], planned["packs_unneeded"], planned["bytes_repacked"]) == (2, 0, 0)
    forgotten = datetime.fromisoformat(planned["held_until"][:19]) - timedelta(days=14)
    assert abs(datetime.now(UTC).replace(tzinfo=None) - forgotten) < timedelta(minutes=5)
    assert re.search(
        r"forgotten, and still needed .*: 2 snapshots, until", snapfs("prune", "-n").text
    )
    longer = snapfs("prune", "--dry-run", "--keep-forgotten", "100", "--json").json
    assert longer["held_until"] > planned["held_until"]
    shorter = snapfs("prune", "--dry-run", "--keep-forgotten", "0", "--json").json
    assert (shorter["held"], shorter["held_until"]) == (0, None)
    assert shorter["packs_unneeded"] + shorter["packs_repacked"] > 0
    assert "leave --keep-forgotten away" in snapfs(
        "prune", "--now", "--keep-forgotten", "3", status=2
    ).stderr  # fmt: skip


def test_a_repository_that_is_tight_is_left_alone(snapfs: Snapfs, ids: list[str]) -> None:
    snapfs("forget", *ids[:2])
    for _ in range(2):
        snapfs("prune", "--now", "--max-unused", "0")
    planned = snapfs("prune", "--now", "--max-unused", "0", "--dry-run", "--json").json
    assert (planned["packs_repacked"], planned["packs_unneeded"]) == (0, 0)


def test_how_much_may_be_copied(snapfs: Snapfs, ids: list[str]) -> None:
    snapfs("forget", *ids[:3])
    loose = snapfs("prune", "--now", "-n", "--max-unused", "100%", "--max-repack", "1K", "--json")
    assert (loose.json["packs_unneeded"], loose.json["packs_repacked"]) == (2, 0)
    tight = snapfs("prune", "--now", "-n", "--max-unused", "0", "--json").json
    assert tight["packs_repacked"] == 1
    limited = snapfs("prune", "--now", "-n", "--max-unused", "0", "--max-repack", "1K", "--json")
    assert limited.json["packs_repacked"] == 0


def test_a_damaged_pack_is_told_of_and_stays(snapfs: Snapfs, ids: list[str]) -> None:
    snapfs("forget", *ids[:3])
    for path in (snapfs.repository / "packs").rglob("*/*"):
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[:200] + bytes(byte ^ 1 for byte in data[200:]))
    done = snapfs("prune", "--now", "--json", status=3).json
    assert (done["packs_unneeded"], done["deleted"]) == (2, 2)
    assert len(done["packs_damaged"]) == 1
    assert "left alone: pack" in snapfs("prune", "--now", status=3).text


@pytest.mark.parametrize("words", [("--max-unused", "x"), ("--max-unused", "101%")])
def test_what_is_refused(bare: Snapfs, words: tuple[str, ...]) -> None:
    said = bare("prune", *words, SNAPFS_REPOSITORY="/nosuch", status=2).stderr
    assert "percentage" in said


def test_compacting_when_told_to(snapfs: Snapfs, tree: Path, ids: list[str]) -> None:
    before = snapfs("snapshots", "--json").json
    snapfs("forget", ids[0])
    assert "it would not be compacted: 8 parts" in snapfs("prune", "--now", "--dry-run").text
    assert "it would be compacted" in snapfs("prune", "--now", "--compact", "--dry-run").text
    told = snapfs("prune", "--now", "--no-compact", "--json").json
    assert (told["compacts"], told["base"]) == (False, None)
    record = snapfs("prune", "--now", "--compact", "--json").json["base"]
    text = snapfs("prune", "--now", "--compact").text
    assert f"compacted: record {record + 1} restates what is recorded" in text
    replaced = snapfs("prune", "--dry-run", "--json").json
    assert replaced["parts_replaced"] >= 8
    assert snapfs("snapshots", "--json").json == before[1:]
    assert snapfs("check", "--read-data", "--json").json["sound"]
    assert "no forgotten snapshot" in snapfs("forget", "--undo", status=1).stderr
