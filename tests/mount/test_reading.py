"""Contents through the kernel: whole, in pieces, and where the store has lost some."""

import errno
import logging
import os
import random
from pathlib import Path

import pytest

from snapfs.mount.files import OpenFiles
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, file
from tests.mount.mounting import mounted, use

SEGMENT = 256 * 1024
"plain bytes of a segment as the builder makes them"
PAGE = 4096


def _noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


async def test_sequential_and_random_reads_give_the_content(
    builder: Builder, mountpoint: Path
) -> None:
    data = _noise(5_000_001)
    await builder.commit({"/file": file(data[:2_000_000], 300_000, data[2_000_000:])})
    expected = data[:2_000_000] + bytes(300_000) + data[2_000_000:]
    async with mounted(builder.repository, mountpoint) as root:
        path = root / "web/root/latest/file"
        assert await use(path.read_bytes) == expected
        chance = random.Random(2)
        spans = [(chance.randrange(len(expected)), chance.randrange(1, 400_000)) for _ in range(60)]
        spans += [(len(expected), 10), (len(expected) - 1, 10), (0, 1)]
        assert await use(_read_spans, path, spans) == [
            expected[offset : offset + length] for offset, length in spans
        ]


async def test_empty_files_and_those_of_one_byte(builder: Builder, mountpoint: Path) -> None:
    await builder.commit({"/empty": file(), "/one": file(b"1")})
    async with mounted(builder.repository, mountpoint) as root:
        assert await use((root / "web/root/latest/empty").read_bytes) == b""
        assert await use((root / "web/root/latest/one").read_bytes) == b"1"


async def test_damage_gives_an_error_for_exactly_its_range(
    store: MemoryStore, builder: Builder, mountpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = _noise(4 * SEGMENT)
    await builder.commit({"/dir/file": file(data), "/other": file(_noise(100, 3))})
    _damage_segment(store, builder.repository, 1)
    async with mounted(builder.repository, mountpoint) as root:
        path = root / "web/root/latest/dir/file"
        pages = await use(_read_pages, path, len(data))
        assert await use((root / "web/root/latest/other").read_bytes) == _noise(100, 3)
    for at, page in enumerate(pages):
        if SEGMENT <= at * PAGE < 2 * SEGMENT:
            assert page == errno.EIO
        else:
            assert page == data[at * PAGE : (at + 1) * PAGE]
    complaints = [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ]
    assert len(complaints) == 1
    assert complaints[0].startswith("web/root:'/dir/file': cannot be read at byte ")
    assert "packs/" in complaints[0]


async def test_a_pack_that_is_missing_gives_errors_and_leaves_the_rest_readable(
    store: MemoryStore, builder: Builder, mountpoint: Path
) -> None:
    await builder.commit({"/lost": file(_noise(1000))})
    lost = {name for name in store.objects if name.startswith("packs/")}
    await builder.commit({"/lost": file(_noise(1000)), "/kept": file(_noise(1000, 2))})
    for name in lost:
        del store.objects[name]
    async with mounted(builder.repository, mountpoint) as root:
        with pytest.raises(OSError) as caught:
            await use((root / "web/root/latest/lost").read_bytes)
        assert caught.value.errno == errno.EIO
        assert await use((root / "web/root/latest/kept").read_bytes) == _noise(1000, 2)


async def test_an_unchanged_file_is_asked_for_once(
    builder: Builder, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file(_noise(100_000))
    await builder.commit({"/file": content, "/x": file(b"1")})
    await builder.commit({"/file": content, "/x": file(b"2")})
    asked: list[int] = []
    read = OpenFiles.read

    async def counted(self: OpenFiles, handle: int, offset: int, length: int) -> bytes | memoryview:
        asked.append(offset)
        return await read(self, handle, offset, length)

    monkeypatch.setattr(OpenFiles, "read", counted)
    async with mounted(builder.repository, mountpoint) as root:
        first, second, _ = await use(os.listdir, root / "web/root")
        assert await use((root / "web/root" / first / "file").read_bytes) == _noise(100_000)
        before = len(asked)
        # The kernel's own copy serves it, under its other name too.
        assert await use((root / "web/root" / second / "file").read_bytes) == _noise(100_000)
        assert 0 < before == len(asked)


def _damage_segment(store: MemoryStore, repository: Repository, number: int) -> None:
    place = repository.blocks.segment(number + 1)
    assert place is not None
    name = next(n for n in store.objects if n.endswith(place.pack.hex()))
    data = bytearray(store.objects[name])
    data[place.offset + place.stored // 2] ^= 1
    store.objects[name] = bytes(data)


def _read_spans(path: Path, spans: list[tuple[int, int]]) -> list[bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [os.pread(descriptor, length, offset) for offset, length in spans]
    finally:
        os.close(descriptor)


def _read_pages(path: Path, size: int) -> list[bytes | int | None]:
    """Each page, or the number of its error."""
    descriptor = os.open(path, os.O_RDONLY)
    pages: list[bytes | int | None] = []
    try:
        for offset in range(0, size, PAGE):
            try:
                pages.append(os.pread(descriptor, PAGE, offset))
            except OSError as error:
                pages.append(error.errno)
    finally:
        os.close(descriptor)
    return pages
