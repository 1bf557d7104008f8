"""Reading files: holes, files that change under the reader, and what took a file's place."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.model.content import Hole
from snapfs.model.finding import Trouble
from snapfs.sources import reading
from snapfs.sources.reading import (
    Change,
    Data,
    File,
    Outcome,
    Run,
    change_of,
    extents,
    open_file,
)
from snapfs.sources.trouble import finding_of

MIB = 1 << 20


def _open(path: Path) -> File:
    return open_file(os.fsencode(path), os.lstat(path))


def _content(file: File) -> bytes:
    return b"".join(
        bytes(extent.length) if isinstance(extent, Hole) else extent.read()
        for extent in file.extents()
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def _sparse(path: Path, size: int, data: dict[int, bytes]) -> None:
    with open(path, "wb") as file:
        for offset, content in data.items():
            file.seek(offset)
            file.write(content)
        file.truncate(size)


ReadSmall = Callable[[File], bytes]


def _read_small_into(file: File) -> bytes:
    buffer = bytearray(b"." * (file.stat.st_size + 10))
    read = file.read_small_into(memoryview(buffer))
    assert buffer[len(read) :].count(b".") == len(buffer) - len(read)
    return bytes(read)


both_ways = pytest.mark.parametrize("read_small", [File.read_small, _read_small_into])


@both_ways
@pytest.mark.parametrize("size", [0, 1, 4096, reading.SMALL])
def test_a_small_file_is_read_at_once(path: Path, size: int, read_small: ReadSmall) -> None:
    data = os.urandom(size)
    path.write_bytes(data)
    with _open(path) as file:
        assert file.small
        assert read_small(file) == data
        assert file.outcome() == Outcome(size, Change.NONE)


def test_a_steady_small_file_costs_one_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"x" * 5000)
    calls: list[tuple[int, int, int]] = []
    real = os.pread

    def pread(*where: int) -> bytes:
        calls.append(where)  # type: ignore[arg-type]
        return real(*where)

    with _open(path) as file, monkeypatch.context() as patch:
        patch.setattr(os, "pread", pread)
        file.read_small()
        assert calls == [(file.descriptor, 5000, 0)]


def test_a_large_file_is_one_run(path: Path) -> None:
    path.write_bytes(os.urandom(reading.SMALL + 1))
    with _open(path) as file:
        assert not file.small
        [run] = file.extents()
        assert isinstance(run, Run)
        assert run.data == Data(0, reading.SMALL + 1)


def test_an_empty_file_has_no_extents(path: Path) -> None:
    path.touch()
    with _open(path) as file:
        assert list(file.extents()) == []
        assert file.outcome() == Outcome(0, Change.NONE)


def test_holes_are_found_and_the_last_one_is_a_hole(path: Path) -> None:
    _sparse(path, 5 * MIB, {MIB: b"x" * 4096, 3 * MIB: b"y" * 8192})
    with _open(path) as file:
        assert not file.small
        assert list(extents(file.descriptor, 5 * MIB)) == [
            Hole(MIB),
            Data(MIB, 4096),
            Hole(2 * MIB - 4096),
            Data(3 * MIB, 8192),
            Hole(2 * MIB - 8192),
        ]
        assert _content(file) == path.read_bytes()
        assert file.outcome() == Outcome(5 * MIB, Change.NONE)


def test_a_file_of_nothing_but_hole(path: Path) -> None:
    _sparse(path, 10_000, {})
    with _open(path) as file:
        assert not file.small
        assert list(file.extents()) == [Hole(10_000)]


@given(
    st.dictionaries(st.integers(0, 40), st.integers(1, 9000), max_size=6),
    st.integers(0, 50 * 8192),
)
@settings(max_examples=40)
def test_any_sparse_file_comes_back(
    tmp_path_factory: pytest.TempPathFactory, runs: dict[int, int], size: int
) -> None:
    path = tmp_path_factory.mktemp("sparse") / "file"
    _sparse(path, size, {page * 8192: b"d" * length for page, length in runs.items()})
    with _open(path) as file:
        found = list(extents(file.descriptor, size))
        assert sum(extent.length for extent in found) == size
        assert all(type(one) is not type(following) for one, following in pairwise(found))
        assert _content(file) == path.read_bytes()


def test_where_holes_are_unknown_all_is_data(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sparse(path, MIB, {})
    with _open(path) as file, monkeypatch.context() as patch:
        patch.setattr(os, "lseek", _failing(errno.EINVAL))
        assert list(extents(file.descriptor, MIB)) == [Data(0, MIB)]


def test_an_error_of_seeking_is_not_taken_for_a_hole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sparse(path, MIB, {})
    with _open(path) as file, monkeypatch.context() as patch:
        patch.setattr(os, "lseek", _failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            list(file.extents())


def _failing(number: int) -> Callable[..., int]:
    def fail(*_args: object, **_options: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@both_ways
def test_a_file_that_grew_is_kept_up_to_its_first_size(path: Path, read_small: ReadSmall) -> None:
    path.write_bytes(b"a" * 1000)
    with _open(path) as file:
        with open(path, "ab") as more:
            more.write(b"b" * 1000)
        assert read_small(file) == b"a" * 1000
        assert file.outcome() == Outcome(1000, Change.GREW)


@both_ways
def test_a_small_file_that_became_shorter(path: Path, read_small: ReadSmall) -> None:
    path.write_bytes(b"a" * 1000)
    with _open(path) as file:
        os.truncate(path, 300)
        assert read_small(file) == b"a" * 300
        assert file.outcome() == Outcome(300, Change.SHRANK)


def test_a_large_file_that_becomes_shorter_between_two_reads(path: Path) -> None:
    path.write_bytes(b"a" * MIB)
    buffer = memoryview(bytearray(MIB // 4))
    with _open(path) as file:
        taken = 0
        for extent in file.extents():
            assert isinstance(extent, Run)
            taken += extent.readinto(buffer)
            os.truncate(path, MIB // 2 + 5)
            while count := extent.readinto(buffer):
                taken += count
        assert taken == MIB // 2 + 5
        assert file.outcome() == Outcome(MIB // 2 + 5, Change.SHRANK)


def test_a_sparse_file_that_becomes_shorter_has_no_hole_beyond_its_end(path: Path) -> None:
    _sparse(path, 4 * MIB, {0: b"x" * 4096, 2 * MIB: b"y" * 4096})
    with _open(path) as file:
        found = file.extents()
        run = next(found)
        assert isinstance(run, Run)
        run.read()
        os.truncate(path, MIB)
        assert list(found) == [Hole(MIB - 4096)]
        assert file.outcome() == Outcome(MIB, Change.SHRANK)


def test_a_run_cut_short_ends_the_content(path: Path) -> None:
    """Whatever came back behind the place where it broke off would land at a wrong offset."""
    _sparse(path, 4 * MIB, {0: b"x" * 8192, 2 * MIB: b"y" * 4096})
    with _open(path) as file:
        found = file.extents()
        run = next(found)
        assert isinstance(run, Run)
        os.truncate(path, 100)
        assert run.read() == b"x" * 100
        os.truncate(path, 4 * MIB)
        assert list(found) == []
        assert file.outcome() == Outcome(100, Change.SHRANK)


def test_a_change_in_place_is_seen(path: Path) -> None:
    path.write_bytes(b"a" * 1000)
    os.utime(path, ns=(0, 0))
    with _open(path) as file:
        file.read_small()
        with open(path, "r+b") as other:
            other.write(b"b")
        assert file.outcome() == Outcome(1000, Change.ALTERED)


def test_a_change_whose_mtime_was_set_back_is_seen(path: Path) -> None:
    path.write_bytes(b"a" * 1000)
    os.utime(path, ns=(0, 0))
    file_ctime = os.lstat(path).st_ctime_ns
    with _open(path) as file:
        file.read_small()
        while os.lstat(path).st_ctime_ns == file_ctime:
            with open(path, "r+b") as other:
                other.write(b"b")
            os.utime(path, ns=(0, 0))
        assert file.outcome() == Outcome(1000, Change.ALTERED)


def test_a_run_never_reads_beyond_its_end(path: Path) -> None:
    path.write_bytes(bytes(range(100)))
    with _open(path) as file:
        buffer = memoryview(bytearray(100))
        run = Run(file.descriptor, Data(10, 20))
        assert run.readinto(buffer) == 20
        assert bytes(buffer[:20]) == bytes(range(10, 30))
        assert run.readinto(buffer) == 0
        assert run.taken == 20


def _swap_for_fifo(path: Path) -> None:
    os.mkfifo(path)


def _swap_for_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _swap_for_link_to_itself(path: Path) -> None:
    path.symlink_to("kept")


def _swap_for_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _swap_for_directory(path: Path) -> None:
    path.mkdir()


def _swap_for_another_file(path: Path) -> None:
    path.write_bytes(b"another")


def _swap_for_nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    "swap",
    [
        _swap_for_fifo,
        _swap_for_link,
        _swap_for_link_to_itself,
        _swap_for_socket,
        _swap_for_directory,
        _swap_for_another_file,
        _swap_for_nothing,
    ],
)
def test_what_took_a_files_place_is_not_read(path: Path, swap: Callable[[Path], None]) -> None:
    path.write_bytes(b"it")
    seen = os.lstat(path)
    path.rename(path.with_name("kept"))
    swap(path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError) as caught:
        open_file(os.fsencode(path), seen)
    assert finding_of(b"/p", caught.value).trouble is Trouble.VANISHED
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_inode_number_used_again_for_another_kind_is_seen(path: Path) -> None:
    path.write_bytes(b"it")
    fields = list(os.lstat(path))
    fields[0] = stat.S_IFIFO | 0o600
    with pytest.raises(FileNotFoundError):
        open_file(os.fsencode(path), os.stat_result(fields))


def _status(size: int, mtime: int, ctime: int) -> os.stat_result:
    times = {"st_mtime_ns": mtime, "st_ctime_ns": ctime}
    return os.stat_result((0, 0, 0, 0, 0, 0, size, 0, 0, 0), times)


@pytest.mark.parametrize(
    ("after", "kept", "change"),
    [
        (_status(10, 5, 5), 10, Change.NONE),
        (_status(10, 6, 5), 10, Change.ALTERED),
        (_status(10, 5, 6), 10, Change.ALTERED),
        (_status(9, 5, 5), 10, Change.ALTERED),
        (_status(11, 6, 6), 10, Change.GREW),
        (_status(11, 6, 6), 9, Change.SHRANK),
    ],
)
def test_what_became_of_a_file(after: os.stat_result, kept: int, change: Change) -> None:
    assert change_of(_status(10, 5, 5), after, kept) is change


def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"secret")
    seen = os.lstat(path)
    monkeypatch.setattr(os, "open", _failing(errno.EACCES))
    with pytest.raises(PermissionError) as caught:
        open_file(os.fsencode(path), seen)
    finding = finding_of(b"/p", caught.value)
    assert (finding.trouble, finding.detail) == (Trouble.UNREADABLE, "Permission denied")


def test_the_access_time_is_spared_where_that_is_allowed(path: Path) -> None:
    path.write_bytes(b"x")
    os.utime(path, ns=(1, 2))
    with _open(path) as file:
        file.read_small()
    assert os.lstat(path).st_atime_ns == 1


def test_files_of_others_are_read_without_sparing_the_access_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"x")
    real = os.open

    def deny_noatime(name: bytes, flags: int) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return real(name, flags)

    seen = os.lstat(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", deny_noatime)
        with open_file(os.fsencode(path), seen) as file:
            assert file.read_small() == b"x"
