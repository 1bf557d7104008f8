"""info and --plain as a user meets them."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from snapfs.cli.commands.info import _typed
from snapfs.mount.factnames import packs_text
from tests.cli.running import Snapfs

pytestmark = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no FUSE")


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, where nothing is mounted any more afterwards."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    with suppress(FileNotFoundError):
        subprocess.run(["fusermount3", "-uz", place], capture_output=True, check=False)


def test_info_of_a_file_in_a_mount(snapfs: Snapfs, tree: Path, mountpoint: Path) -> None:
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    (tree / "a.txt").write_text("newer\n")
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    snapfs("mount", mountpoint)
    path = Path(f"{mountpoint}/web/data/latest{tree}/a.txt")
    known = snapfs("info", path, "--json").json
    assert known["versions"] == 2
    assert known["first"] == known["last"]
    assert known["blocks"] == 1
    assert known["stored"] > 0
    (pack,) = known["packs"]
    assert len(bytes.fromhex(pack)) == 16
    text = snapfs("info", path).text
    assert f"content   {known['content']}\n" in text
    versions = Path(f"{mountpoint}/web/data/.versions{tree}/a.txt")
    assert "newer\n" in [file.read_text() for file in versions.iterdir()]
    assert len(list(versions.iterdir())) == 2
    refused = snapfs("info", path.parent, status=2)
    assert "nothing is known of it" in refused.stderr
    assert snapfs("info", tree / "a.txt", status=2).stderr
    assert "No such file" in snapfs("info", tree / "none", status=2).stderr


def test_info_of_more_packs_than_an_attribute_names() -> None:
    packs = [f"{number:02x}" for number in range(76)]
    assert _typed({"blocks": "7", "packs": packs_text(packs[:64])}) == {
        "blocks": 7,
        "packs": packs[:64],
    }
    assert packs_text(packs).endswith(" 3f and 12 more")
    assert _typed({"packs": packs_text(packs)}) == {"packs": packs[:64], "more_packs": 12}


def test_a_plain_mount_knows_nothing(snapfs: Snapfs, tree: Path, mountpoint: Path) -> None:
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    snapfs("mount", mountpoint, "--plain")
    path = Path(f"{mountpoint}/web/data/latest{tree}/a.txt")
    assert path.is_file()
    assert snapfs("info", path, status=2).stderr
    assert not Path(f"{mountpoint}/web/data/@latest").is_symlink()
