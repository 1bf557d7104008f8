"""Every reason why something cannot be mounted has its sentence, and nothing is left behind."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from snapfs.errors import MountError
from snapfs.mount import mountinfo
from snapfs.mount.mountpoint import Machine, check_machine, check_mountpoint
from snapfs.mount.options import MountOptions
from snapfs.mount.serve import serve
from snapfs.repository.repository import Repository
from tests.build import Builder
from tests.mount.mounting import mounted, use

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def _message(check: object, *arguments: object) -> str:
    with pytest.raises(MountError) as caught:
        check(*arguments)  # type: ignore[operator]
    assert caught.value.hint
    return caught.value.what


def test_a_good_mountpoint_is_given_back_resolved(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("dir")
    assert check_mountpoint(tmp_path / "link") == str((tmp_path / "dir").resolve())


def test_bad_mountpoints(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full/something").mkdir(parents=True)
    assert "does not exist" in _message(check_mountpoint, tmp_path / "missing")
    assert "is not a directory" in _message(check_mountpoint, tmp_path / "file")
    assert "is not empty" in _message(check_mountpoint, tmp_path / "full")
    assert "something else is mounted" in _message(check_mountpoint, Path("/proc"))


@as_root
def test_a_directory_of_someone_else(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    for above in (tmp_path, *tmp_path.parents):
        if above == Path(tempfile.gettempdir()):
            break
        above.chmod(0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            check_mountpoint(tmp_path / "theirs")
        except MountError as error:
            os.write(writer, error.what.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        assert "you may not mount here" in answer.read()
    os.waitpid(child, 0)


async def test_where_snapfs_is_mounted_already(builder: Builder, mountpoint: Path) -> None:
    await builder.commit({})
    async with mounted(builder.repository, mountpoint):
        assert "is mounted here already" in await use(_message, check_mountpoint, mountpoint)


@pytest.fixture
def stale(tmp_path: Path) -> Iterator[Path]:
    """A mount whose program is dead."""
    (tmp_path / "stale").mkdir()
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0"
    command = ["mount", "-i", "-t", "fuse.snapfs", "-o", options, "snapfs", tmp_path / "stale"]
    subprocess.run(command, check=True, pass_fds=[descriptor])
    os.close(descriptor)
    yield tmp_path / "stale"
    subprocess.run(["umount", "-l", tmp_path / "stale"], check=False, capture_output=True)


@as_root
def test_a_mount_that_lost_its_program(stale: Path) -> None:
    assert "whose program has ended" in _message(check_mountpoint, stale)


def test_machines_that_cannot_mount(tmp_path: Path) -> None:
    user = {"effective_user": lambda: 1000}
    allowing = tmp_path / "fuse.conf"
    allowing.write_text("# user_allow_other\nuser_allow_other\n")
    plain, others = MountOptions(), MountOptions(allow_other=True)
    missing = tmp_path / "missing"
    assert "is missing" in _message(check_machine, plain, Machine(device=missing))
    bare = Machine(which=lambda _: None, **user)  # type: ignore[arg-type]
    assert "fusermount3 is missing" in _message(check_machine, plain, bare)
    check_machine(plain, Machine(which=lambda _: None, effective_user=lambda: 0))
    here = {"which": lambda name: f"/bin/{name}", **user}
    check_machine(plain, Machine(configuration=missing, **here))  # type: ignore[arg-type]
    check_machine(others, Machine(configuration=allowing, **here))  # type: ignore[arg-type]
    forbidding = Machine(configuration=missing, **here)  # type: ignore[arg-type]
    assert "--allow-other is not permitted" in _message(check_machine, others, forbidding)


async def test_libfuse_s_own_reason_is_told(
    repository: Repository, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trio.Path(mountpoint).mkdir()
    monkeypatch.setattr(MountOptions, "fuse", lambda self: {"ro", "no_such_option"})
    with pytest.raises(MountError) as caught:
        await serve(repository, mountpoint, MountOptions(), ready=lambda: None)
    assert "could not be mounted" in caught.value.what
    assert "no_such_option" in caught.value.what
    assert mountinfo.find(str(mountpoint)) is None


def test_the_table_of_mounts_is_read_as_the_kernel_writes_it() -> None:
    table = (
        "22 1 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"
        "43 27 0:39 / /mnt/a\\040b\\134c ro,nosuid - fuse.snapfs snapfs ro,user_id=0\n"
        "44 27 0:40 / /mnt/- rw shared:1 master:2 - tmpfs - rw\n"
        "nonsense\n"
    )
    assert mountinfo.parse(table) == [
        mountinfo.Mounted("/proc", "0:21", "proc"),
        mountinfo.Mounted("/mnt/a b\\c", "0:39", "fuse.snapfs"),
        mountinfo.Mounted("/mnt/-", "0:40", "tmpfs"),
    ]
