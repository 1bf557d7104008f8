"""In the background: back when the mount is there, loud when it is not."""

import os
import signal
import stat
import sys
from pathlib import Path

import pytest
import trio

from snapfs.errors import MountError, WrongPassphraseError
from snapfs.mount import daemon, mountinfo
from snapfs.mount.unmount import unmount
from tests.mount.server import SECRET, write_repository

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    # The child runs in /, and is to find the package all the same.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    trio.run(write_repository, tmp_path / "objects")
    (tmp_path / "mnt").mkdir()
    words = [sys.executable, "-m", "tests.mount.server"]
    return [*words, *(str(tmp_path / name) for name in ("objects", "state", "mnt"))]


def test_it_returns_when_the_mount_is_there(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "logs/mount.log"
    daemon.start(command, secret=SECRET.encode, log_file=log)
    try:
        assert (tmp_path / "mnt/web/root/latest/file").read_bytes() == b"content"
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert "serving" in log.read_text()
        found = _find(tmp_path / "mnt")
        assert os.getsid(found) == found != os.getsid(0)
        assert os.readlink(f"/proc/{found}/cwd") == "/"
        for file_of in ("environ", "cmdline"):
            assert SECRET.encode() not in Path(f"/proc/{found}/{file_of}").read_bytes()
    finally:
        unmount(tmp_path / "mnt")


def test_an_error_of_the_child_is_raised_here_with_its_words(
    command: list[str], tmp_path: Path
) -> None:
    with pytest.raises(MountError) as caught:
        daemon.start(command, secret=lambda: b"wrong", log_file=tmp_path / "mount.log")
    assert (caught.value.what, caught.value.hint) == ("wrong passphrase", "think")
    assert caught.value.exit_status == WrongPassphraseError.exit_status
    assert mountinfo.find(str(tmp_path / "mnt")) is None


def test_a_bad_mountpoint_is_told_too(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "mnt").rmdir()
    with pytest.raises(MountError, match="does not exist"):
        daemon.start(command, secret=SECRET.encode, log_file=tmp_path / "mount.log")


def test_a_child_that_dies_is_told_with_the_last_line_of_its_log(
    command: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "mount.log"
    with pytest.raises(MountError) as caught:
        daemon.start([*command, "crash"], secret=SECRET.encode, log_file=log)
    assert "ended with status 7" in caught.value.what
    assert "serving, and this is the last line" in caught.value.what
    assert str(log) in caught.value.hint
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.raises(MountError, match=f"ended by signal {signal.SIGKILL:d}"):
        daemon.start(killed, secret=SECRET.encode, log_file=log)


def test_a_process_that_was_started_otherwise_inherits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(daemon.VARIABLE, raising=False)
    assert daemon.inherited() is None


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    log = tmp_path / "mount.log"
    log.write_bytes(b"x" * (daemon.LOG_BYTES + 1))
    with pytest.raises(MountError):
        daemon.start(["true"], secret=lambda: b"", log_file=log)
    assert log.stat().st_size == 0
    assert (tmp_path / "mount.log.1").stat().st_size > daemon.LOG_BYTES


def _find(mountpoint: Path) -> int:
    """The process that serves a mountpoint."""
    for process in Path("/proc").glob("[0-9]*"):
        words = (process / "cmdline").read_bytes().split(b"\0")
        if os.fsencode(mountpoint) in words:
            return int(process.name)
    raise AssertionError("nobody serves it")
