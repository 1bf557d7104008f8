"""The helper that lists directories ahead: what it is told and does, and an ingest beside it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.jobs.ingest import listahead, todo
from snapfs.jobs.ingest.comparing import Directory
from snapfs.jobs.ingest.listahead import ListingHelper
from snapfs.jobs.ingest.listahead_main import Coming, look
from snapfs.jobs.ingest.todo import Todo
from snapfs.stores.memory import MemoryStore
from tests.jobs.ingesting import machine


def _directory(path: bytes, only: frozenset[bytes] | None = None) -> Directory:
    return Directory(path, None, None, only)


# --- what comes soon


def _walked(tree: dict[bytes, list[bytes]]) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """The order in which a walk lists, and what it tells at which directory."""
    order, told = [], []
    ahead = Todo()
    ahead.add(_directory(b"/"))
    while ahead:
        at = ahead.pop().path
        order.append(at)
        ahead.add(*map(_directory, tree.get(at, [])))
        told.extend((at, path) for path in ahead.soon())
    return order, told


def _some_tree(shape: Sequence[int]) -> dict[bytes, list[bytes]]:
    """A tree in which one directory after the other has so many below it."""
    tree: dict[bytes, list[bytes]] = {}
    level = [b"/"]
    for count in shape:
        if not level:
            break
        at = level.pop(0)
        tree[at] = [at.rstrip(b"/") + b"/d%04d" % number for number in range(count)]
        level.extend(tree[at])
    return tree


@given(st.lists(st.sampled_from([0, 1, 2, 3, 70, 200]), max_size=30))
def test_each_directory_is_told_once_and_before_its_turn(shape: list[int]) -> None:
    """But for the first below each, which is listed at once."""
    tree = _some_tree(shape)
    order, told = _walked(tree)
    turn = {path: number for number, path in enumerate(order)}
    paths = [path for _, path in told]
    assert len(paths) == len(set(paths))
    assert set(order) - set(paths) == {b"/"} | {below[0] for below in tree.values() if below}
    assert all(turn[at] < turn[path] for at, path in told)


def test_no_more_is_told_than_comes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(todo, "_SOON", 3)
    order, told = _walked({b"/": [b"/%d" % number for number in range(9)]})
    turn = {path: number for number, path in enumerate(order)}
    assert all(turn[path] - turn[at] <= 4 for at, path in told)
    assert {path for at, path in told if at == b"/"} == {b"/1", b"/2", b"/3"}
    assert {path for at, path in told if at == b"/0"} == {b"/4"}


def test_a_directory_of_chosen_names_is_not_told() -> None:
    """Another file system is left out, and is not to be waited for."""
    ahead = Todo()
    ahead.add(_directory(b"/a"), _directory(b"/b", frozenset()), _directory(b"/c"))
    assert ahead.soon() == [b"/c"]


# --- the helper's order


def test_what_the_walk_comes_to_first_is_next() -> None:
    coming = Coming()
    coming.told(b"@/a\0+/a/c\0+/b\0+/a/b-\0+/a/b\0")
    coming.add(b"/a/b/x")
    assert [coming.next() for _ in range(6)] == [b"/a/b", b"/a/b/x", b"/a/b-", b"/a/c", b"/b", None]


def test_what_the_walk_has_passed_is_left_out() -> None:
    coming = Coming()
    coming.told(b"@/a\0+/a/b\0+/a/c\0+/a/d\0@/a/c\0")
    assert coming.next() == b"/a/d"
    assert coming.next() is None


@given(st.lists(st.integers(1, 9)))
def test_words_come_in_any_pieces(pieces: list[int]) -> None:
    data, coming = b"@/a\0+/a/b\0+/a/c\0", Coming()
    for size in pieces:
        coming.told(data[:size])
        data = data[size:]
    coming.told(data)
    assert [coming.next(), coming.next(), coming.next()] == [b"/a/b", b"/a/c", None]


def test_look_tells_where_a_walk_goes_next(tmp_path: Path) -> None:
    for name in ("b", "B", "c-file", "é"):
        (tmp_path / name).mkdir()
    (tmp_path / "A").write_bytes(b"a file")
    (tmp_path / "AA").symlink_to("b")
    at = os.fsencode(tmp_path)
    assert look(at) == at + b"/B"
    assert look(at + b"/b") is None
    with pytest.raises(OSError):
        look(at + b"/A")
    with pytest.raises(OSError):
        look(at + b"/AA")


def test_look_does_not_go_to_another_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk may leave it out, and it may be one that hangs."""
    (tmp_path / "mounted").mkdir()
    assert look(os.fsencode(tmp_path)) == os.fsencode(tmp_path / "mounted")
    elsewhere = os.stat("/proc")
    monkeypatch.setattr(os, "fstat", lambda descriptor: elsewhere)
    assert look(os.fsencode(tmp_path)) is None


