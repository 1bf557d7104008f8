"""However a mount ends, nothing stale is left; and it is ended only by those who mean it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from snapfs.errors import MountError
from snapfs.mount import mountinfo
from snapfs.mount.mountpoint import Machine
from snapfs.mount.unmount import unmount, users
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.build import built
from tests.mount.mounting import mounted
from tests.mount.server import write_repository


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """A repository in a directory, for other processes to serve."""
    trio.run(write_repository, tmp_path / "objects")
    return tmp_path / "objects"


@contextmanager
def served(objects: Path, mountpoint: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves a mount in the foreground."""
    mountpoint.mkdir()
    command = [sys.executable, "-m", "tests.mount.server"]
    command += [str(path) for path in (objects, objects.parent / "state", mountpoint)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        while b"ready" not in process.stdout.readline():
            assert process.poll() is None
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        if mountinfo.find(str(mountpoint)):
            subprocess.run(["umount", "-l", mountpoint], check=True)


ENDINGS: dict[str, Callable[[subprocess.Popen[bytes], Path], object]] = {
    "SIGTERM": lambda process, _: process.send_signal(signal.SIGTERM),
    "SIGINT": lambda process, _: process.send_signal(signal.SIGINT),
    "umount": lambda _, path: subprocess.run(["umount", path], check=True),
    "fusermount3": lambda _, path: subprocess.run(["fusermount3", "-u", path], check=True),
    "unmount": lambda _, path: unmount(path),
    "unmount by root without FUSE's program": lambda _, path: unmount(
        path, machine=Machine(which=lambda name: "/bin/umount" if name == "umount" else None)
    ),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="some of them need root")
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_mount_is_left(objects: Path, mountpoint: Path, ending: str) -> None:
    with served(objects, mountpoint) as process:
        assert (mountpoint / "web/root/latest/file").read_bytes() == b"content"
        ENDINGS[ending](process, mountpoint)
        assert process.wait(10) == 0
        assert mountinfo.find(str(mountpoint)) is None
        assert os.listdir(mountpoint) == []


def test_open_files_do_not_keep_a_mount_that_is_told_to_end(
    objects: Path, mountpoint: Path
) -> None:
    with served(objects, mountpoint) as process:
        opened = os.open(mountpoint / "web/root/latest/file", os.O_RDONLY)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert mountinfo.find(str(mountpoint)) is None
        with pytest.raises(OSError):
            os.close(opened)


def test_a_mount_in_use_is_not_taken_away_unless_lazily(objects: Path, mountpoint: Path) -> None:
    with served(objects, mountpoint) as process:
        with open(mountpoint / "web/root/latest/file", "rb"):
            with pytest.raises(MountError) as caught:
                unmount(mountpoint)
            assert f"({os.getpid()})" in caught.value.what
            assert process.poll() is None
            unmount(mountpoint, lazy=True)
            assert mountinfo.find(str(mountpoint)) is None
        assert process.wait(10) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount of a dead process is root's to remove")
def test_a_mount_whose_program_was_killed_can_be_cleared(objects: Path, mountpoint: Path) -> None:
    with served(objects, mountpoint) as process:
        process.kill()
        process.wait()
        assert mountinfo.find(str(mountpoint)) is not None
        unmount(mountpoint)
        assert mountinfo.find(str(mountpoint)) is None


def test_only_what_snapfs_mounted_is_unmounted(tmp_path: Path) -> None:
    with pytest.raises(MountError, match="nothing is mounted here"):
        unmount(tmp_path)
    with pytest.raises(MountError, match="another kind"):
        unmount(Path("/proc"))


def test_users_are_found_by_directory_and_by_open_file(tmp_path: Path) -> None:
    (tmp_path / "place/inner").mkdir(parents=True)
    (tmp_path / "place-beside").mkdir()
    inside = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "place/inner")
    beside = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "place-beside")
    try:
        deadline = time.monotonic() + 10
        while (found := dict(users(str(tmp_path / "place")))) and time.monotonic() < deadline:
            if found.get(inside.pid) == "sleep":
                break
        assert found.get(inside.pid) == "sleep"
        assert beside.pid not in found
    finally:
        for process in (inside, beside):
            process.kill()
            process.wait()


async def test_cancelling_ends_the_mount(objects: Path, mountpoint: Path, tmp_path: Path) -> None:
    async with built(ThreadedStore(Files(objects)), tmp_path / "reader") as repository:
        async with mounted(repository, mountpoint):
            assert mountinfo.find(str(mountpoint)) is not None
        assert mountinfo.find(str(mountpoint)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise it")
def test_the_kernel_reads_a_mebibyte_ahead(objects: Path, mountpoint: Path) -> None:
    with served(objects, mountpoint):
        found = mountinfo.find(str(mountpoint))
        assert found is not None
        assert Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").read_text() == "1024\n"
