"""The helper that reads small files: what it reads, and what becomes of an ingest without it."""

import logging
import os
import random
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snapfs.formats import packs
from snapfs.jobs.ingest import lookahead
from snapfs.jobs.ingest.lookahead import LookAhead, ReadingHelper
from snapfs.jobs.ingest.messages import Read
from snapfs.model.finding import Trouble
from snapfs.sources.reading import SMALL, Change
from snapfs.stores.memory import MemoryStore
from tests.jobs.helping import kill
from tests.jobs.ingesting import TINY, Machine, machine

KEY = b"k" * 32


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """More than a few messages, of all kinds."""
    chance = random.Random(1)
    tree = tmp_path / "tree"
    for number in range(700):
        path = tree / f"d{number % 41}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        match number % 10:
            case 0:
                path.write_bytes(b"")
            case 1:
                path.symlink_to("f1")
            case 2:
                path.write_bytes(chance.randbytes(SMALL + number % 3))
            case 3:
                path.write_bytes(b"same" * 99)
                os.setxattr(path, "user.n", b"%d" % number)
            case 4:
                path.write_bytes(b"begin")
                os.truncate(path, 100_000)
            case _:
                path.write_bytes(chance.randbytes(chance.randrange(1, 30_000)))
        os.utime(path, ns=(0, 10**18 + number), follow_symlinks=False)
    os.link(tree / "d5" / "f5", tree / "twice")
    return tree


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths of what the helper has read."""
    paths: list[bytes] = []
    take = ReadingHelper.take

    def spy(self: ReadingHelper, path: bytes) -> tuple[Read, bytes] | None:
        read = take(self, path)
        if read is not None:
            paths.append(path)
        return read

    monkeypatch.setattr(ReadingHelper, "take", spy)
    return paths


def _stored(host: Machine) -> list[tuple[Any, ...]]:
    """What was stored, and how it refers to each other."""
    rows = host.repository.db.rows
    return [
        *rows("SELECT number, key, segment, offset, length FROM block"),
        # But for directories: those above the tree are touched meanwhile.
        *rows(f"SELECT * FROM node WHERE mode & {stat.S_IFDIR} = 0"),
        *rows("SELECT directory, name, node, first FROM entry"),
    ]


def _small(tree: Path, longest: int) -> Iterator[bytes]:
    for path in tree.rglob("*"):
        status = path.lstat()
        sparse = status.st_blocks * 512 < status.st_size
        alone = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if alone and not sparse and status.st_size <= longest:
            yield os.fsencode(path)


@pytest.mark.parametrize("chunker", [None, TINY])
@pytest.mark.parametrize("progress_blocks", [20_000, 100])
async def test_it_reads_what_the_ingest_would_have_read(
    tree: Path, tmp_path: Path, by_helper: None, spied: list[bytes],
    monkeypatch: pytest.MonkeyPatch, chunker: Any, progress_blocks: int,
) -> None:  # fmt: skip
    options = {"chunker": chunker} if chunker else {}
    async with machine(MemoryStore(), tmp_path / "m", tree, **options) as host:
        await host.capture(progress_blocks=progress_blocks)
        await host.check()
        with_it = _stored(host)
    assert sorted(spied) == sorted(_small(tree, TINY.minimum if chunker else SMALL))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    spied.clear()
    async with machine(MemoryStore(), tmp_path / "alone", tree, **options) as host:
        await host.capture(progress_blocks=progress_blocks)
        assert _stored(host) == with_it
    assert spied == []


async def test_it_waits_for_room(
    tree: Path, tmp_path: Path, by_helper: None, spied: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookahead, "_MEMORY", SMALL + 1000)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        await host.check()
    assert len(spied) > 500
    monkeypatch.setattr(lookahead, "_UNANSWERED", 300)
    async with machine(MemoryStore(), tmp_path / "n", tree) as host:
        await host.capture()
        await host.check()


async def test_an_ingest_of_little_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(ReadingHelper, "_begin", None)
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(lookahead._FROM - 1):
        (tree / f"f{number}").touch()
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
async def test_where_it_cannot_be_started_the_ingest_reads_all(
    tree: Path, tmp_path: Path, spied: list[bytes], monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(lookahead, "_FROM", 1)
    monkeypatch.setattr("sys.executable", program)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        await host.check()
    assert spied == []


@pytest.mark.parametrize("moment", ["expect", "take", "_receive", "_send"])
async def test_it_is_killed(
    tree: Path, tmp_path: Path, by_helper: None, spied: list[bytes],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, moment: str,
) -> None:  # fmt: skip
    """Then the ingest reads the rest itself."""
    calls = 0
    original = getattr(ReadingHelper, moment)

    def killed(self: ReadingHelper, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            kill(self._helper)
        return original(self, *args)

    monkeypatch.setattr(ReadingHelper, moment, killed)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        with caplog.at_level(logging.WARNING):
            await host.capture()
        await host.check()
    assert len(spied) < 500
    (warning,) = caplog.records
    assert "ended with signal 9; going on without it" in warning.getMessage()


async def test_what_changed_while_it_was_read_is_told_and_read_again(
    tree: Path, tmp_path: Path, by_helper: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, path = ReadingHelper.take, tree / "d6" / "f6"

    def altered(self: ReadingHelper, at: bytes) -> tuple[Read, bytes] | None:
        taken = take(self, at)
        if taken is None or at != os.fsencode(path):
            return taken
        return msgspec.structs.replace(taken[0], change=Change.ALTERED), taken[1]

    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        with monkeypatch.context() as patch:
            patch.setattr(ReadingHelper, "take", altered)
            report = await host.ingest()
        (finding,) = report.findings.listed
        assert (finding.trouble, finding.path) == (Trouble.CHANGED, os.fsencode(path))
        again = await host.capture()
        assert again.counts.bytes_read == path.stat().st_size


# --- one file


@pytest.fixture
def helping(by_helper: None) -> Iterator[LookAhead]:
    reading = ReadingHelper(KEY)
    assert reading.takes()
    ahead = LookAhead(reading, small=SMALL)
    yield ahead
    ahead.forget()
    process = reading._helper._process
    reading.end()
    assert process is not None
    assert process.returncode == -signal.SIGKILL


def _expected(ahead: LookAhead, path: Path) -> bytes:
    at = os.fsencode(path)
    assert ahead.expect(at, path.lstat(), lasting=True)
    return at


def test_a_file(helping: LookAhead, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o640)
    os.setxattr(path, "user.n", b"v")
    taken = helping.take(_expected(helping, path))
    assert taken is not None
    read, content = taken
    assert content == b"content"
    assert read.key == packs.block_key(b"content", KEY)
    assert read.change is Change.NONE
    status = path.stat()
    assert (read.attributes.mode, read.attributes.size) == (status.st_mode, 7)
    assert (read.attributes.mtime_ns, read.ctime_ns) == (status.st_mtime_ns, status.st_ctime_ns)
    assert read.attributes.xattrs == ((b"user.n", b"v"),)


def _grow(path: Path) -> None:
    path.write_bytes(b"longer than it was")


def _replace(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.write_bytes(b"content")


def _become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_path_that_is_of_this_process_alone(helping: LookAhead, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    at = os.fsencode(path)
    assert helping.expect(at, path.lstat(), lasting=False)
    assert helping.take(at) is None
    descriptor = helping.take_open(at)
    assert descriptor is not None
    os.close(descriptor)


@pytest.mark.parametrize("change", [_grow, Path.unlink, _replace, _become_pipe])
def test_what_is_no_more_as_it_was_is_left_to_the_ingest(
    helping: LookAhead, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    path, other = tmp_path / "file", tmp_path / "next"
    path.write_bytes(b"content")
    other.write_bytes(b"another")
    at, behind = _expected(helping, path), _expected(helping, other)
    change(path)  # nothing was sent yet
    assert helping.take(at) is None
    taken = helping.take(behind)
    assert taken is not None
    assert taken[1] == b"another"


def test_what_became_shorter_is_read_as_it_is(helping: LookAhead, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    at = _expected(helping, path)
    os.truncate(path, 3)
    taken = helping.take(at)
    assert taken is not None
    assert (taken[0].attributes.size, taken[1]) == (3, b"con")


def test_what_nobody_took_is_forgotten(by_helper: None, tmp_path: Path) -> None:
    """As when a walk ends early and the next one begins."""
    reading = ReadingHelper(KEY)
    ahead = LookAhead(reading, small=SMALL)
    paths = [tmp_path / f"f{number}" for number in range(200)]
    try:
        for begin in (0, 50):
            for path in paths:
                path.write_bytes(b"%d" % begin + path.name.encode())
            for path in paths:
                _expected(ahead, path)
            for path in paths[begin : begin + 20]:
                taken = ahead.take(os.fsencode(path))
                assert taken is not None
                assert taken[1] == path.read_bytes()
            ahead.forget()
            assert ahead.take(os.fsencode(paths[-1])) is None
            assert not reading._ring._begins
            assert not reading._sent
            assert not reading._unsent
            assert reading._sent_size == 0
    finally:
        reading.end()