# --- the process


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each listing has waited for the disk."""
    count = iter(range(10**9))
    monkeypatch.setattr(listahead, "_blocks_read", lambda: next(count))


@pytest.fixture
def helper() -> Iterator[ListingHelper]:
    helper = ListingHelper()
    yield helper
    helper.end()


def _listed(helper: ListingHelper, times: int) -> None:
    for _ in range(times):
        assert list(helper.watch([["page"]])) == [["page"]]


def _accessed(path: Path) -> bool:
    """Whether a directory was listed since its time of access was set to the begin of time."""
    return path.stat().st_atime > 0


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_kernel_has_what_is_told(cold: None, helper: ListingHelper, tmp_path: Path) -> None:
    """And what is first below it, and nothing else."""
    listed = [tmp_path / "a", tmp_path / "a" / "first", tmp_path / "a" / "first" / "first"]
    others = [tmp_path / "a" / "second", tmp_path / "0"]
    for path in (*listed, *others):
        path.mkdir()
    for path in (*others, *listed):
        (path / "file").touch()
        os.utime(path, (0, time.time()))
    list(tmp_path.iterdir())
    if not _lists_are_seen(tmp_path / "seen"):
        pytest.skip("this file system keeps no times of access")
    _listed(helper, listahead._FROM)
    helper.coming(os.fsencode(tmp_path), [os.fsencode(tmp_path / "a")])
    _until(lambda: all(map(_accessed, listed)))
    assert not any(map(_accessed, others))


def _lists_are_seen(path: Path) -> bool:
    path.mkdir()
    (path / "file").touch()
    os.utime(path, (0, time.time()))
    list(path.iterdir())
    return _accessed(path)


def test_it_is_begun_when_the_disk_is_waited_for(cold: None, helper: ListingHelper) -> None:
    _listed(helper, listahead._FROM - 1)
    helper.coming(b"/a", [b"/a/b"])
    assert helper._process is None
    _listed(helper, 1)
    helper.coming(b"/a", [])
    assert helper._process is None
    helper.coming(b"/a", [b"/a/b"])
    assert helper._process is not None


def test_it_is_left_alone_while_everything_is_in_memory(
    cold: None, helper: ListingHelper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To tell it costs more than to list what the kernel has."""
    messages: list[bytes] = []
    monkeypatch.setattr(ListingHelper, "_tell", lambda self, message: messages.append(message))
    _listed(helper, listahead._FROM)
    with monkeypatch.context() as patch:
        patch.setattr(listahead, "_blocks_read", lambda: 0)
        _listed(helper, listahead._WARM - 1)
        helper.coming(b"/a", [b"/a/b"])
        _listed(helper, 1)
        helper.coming(b"/a", [b"/a/c"])
    assert messages == [b"@/a\0+/a/b\0"]
    _listed(helper, 1)
    helper.coming(b"/a", [b"/a/d"])
    assert messages[1:] == [b"@/a\0+/a/d\0"]


def test_an_ingest_does_not_wait_for_it(cold: None, helper: ListingHelper) -> None:
    """What the pipe does not take is not told."""
    _listed(helper, listahead._FROM)
    helper.coming(b"/a", [b"/a/b"])
    assert helper._process is not None
    os.kill(helper._process.pid, signal.SIGSTOP)
    for _ in range(200):
        helper.coming(b"/a" * 1000, [b"/a" * 1000 + b"/%d" % number for number in range(9)])
    assert not helper._gone


def test_messages_hold_what_a_pipe_takes_whole() -> None:
    soon = [b"/" + b"x" * size for size in (1000, 3500, 5000, 10, 4093)]
    messages = list(listahead._messages(b"/at", soon))
    assert all(len(message) <= 4096 for message in messages)
    assert b"".join(messages) == b"@/at\0" + b"".join(
        b"+" + path + b"\0" for path in soon if len(path) < 5000
    )


def test_one_that_was_killed_is_done_without(
    cold: None, helper: ListingHelper, caplog: pytest.LogCaptureFixture
) -> None:
    _listed(helper, listahead._FROM)
    helper.coming(b"/a", [b"/a/b"])
    assert helper._process is not None
    helper._process.kill()
    helper._process.wait()
    for _ in range(3):
        helper.coming(b"/a", [b"/a/b"])
    assert [record.message for record in caplog.records] == [
        "the process that lists directories ahead is gone: Broken pipe"
    ]


def test_one_that_cannot_be_started_is_done_without(
    cold: None, helper: ListingHelper, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def refused(*args: Any, **options: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    _listed(helper, listahead._FROM)
    for _ in range(3):
        helper.coming(b"/a", [b"/a/b"])
    assert [record.message for record in caplog.records] == [
        "no process that lists directories ahead: Resource temporarily unavailable"
    ]


def test_it_ends_with_the_ingest_by_whatever_end(tmp_path: Path) -> None:
    """The pipe is closed then, also by the kernel."""
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", "snapfs.jobs.ingest.listahead_main"), stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"@/a\0+" + os.fsencode(tmp_path) + b"\0+/b")
    process.stdin.close()
    assert process.wait(30) == 0


async def test_an_ingest_has_it_and_ends_it(
    cold: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored is the same."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    begun: list[subprocess.Popen[bytes]] = []
    begin = ListingHelper._begin

    def spy(self: ListingHelper) -> None:
        begin(self)
        assert self._process is not None
        begun.append(self._process)

    monkeypatch.setattr(ListingHelper, "_begin", spy)
    messages: list[bytes] = []
    tell = ListingHelper._tell

    def heard(self: ListingHelper, message: bytes) -> None:
        messages.append(message)
        tell(self, message)

    monkeypatch.setattr(ListingHelper, "_tell", heard)
    tree = tmp_path / "tree"
    for number in range(200):
        folder = tree / f"d{number:03}" / "below"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"%d" % number)
    async with machine(MemoryStore(), tmp_path / "machine", tree) as host:
        report = await host.capture()
        assert report.counts.new == 200
        await host.check()
    (process,) = begun
    assert process.returncode == -signal.SIGKILL
    assert os.fsencode(tree / "d199") in b"".join(messages)
