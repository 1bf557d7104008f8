"""mount and umount as a user meets them: in the background, in the foreground, and refused."""

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cli.running import WITHIN, Snapfs, damage_pack, eventually

pytestmark = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="no FUSE")


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, where nothing is mounted any more afterwards."""
    with _empty(tmp_path / "mnt") as place:
        yield place


@pytest.fixture
def other_mountpoint(tmp_path: Path) -> Iterator[Path]:
    """A second one."""
    with _empty(tmp_path / "other") as place:
        yield place


@contextmanager
def _empty(place: Path) -> Iterator[Path]:
    place.mkdir()
    yield place
    with suppress(FileNotFoundError):
        subprocess.run(["fusermount3", "-uz", place], capture_output=True, check=False)


def test_in_the_background(snapfs: Snapfs, tree: Path, mountpoint: Path) -> None:
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    assert snapfs("mount", "mnt", "--json").json == {"mountpoint": str(mountpoint)}
    assert mountpoint.is_mount()
    latest = mountpoint / "web" / "data" / "latest"
    subprocess.run(["diff", "-r", "--no-dereference", tree, f"{latest}{tree}"], check=True)

    (tree / "a.txt").write_text("newer\n")
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    seen = Path(f"{latest}{tree}/a.txt")
    eventually(lambda: seen.read_text() == "newer\n")

    snapfs("umount", mountpoint)
    assert not mountpoint.is_mount()


def test_two_at_once(snapfs: Snapfs, tree: Path, mountpoint: Path, other_mountpoint: Path) -> None:
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    snapfs("mount", mountpoint)
    snapfs("mount", other_mountpoint)
    (tree / "a.txt").write_text("newer\n")
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    for place in (mountpoint, other_mountpoint):
        latest = place / "web" / "data" / "latest"
        seen = Path(f"{latest}{tree}/a.txt")
        eventually(lambda seen=seen: seen.read_text() == "newer\n")  # type: ignore[misc]
        subprocess.run(["diff", "-r", "--no-dereference", tree, f"{latest}{tree}"], check=True)
        # What the first one ends, the second goes on with.
        snapfs("umount", place)


def test_a_mount_is_not_stored(snapfs: Snapfs, tree: Path) -> None:
    (tree / "mnt").mkdir()
    before = snapfs("ingest", tree, "--json").json["files"]
    snapfs("mount", tree / "mnt")
    try:
        assert list((tree / "mnt").iterdir())
        told = snapfs("ingest", tree, "--json").json
        assert told["files"]["new"] == 0
        assert told["files"]["unchanged"] == before["new"]
        (copy,) = (tree / "mnt").glob("*/*/latest")
        named = snapfs("ingest", copy.resolve(), "--name", "copy", "--json").json
        assert named["files"]["new"] == before["new"]
    finally:
        snapfs("umount", tree / "mnt")


def test_its_log_and_its_environment_keep_the_secret(snapfs: Snapfs, mountpoint: Path) -> None:
    snapfs("mount", mountpoint, "-vv")
    log = snapfs.home / "state" / "mount.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    secret = snapfs.environment["SNAPFS_PASSPHRASE"].encode()
    assert secret not in log.read_bytes()
    servers = [
        process
        for process in Path("/proc").glob("[0-9]*")
        if _read(process / "cmdline").find(bytes(mountpoint)) > 0
    ]
    assert servers
    for process in servers:
        assert secret not in _read(process / "environ") + _read(process / "cmdline")
    snapfs("umount", mountpoint)


def test_in_the_foreground_until_a_signal(snapfs: Snapfs, mountpoint: Path) -> None:
    address = snapfs.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(address))
        notified.settimeout(WITHIN)
        snapfs.environment["NOTIFY_SOCKET"] = str(address)
        with snapfs.start("mount", "--foreground", mountpoint) as serving:
            assert notified.recv(100) == b"READY=1"
            assert mountpoint.is_mount()
            serving.send_signal(signal.SIGTERM)
            stdout, stderr = serving.communicate(timeout=WITHIN)
    assert (serving.returncode, stderr) == (0, b"")
    assert stdout.startswith(b"mounted at")
    assert not mountpoint.is_mount()


def test_what_is_in_the_way(snapfs: Snapfs, tree: Path, mountpoint: Path) -> None:
    assert "/nosuch" in snapfs("mount", "/nosuch", status=1).stderr
    assert "empty" in snapfs("mount", tree, status=1).stderr
    assert "directory" in snapfs("mount", tree / "a.txt", status=1).stderr
    assert "nothing is mounted" in snapfs("umount", mountpoint, status=1).stderr
    snapfs("mount", mountpoint)
    assert "already" in snapfs("mount", mountpoint, status=1).stderr
    inside = os.open(mountpoint, os.O_RDONLY)
    assert "in use" in snapfs("umount", mountpoint, status=1).stderr
    snapfs("umount", "--lazy", mountpoint)
    os.close(inside)
    assert not mountpoint.is_mount()


def test_the_background_fails_aloud(snapfs: Snapfs, bare: Snapfs, mountpoint: Path) -> None:
    failed = snapfs("mount", mountpoint, status=12, SNAPFS_PASSPHRASE="wrong")
    assert "passphrase" in failed.stderr
    assert snapfs("mount", mountpoint, status=10, SNAPFS_REPOSITORY="/nosuch").stdout == b""
    assert not mountpoint.is_mount()


def test_what_cannot_be_read_is_a_finding(snapfs: Snapfs, tree: Path, mountpoint: Path) -> None:
    # Root can read everything but this: a file of a mount whose content is damaged.
    snapfs("ingest", tree, "--host", "web", "--name", "data")
    damage_pack(snapfs.repository)
    snapfs("mount", mountpoint)
    source = f"{mountpoint}/web/data/latest{tree}/sub"
    done = snapfs("ingest", source, "--name", "copy", status=3)
    assert done.stderr == f"unreadable: {source}/b.bin: Input/output error\n"
    assert "1 failed" in done.text
    told = snapfs("ingest", source, "--name", "copy", "--json", status=3)
    assert told.json["findings"] == {"unreadable": 1}
    assert '"finding":"unreadable"' in told.stderr
    listed = snapfs("snapshots", "--name", "copy", "--json").json
    assert [item["files"]["failed"] for item in listed] == [1, 1]
    snapfs("umount", mountpoint)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # of another user, or gone
        return b""
