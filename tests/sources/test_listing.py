"""Listing a directory: order, pages, the spill file, and what goes wrong on the way."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import LocalError
from snapfs.model.finding import Finding, Trouble
from snapfs.sources.listing import Found, list_directory


def _fill(folder: Path, names: list[bytes]) -> bytes:
    path = os.fsencode(folder)
    for name in names:
        Path(os.fsdecode(os.path.join(path, name))).touch()
    return path


def _pages(
    path: bytes, spill: Path, findings: list[Finding], *, page: int = 4096, in_memory: int = 50_000
) -> list[list[Found]]:
    return list(
        list_directory(path, report=findings.append, spill=spill, page=page, in_memory=in_memory)
    )


def _unexpected(finding: Finding) -> None:
    raise AssertionError(finding)


@pytest.fixture
def spill(tmp_path: Path) -> Path:
    folder = tmp_path / "spill"
    folder.mkdir()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


ODD = [b"a", b"\xff" * 255, b"\xf0\x9f\x90\x8c", b"\xef\xbf\xbd", b"new\nline", b"-", b"\x80"]


@pytest.mark.parametrize("in_memory", [2, len(ODD) - 1, len(ODD), 50])
def test_names_come_in_order_of_their_bytes(folder: Path, spill: Path, in_memory: int) -> None:
    path = _fill(folder, ODD)
    findings: list[Finding] = []
    pages = _pages(path, spill, findings, page=3, in_memory=in_memory)
    assert [found.name for page in pages for found in page] == sorted(ODD)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert findings == []


def test_entries_carry_their_own_lstat(folder: Path, spill: Path) -> None:
    (folder / "link").symlink_to("/nowhere")
    [[found]] = _pages(os.fsencode(folder), spill, [])
    assert os.path.samestat(found.stat, os.lstat(folder / "link"))


def test_an_empty_directory_has_no_pages(folder: Path, spill: Path) -> None:
    assert _pages(os.fsencode(folder), spill, []) == []


def test_nothing_is_left_in_the_spill_directory(folder: Path, spill: Path) -> None:
    path = _fill(folder, [b"%04d" % number for number in range(300)])
    pages = list_directory(path, report=_unexpected, spill=spill, page=100, in_memory=10)
    assert next(pages)[0].name == b"0000"
    assert list(spill.iterdir()) == []
    before = len(os.listdir("/proc/self/fd"))
    pages.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before - 2


@pytest.mark.parametrize("in_memory", [2, 50])
def test_a_name_that_vanished_is_left_out(folder: Path, spill: Path, in_memory: int) -> None:
    path = _fill(folder, [b"a", b"b", b"c", b"d"])
    findings: list[Finding] = []
    pages = list_directory(path, report=findings.append, spill=spill, page=2, in_memory=in_memory)
    next(pages)
    (folder / "c").unlink()
    assert [found.name for found in next(pages)] == [b"d"]
    assert findings == []


def test_a_name_that_cannot_be_looked_at_is_reported(
    folder: Path, spill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _fill(folder, [b"a", b"b", b"c"])
    real = os.stat

    def stat(name: bytes, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        if name == b"b":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    findings: list[Finding] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        pages = _pages(path, spill, findings)
    assert [found.name for found in pages[0]] == [b"a", b"c"]
    assert findings == [Finding(Trouble.UNREADABLE, path + b"/b", os.strerror(errno.EIO))]


class Twice:
    """A scandir that gives each name twice, as one may while the directory changes."""

    def __init__(self, descriptor: int) -> None:
        self._real = _scandir(descriptor)

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return iter([each for each in self._real for _ in range(2)])

    def __exit__(self, *_error: object) -> None:
        self._real.close()


@pytest.mark.parametrize("in_memory", [2, 50])
def test_a_name_that_is_given_twice_is_one(
    folder: Path, spill: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    path = _fill(folder, [b"a", b"b", b"c"])
    monkeypatch.setattr(os, "scandir", Twice)
    pages = list_directory(path, report=_unexpected, spill=spill, in_memory=in_memory)
    assert [found.name for page in pages for found in page] == [b"a", b"b", b"c"]


class BreaksOff:
    """A scandir that fails after some entries."""

    def __init__(self, descriptor: int, after: int) -> None:
        self._real = _scandir(descriptor)
        self._left = after

    def __enter__(self) -> "BreaksOff":
        return self

    def __exit__(self, *_error: object) -> None:
        self._real.close()

    def __iter__(self) -> "BreaksOff":
        return self

    def __next__(self) -> os.DirEntry[str]:
        if self._left == 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._left -= 1
        return next(self._real)


_scandir = os.scandir


@pytest.mark.parametrize("in_memory", [2, 4, 50])
@pytest.mark.parametrize("after", [0, 2, 3, 5])
def test_a_listing_that_breaks_off_is_not_a_listing(
    folder: Path, spill: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int, after: int
) -> None:
    path = _fill(folder, [b"%d" % number for number in range(9)])
    monkeypatch.setattr(os, "scandir", lambda descriptor: BreaksOff(descriptor, after))
    pages = list_directory(path, report=_unexpected, spill=spill, in_memory=in_memory)
    with pytest.raises(OSError, match="Stale"):
        next(pages)


def test_a_directory_swapped_for_a_link_is_not_entered(folder: Path, spill: Path) -> None:
    (folder / "link").symlink_to("/")
    with pytest.raises(NotADirectoryError):
        _pages(os.fsencode(folder / "link"), spill, [])


def test_a_missing_directory_raises(folder: Path, spill: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _pages(os.fsencode(folder / "gone"), spill, [])


def test_a_spill_directory_that_is_gone_is_this_machines_fault(folder: Path, spill: Path) -> None:
    path = _fill(folder, [b"a", b"b"])
    spill.rmdir()
    with pytest.raises(LocalError):
        _pages(path, spill, [], in_memory=1)
