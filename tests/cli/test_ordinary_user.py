"""What an ordinary user can do without any help of root's: everything, for files of their own."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Snapfs

_NOBODY = "65534"
_DEVICE = Path("/dev/fuse")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)


@pytest.fixture
def nobody() -> Iterator[Snapfs]:
    """A user whose state is where the program puts it by itself."""
    # Python and this project may lie where others cannot look: that is not what is tested here.
    prefix = (
        "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups",
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="snapfs-nobody-") as folder:
        home = Path(folder)
        (home / "files").mkdir()
        (home / "files" / "own").write_text("mine\n")
        for path in (home, *home.rglob("*")):
            os.chown(path, int(_NOBODY), int(_NOBODY))
        user = Snapfs(home, prefix=prefix)
        for variable in ("SNAPFS_REPOSITORY", "SNAPFS_STATE_DIR", "SNAPFS_CACHE_DIR"):
            del user.environment[variable]
        yield user


def test_a_users_own_repository(nobody: Snapfs) -> None:
    where = nobody.home / ".local/share/snapfs/repository"
    assert nobody("init", "--json").json["url"] == str(where)
    nobody("ingest", "files")
    assert (nobody.home / ".local/state/snapfs").is_dir()
    nobody("restore", f"latest:{nobody.home}/files", "--target", "back")
    assert (nobody.home / "back" / "own").read_text() == "mine\n"
    nobody("check", "--read-data")


@pytest.mark.skipif(
    not (_DEVICE.exists() and _DEVICE.stat().st_mode & stat.S_IWOTH),
    reason="/dev/fuse is closed to users here",
)
def test_a_users_own_mount(nobody: Snapfs) -> None:
    nobody("init")
    nobody("ingest", "files", "--name", "files", "--host", "web")
    (nobody.home / "mnt").mkdir()
    os.chown(nobody.home / "mnt", int(_NOBODY), int(_NOBODY))
    nobody("mount", "mnt")
    try:
        with pytest.raises(PermissionError):
            os.listdir(nobody.home / "mnt")  # not even root may look inside
        own = f"mnt/web/files/latest{nobody.home}/files/own"
        read = subprocess.run(
            [*nobody.prefix, "cat", own], cwd=nobody.home, capture_output=True, check=True
        )
        assert read.stdout == b"mine\n"
    finally:
        nobody("umount", "mnt")
    assert os.listdir(nobody.home / "mnt") == []
