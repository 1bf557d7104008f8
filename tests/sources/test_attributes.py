"""Attributes as they are taken from real inodes and from times that no file system here holds."""

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from snapfs.model.attributes import NANOSECONDS, Attributes
from snapfs.model.finding import Finding, Trouble
from snapfs.sources.attributes import attributes_of, attributes_of_open


@pytest.fixture
def findings() -> list[Finding]:
    return []


def _of(path: Path, findings: list[Finding], **options: int) -> Attributes:
    return attributes_of(os.fsencode(path), os.lstat(path), report=findings.append, **options)


def _set(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        pytest.skip(f"{name} cannot be set here: {error}")


def test_a_file(tmp_path: Path, findings: list[Finding]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 77)
    path.chmod(0o4750)
    os.utime(path, ns=(0, -1_500_000_001))
    found = _of(path, findings, nlink=3)
    assert found.mode == stat.S_IFREG | 0o4750
    assert (found.uid, found.gid) == (os.lstat(path).st_uid, os.lstat(path).st_gid)
    assert (found.size, found.nlink, found.rdev) == (77, 3, 0)
    assert found.mtime_ns == -1_500_000_001
    with open(path, "rb") as opened:
        status = os.fstat(opened.fileno())
        same = attributes_of_open(
            opened.fileno(), b"/p", status, size=77, nlink=3, report=findings.append
        )
    assert same == found
    assert findings == []


def test_a_link(tmp_path: Path, findings: list[Finding]) -> None:
    path = tmp_path / "link"
    os.symlink(b"to/\xff\xfe" + b"\xc3\xa4" * 100, path)
    found = _of(path, findings)
    assert found.is_symlink
    assert found.target == b"to/\xff\xfe" + b"\xc3\xa4" * 100
    assert found.size == len(found.target)


def test_a_directory_has_one_name_and_no_size(tmp_path: Path, findings: list[Finding]) -> None:
    (tmp_path / "sub").mkdir()
    found = _of(tmp_path, findings, nlink=5)
    assert (found.is_directory, found.nlink, found.size) == (True, 1, 0)


def test_a_fifo_and_a_device(tmp_path: Path, findings: list[Finding]) -> None:
    os.mkfifo(tmp_path / "fifo")
    fifo = _of(tmp_path / "fifo", findings)
    assert (stat.S_ISFIFO(fifo.mode), fifo.rdev, fifo.size) == (True, 0, 0)
    null = _of(Path("/dev/null"), findings)
    assert (null.is_device, null.rdev, null.size) == (True, os.makedev(1, 3), 0)


def _status(mtime_ns: int) -> os.stat_result:
    fields = (stat.S_IFREG | 0o644, 1, 1, 1, 0, 0, 0, 0, mtime_ns // NANOSECONDS, 0)
    return os.stat_result(fields, {"st_mtime_ns": mtime_ns, "st_blocks": 0})


@pytest.mark.parametrize("seconds", [-11_644_473_600, -1, 0, 13_569_465_600])
def test_times_from_1601_to_2400(tmp_path: Path, findings: list[Finding], seconds: int) -> None:
    path = tmp_path / "file"
    path.touch()
    wanted = seconds * NANOSECONDS + 123_456_789
    found = attributes_of(os.fsencode(path), _status(wanted), report=findings.append)
    assert found.mtime_ns == wanted


@pytest.mark.parametrize("seconds", [-11_644_473_600, 13_569_465_600])
def test_such_times_from_a_file_system_that_holds_them(
    findings: list[Finding], seconds: int
) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        pytest.skip("no file system in memory")
    path = memory / f"snapfs-time-{os.getpid()}"
    path.touch()
    try:
        os.utime(path, (seconds, seconds))
        assert _of(path, findings).mtime_ns == seconds * NANOSECONDS
    finally:
        path.unlink()


def test_xattrs_in_order_of_name(tmp_path: Path, findings: list[Finding]) -> None:
    path = tmp_path / "file"
    path.touch()
    _set(path, "user.b", b"\x00\xff")
    _set(path, "user.\udcff", b"odd name")
    _set(path, "user.a", b"")
    found = _of(path, findings)
    assert found.xattrs == ((b"user.a", b""), (b"user.b", b"\x00\xff"), (b"user.\xff", b"odd name"))


def test_xattrs_of_a_link_are_its_own(tmp_path: Path, findings: list[Finding]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    _set(tmp_path / "file", "user.a", b"of the file")
    _set(tmp_path / "link", "trusted.a", b"of the link")
    assert _of(tmp_path / "link", findings).xattrs == ((b"trusted.a", b"of the link"),)


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="no setfacl")
def test_acls_are_xattrs(tmp_path: Path, findings: list[Finding]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    subprocess.run(["setfacl", "-m", "u:1234:rwx,d:u:1234:r-x", folder], check=True)
    names = [name for name, _value in _of(folder, findings).xattrs]
    assert names == [b"system.posix_acl_access", b"system.posix_acl_default"]


def _listing(monkeypatch: pytest.MonkeyPatch, values: dict[str, bytes | int]) -> None:
    def get(_path: bytes, name: str, *, follow_symlinks: bool) -> bytes:
        assert not follow_symlinks
        value = values[name]
        if isinstance(value, int):
            raise OSError(value, os.strerror(value))
        return value

    monkeypatch.setattr(os, "listxattr", lambda _path, *, follow_symlinks: list(values))
    monkeypatch.setattr(os, "getxattr", get)


def test_what_belongs_to_the_file_system_is_left_out(
    tmp_path: Path, findings: list[Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ["security.selinux", "system.nfs4_acl", "system.posix_acl_access", "user.btrfs.x"]
    foreign = ["btrfs.compression", "ceph.dir.rbytes", "system.ntfs_attrib", "trusted.lov"]
    with monkeypatch.context() as patch:
        _listing(patch, dict.fromkeys(foreign + kept, b"v"))
        found = _of(tmp_path, findings)
    assert [name.decode() for name, _value in found.xattrs] == sorted(kept)


def test_an_xattr_that_vanished_is_skipped_and_one_that_fails_is_reported(
    tmp_path: Path, findings: list[Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _listing(patch, {"user.a": b"1", "user.b": errno.ENODATA, "user.c": errno.EIO})
        found = _of(tmp_path, findings)
    assert found.xattrs == ((b"user.a", b"1"),)
    [finding] = findings
    assert (finding.trouble, finding.path) == (Trouble.METADATA, os.fsencode(tmp_path))
    assert "user.c" in finding.detail


@pytest.mark.parametrize(("number", "reported"), [(errno.ENOTSUP, 0), (errno.EACCES, 1)])
def test_a_listing_of_xattrs_that_fails(
    tmp_path: Path,
    findings: list[Finding],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    reported: int,
) -> None:
    def fail(_path: bytes, *, follow_symlinks: bool) -> list[str]:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "listxattr", fail)
        assert _of(tmp_path, findings).xattrs == ()
    assert len(findings) == reported
