"""The marker, the ring and the key slots are lost or damaged, and come back by a repair."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snapfs.metadata.copies import Copies
from tests.cli.running import PASSPHRASE, Snapfs

Damage = Callable[[Path], None]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Damage] = {
    "missing": Path.unlink,
    "flipped": _flip,
    "emptied": lambda path: path.write_bytes(b""),
}


@pytest.fixture
def used(snapfs: Snapfs, tree: Path) -> Snapfs:
    """A repository with a snapshot, on a machine that has seen it."""
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    return snapfs


def slots(snapfs: Snapfs) -> list[Path]:
    return [path for path in (snapfs.repository / "keys").iterdir() if path.is_file()]


def state(snapfs: Snapfs) -> dict[str, bytes]:
    """All objects."""
    place = snapfs.repository
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*") if path.is_file()
    }  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["snapfs.json", "keys/ring/00000001"])
def test_the_marker_and_the_ring(used: Snapfs, name: str, damage: str) -> None:
    before = state(used)
    DAMAGE[damage](used.repository / name)
    broken = state(used)
    is_no_repository = name == "snapfs.json" and damage == "missing"
    failed = used("snapshots", status=10 if is_no_repository else 1)
    assert "'snapfs repair'" in failed.stderr
    told = used("repair", "--dry-run", status=3)
    assert f"would be put back from this machine's copies: 1 object ({name})" in told.text
    assert "the rest is known once that is done" in told.text
    assert state(used) == broken
    done = used("repair")
    assert f"put back from this machine's copies: 1 object ({name})" in done.text
    assert "nothing is damaged any more" in done.text
    assert state(used) == before
    assert len(used("snapshots", "--json").json) == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_all_slots(used: Snapfs, damage: str) -> None:
    before = state(used)
    for slot in slots(used):
        DAMAGE[damage](slot)
    failed = used("snapshots", status=12 if damage != "missing" else 10)
    if damage != "flipped":  # then nobody can tell it from a wrong passphrase
        assert "'snapfs repair'" in failed.stderr
    assert len(used("repair", "--json").json["put_back"]) == 2
    assert state(used) == before
    assert "nothing is damaged" in used("check").text


def test_a_slot_that_cannot_be_read(used: Snapfs) -> None:
    """It stays copied while another slot lets in."""
    before = state(used)
    listed = used("key", "list", "--json").json
    (other,) = [slot["id"] for slot in listed if not slot["current"]]
    (used.repository / "keys" / other).write_bytes(b"{")
    used("snapshots")
    assert used("repair", "--json").json["put_back"] == [f"keys/{other}"]
    assert state(used) == before


def test_all_of_it(used: Snapfs) -> None:
    before = state(used)
    for name in before:
        if not name.startswith(("packs/", "log/")):
            (used.repository / name).unlink()
    assert used("repair", "--json").json["sound"]
    assert state(used) == before


def test_a_slot_that_was_removed_stays_so(used: Snapfs) -> None:
    """Also where another of its host removed it."""
    listed = used("key", "list", "--json").json
    (other,) = [slot["id"] for slot in listed if not slot["current"]]
    (used.repository / "keys" / other).unlink()
    assert used("repair", "--json").json["put_back"] == []
    assert len(slots(used)) == 1
    for slot in slots(used):
        slot.unlink()
    assert len(used("repair", "--json").json["put_back"]) == 1, "and it is copied no longer"


def test_slots_that_another_machine_replaced_stay_gone(used: Snapfs) -> None:
    """All that this one knew were removed there, because the passphrase was not safe any more."""
    old = {slot.name for slot in slots(used)}
    there = {"SNAPFS_STATE_DIR": str(used.home / "there")}
    used("key", "passwd", SNAPFS_NEW_PASSPHRASE="another passphrase", **there)
    there["SNAPFS_PASSPHRASE"] = "another passphrase"
    for slot in used("key", "list", "--json", **there).json:
        if not slot["current"]:
            used("key", "remove", slot["id"], **there)
    used("repair", status=12)
    assert not old & {slot.name for slot in slots(used)}


@pytest.mark.parametrize("damage", ["missing", "emptied"])
def test_another_repository_without_its_marker_is_left_alone(
    used: Snapfs, tmp_path: Path, damage: str
) -> None:
    tree = tmp_path / "tree"
    used.repository.rename(tmp_path / "away")
    there = {"SNAPFS_STATE_DIR": str(tmp_path / "there")}
    used("init", **there)
    used("ingest", tree, "--host", "web", "--name", "data", **there)
    DAMAGE[damage](used.repository / "snapfs.json")
    before = state(used)
    used("repair", status=10 if damage == "missing" else 1)
    assert state(used) == before


def test_a_repository_that_was_removed_stays_so(used: Snapfs) -> None:
    for name in state(used):
        (used.repository / name).unlink()
    failed = used("repair", status=10)
    assert "is this the right disk or bucket?" in failed.stderr
    assert state(used) == {}


def test_another_repository_at_this_place_is_left_alone(used: Snapfs, tmp_path: Path) -> None:
    used.repository.rename(tmp_path / "away")
    elsewhere = {
        "SNAPFS_STATE_DIR": str(tmp_path / "other state"), "SNAPFS_PASSPHRASE": PASSPHRASE
    }  # fmt: skip
    used("init", **elsewhere)
    before = state(used)
    used("repair", status=1)
    assert state(used) == before


def test_copies_that_are_damaged_are_not_put_back(used: Snapfs) -> None:
    (path,) = (used.home / "state").rglob("copies.db")
    with closing(Copies.open(path).db) as db:
        db.execute("UPDATE copy SET data = zeroblob(length(data)) WHERE name = 'snapfs.json'")
    (used.repository / "snapfs.json").unlink()
    used("repair", status=10)
    assert not (used.repository / "snapfs.json").exists()


def test_copies_that_are_damaged_are_no_damage_to_the_repository(used: Snapfs) -> None:
    (path,) = (used.home / "state").rglob("copies.db")
    with closing(Copies.open(path).db) as db:
        db.execute("UPDATE copy SET data = zeroblob(length(data))")
    assert "nothing is damaged" in used("repair", "--dry-run").text
