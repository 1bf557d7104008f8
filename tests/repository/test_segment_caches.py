"""Caches of segments: bounded, checked on each use, and of no consequence where they fail."""

import shutil
import threading
from pathlib import Path

import pytest
import trio

from snapfs.metadata.blockindex import SegmentPlace
from snapfs.repository.segmentcache import DiskCache, MemoryCache, PlainSegment
from tests.build import file
from tests.repository.readings import SEGMENT, noise, reading


def test_the_memory_cache_is_bounded_and_keeps_what_was_used_last() -> None:
    cache = MemoryCache(1000)
    for number in range(20):
        cache.put(number, PlainSegment(bytes(300)))
        cache.get(0)
    held = [number for number in range(20) if cache.get(number) is not None]
    assert held == [0, 18, 19]
    cache.put(99, PlainSegment(bytes(5000)))
    assert [number for number in range(100) if cache.get(number)] == [99]


def files_of(directory: Path) -> list[Path]:
    return [path for path in (directory / "cache").rglob("*") if path.is_file()]


async def test_the_disk_cache_is_used_bounded_and_checked(tmp_path: Path) -> None:
    data = noise(10 * SEGMENT)
    bound = 5 * (SEGMENT + 600)
    async with reading(tmp_path, file(data), memory_bytes=1, disk_bytes=bound) as story:
        assert await story.read(0, len(data)) == data
        await story.rest()
        assert 4 <= len(files_of(tmp_path)) <= 5
        assert sum(path.stat().st_size for path in files_of(tmp_path)) <= bound
        story.store.calls.clear()
        assert await story.read(9 * SEGMENT, 10) == data[9 * SEGMENT :][:10]
        assert await story.read(8 * SEGMENT, 10) == data[8 * SEGMENT :][:10]
        assert story.requests == 0
        for path in files_of(tmp_path):
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        await story.read(7 * SEGMENT, 10)
        assert await story.read(9 * SEGMENT, 10) == data[9 * SEGMENT :][:10]
        assert story.requests == 2
        await story.rest()
        await story.read(7 * SEGMENT, 10)
        assert await story.read(9 * SEGMENT, 10) == data[9 * SEGMENT :][:10]
        assert story.requests == 2


async def test_who_reads_does_not_wait_for_the_disk_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    write = DiskCache.put

    def put(self: DiskCache, place: SegmentPlace, sealed: bytes) -> None:
        assert written.wait(10)
        write(self, place, sealed)

    monkeypatch.setattr(DiskCache, "put", put)
    data = noise(3 * SEGMENT)
    async with reading(tmp_path, file(data), memory_bytes=1, disk_bytes=10**8) as story:
        assert await story.read(0, len(data)) == data
        assert await story.read(0, len(data)) == data, "on the same way while the first is there"
        assert files_of(tmp_path) == []
        written.set()
        await story.rest()
        assert len(files_of(tmp_path)) == 3
        story.store.calls.clear()
        assert await story.read(0, len(data)) == data
        assert story.requests == 0


async def test_who_reads_once_uses_the_disk_cache_and_does_not_fill_it(tmp_path: Path) -> None:
    data = noise(3 * SEGMENT)
    size = {"memory_bytes": 1, "disk_bytes": 10**8}
    async with reading(tmp_path, file(data), **size, fills_disk=False) as story:
        assert await story.read(0, len(data)) == data
        await story.rest()
        assert files_of(tmp_path) == []
        async with story.repository.reading(**size, fills_disk=True) as filling:
            assert await filling.open(story.content).read(0, SEGMENT) == data[:SEGMENT]
            while len(files_of(tmp_path)) < 1:  # noqa: ASYNC110
                await trio.sleep(0.001)
        story.store.calls.clear()
        assert await story.read(0, SEGMENT) == data[:SEGMENT]
        assert story.requests == 0


async def test_a_lost_disk_cache_costs_fetching(tmp_path: Path) -> None:
    data = noise(3 * SEGMENT)
    async with reading(tmp_path, file(data), memory_bytes=1, disk_bytes=10**8) as story:
        assert await story.read(0, len(data)) == data
        for lost in files_of(tmp_path), [tmp_path / "cache"]:
            await story.rest()
            for path in lost:
                path.unlink() if path.is_file() else shutil.rmtree(path)
            assert await story.read(0, len(data)) == data
        await story.rest()
        assert files_of(tmp_path), "it is filled again"


async def test_a_disk_cache_that_cannot_be_written_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_bytes(b"no directory")
    data = noise(5 * SEGMENT)
    async with reading(tmp_path, file(data), memory_bytes=1, disk_bytes=10**6) as story:
        assert await story.read(0, len(data)) == data
        assert await story.read(5, 5) == data[5:10]
        await story.rest()
    assert [record.message for record in caplog.records if "disk cache" in record.message]


async def test_a_full_disk_is_complained_about_once_and_reading_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    data = noise(5 * SEGMENT)
    async with reading(tmp_path, file(data), memory_bytes=1, disk_bytes=10**6) as story:
        monkeypatch.setattr(Path, "replace", full)
        for _ in range(2):
            assert await story.read(0, len(data)) == data
            await story.rest()
        monkeypatch.undo()
        assert files_of(tmp_path) == []
    assert len([record for record in caplog.records if "No space left" in record.message]) == 1
