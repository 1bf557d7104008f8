"""snapfs check as a user meets it: what it prints, its JSON, its exit status."""

from pathlib import Path

import pytest

from tests.cli.running import Snapfs


@pytest.fixture
def snapfs(tmp_path: Path) -> Snapfs:
    """A repository with one snapshot of two files."""
    program = Snapfs(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one").write_bytes(b"one" * 1000)
    (tree / "two").write_bytes(b"two" * 1000)
    program("init")
    program("ingest", tree, "--host", "web", "--name", "tree")
    return program


def test_nothing_is_damaged(snapfs: Snapfs) -> None:
    assert "nothing is damaged" in snapfs("check").text
    told = snapfs("check", "--read-data", "--json").json
    assert told["sound"] is True
    assert told["problems"] == told["affected"] == []
    assert told["compared"] is True
    assert told["orphans"] == {"objects": 0, "bytes": 0}
    assert (told["checked"]["packs_read"], told["checked"]["blocks_read"]) == (1, 2)
    assert snapfs("check", "--read-data-subset", "2/2", "--json").json["sound"]


def test_damage(snapfs: Snapfs) -> None:
    (pack,) = (path for path in (snapfs.repository / "packs").rglob("*") if path.is_file())
    pack.unlink()
    done = snapfs("check", status=1)
    name = f"packs/{pack.parent.name}/{pack.name}"
    assert f"{name}: is missing" in done.stderr
    assert f"web/tree:{snapfs.home}/tree/one, snapshot" in done.stderr
    assert "2 paths cannot be given back" in done.text
    told = snapfs("check", "--json", status=1).json
    assert told["sound"] is False
    assert told["problems"][0]["object"] == name
    assert [each["path"] for each in told["affected"]] == [
        f"{snapfs.home}/tree/one", f"{snapfs.home}/tree/two"
    ]  # fmt: skip


def test_all_paths_are_named_when_told_to(snapfs: Snapfs) -> None:
    tree = snapfs.home / "tree"
    for number in range(103):
        (tree / f"{number}").write_bytes(b"%d" % number * 1000)
    snapfs("ingest", tree, "--host", "web", "--name", "tree")
    for pack in (snapfs.repository / "packs").rglob("*"):
        if pack.is_file():
            pack.unlink()
    told = snapfs("check", "--json", status=1).json
    assert (told["affected_count"], len(told["affected"])) == (105, 100)
    assert "and 5 paths more" in snapfs("check", status=1).stderr
    told = snapfs("check", "--json", "--all-paths", status=1).json
    assert (told["affected_count"], len(told["affected"])) == (105, 105)
    assert f"web/tree:{tree}/102, snapshot" in snapfs("check", "--all-paths", status=1).stderr


def test_words_that_do_not_fit(snapfs: Snapfs) -> None:
    for part in ("0%", "3/2", "much"):
        snapfs("check", "--read-data-subset", part, status=2)
    snapfs("check", "--read-data", "--read-data-subset", "5%", status=2)
