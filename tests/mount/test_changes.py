"""What happens while it is mounted: snapshots come and go, and the store may fail."""

import errno
import logging
import os
from pathlib import Path

import pytest
import trio

from snapfs.errors import StoreUnavailableError
from snapfs.metadata.lines import Line, Lines
from snapfs.model.identity import Commit
from snapfs.mount import following
from snapfs.mount.options import MountOptions
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import FIRST_TIME, HOUR, Builder, built, file
from tests.mount.mounting import mounted, use

FIRST = "2025-11-13T021320Z"
SECOND = "2025-11-13T031320Z"
THIRD = "2025-11-13T041320Z"


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question looks at the log: no test waits for a view to grow old."""
    monkeypatch.setattr(following, "FRESH", 0.0)


async def _until(path: Path, *, there: bool) -> None:
    with trio.fail_after(10):
        while await use(os.path.lexists, path) is not there:  # noqa: ASYNC110  (the kernel's)
            await trio.sleep(0.02)


async def test_a_new_snapshot_appears_also_where_its_name_was_looked_for_before(
    store: MemoryStore, repository: Repository, tmp_path: Path, mountpoint: Path
) -> None:
    async with built(store, tmp_path / "other") as elsewhere:
        writer = Builder(elsewhere)
        await writer.commit({"/file": file(b"1")})
        async with mounted(repository, mountpoint) as root:
            source = root / "web/root"
            assert not await use(os.path.exists, source / SECOND / "file")
            assert not await use(os.path.exists, root / "web/home")
            assert not await use(os.path.exists, root / "db")
            assert await use((source / "latest/file").read_bytes) == b"1"
            await writer.commit({"/file": file(b"22")})
            assert await use((source / SECOND / "file").read_bytes) == b"22"
            assert await use((source / "latest/file").read_bytes) == b"22"
            assert await use(os.listdir, source) == [FIRST, SECOND, "latest"]
            await Builder(elsewhere, source="home").commit({})
            await Builder(elsewhere, host="db").commit({})
            assert await use(os.path.isdir, root / "web/home/latest")
            assert await use(os.listdir, root) == ["db", "web"]


async def test_the_directory_that_someone_stands_in_stays_where_it_is(
    store: MemoryStore, repository: Repository, tmp_path: Path, mountpoint: Path
) -> None:
    async with built(store, tmp_path / "other") as elsewhere:
        writer = Builder(elsewhere)
        await writer.commit({"/dir/file": file(b"1")})
        async with mounted(repository, mountpoint) as root:
            here = await use(os.open, root / "web/root/latest/dir", os.O_RDONLY)
            await writer.commit({"/dir/file": file(b"2")})
            await use(os.listdir, root / "web/root/latest/dir")
            inside = os.fspath(root / f"web/root/{FIRST}/dir")
            assert await use(os.readlink, f"/proc/self/fd/{here}") == inside
            await use(os.close, here)


async def test_a_name_that_a_snapshot_lacks_is_asked_for_once(
    builder: Builder, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await builder.commit({"/there": file(b"1")})
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "web/root" / FIRST
        asked: list[bytes] = []
        find = Lines.find

        def counted(self: Lines, directory: int, commit: Commit, name: bytes) -> Line | None:
            asked.append(name)
            return find(self, directory, commit, name)

        monkeypatch.setattr(Lines, "find", counted)
        for _ in range(3):
            assert not await use(os.path.exists, top / "missing")
            assert await use(os.path.exists, top / "there")
        assert asked.count(b"missing") == 1
        assert asked.count(b"there") == 1


async def test_a_forgotten_snapshot_disappears_and_comes_back(
    builder: Builder, mountpoint: Path
) -> None:
    first = await builder.commit({"/file": file(b"1"), "/old": file(b"old")})
    second = await builder.commit({"/file": file(b"2")})
    async with mounted(builder.repository, mountpoint) as root:
        source = root / "web/root"
        opened = await use(os.open, source / SECOND / "file", os.O_RDONLY)
        inside = await use(os.open, source / SECOND, os.O_RDONLY | os.O_DIRECTORY)
        await builder.forget(second)
        await use(os.listdir, source)
        await _until(source / SECOND, there=False)
        assert await use(os.listdir, source) == [FIRST, "latest"]
        assert await use(os.readlink, source / "latest") == FIRST
        assert await use(os.pread, opened, 10, 0) == b"2"
        with pytest.raises(OSError) as caught:
            await use(os.stat, "another", dir_fd=inside)
        assert caught.value.errno == errno.ESTALE
        await use(os.close, opened)
        await use(os.close, inside)
        await builder.recall(second)
        await _until(source / SECOND, there=True)
        assert await use((source / "latest/file").read_bytes) == b"2"
        await builder.forget(first, second)
        await use(os.listdir, source)
        await _until(source / FIRST, there=False)
        assert await use(os.listdir, source) == []


async def test_two_snapshots_of_one_second_keep_their_names_when_one_goes(
    builder: Builder, mountpoint: Path
) -> None:
    numbers = [
        await builder.commit({"/n": file(bytes([at]))}, time_ns=FIRST_TIME + at) for at in range(3)
    ]
    await builder.commit({"/n": file(b"later")}, time_ns=FIRST_TIME - HOUR)
    await builder.forget(numbers[0])
    async with mounted(builder.repository, mountpoint) as root:
        source = root / "web/root"
        names = [f"{FIRST}-2", f"{FIRST}-3", "2025-11-13T011320Z"]
        assert await use(os.listdir, source) == [*names, "latest"]
        assert await use((source / names[0] / "n").read_bytes) == b"\x01"
        assert await use((source / names[1] / "n").read_bytes) == b"\x02"
        assert await use(os.readlink, source / "latest") == names[2]
        for wrong in (FIRST, f"{FIRST}-4", f"{FIRST}-02", "2025-11-13", "now"):
            assert not await use(os.path.lexists, source / wrong)


async def test_a_snapshot_whose_entries_are_not_applied_is_not_shown(
    store: MemoryStore, repository: Repository, tmp_path: Path, mountpoint: Path
) -> None:
    async with built(store, tmp_path / "other") as elsewhere:
        writer = Builder(elsewhere)
        await writer.commit({"/file": file(b"1")})
        async with mounted(repository, mountpoint) as root:
            hidden = {n: d for n, d in store.objects.items() if n.startswith("meta/")}
            await writer.commit({"/file": file(b"2")})
            lost = {n: d for n, d in store.objects.items() if n.startswith("meta/")}
            store.objects = {n: d for n, d in store.objects.items() if n not in lost}
            store.objects |= hidden
            # The heads are known, and a part is not there yet.
            assert await use(os.listdir, root / "web/root") == [FIRST, "latest"]
            assert await use(os.readlink, root / "web/root/latest") == FIRST
            assert not await use(os.path.exists, root / "web/root" / SECOND)
            store.objects |= lost
            assert await use((root / "web/root" / SECOND / "file").read_bytes) == b"2"


async def test_a_store_that_fails_leaves_what_is_known(
    store: MemoryStore, repository: Repository, tmp_path: Path, mountpoint: Path,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with built(store, tmp_path / "other") as elsewhere:
        writer = Builder(elsewhere)
        await writer.commit({"/file": file(b"1")})
        async with mounted(repository, mountpoint) as root:
            source = root / "web/root"
            with monkeypatch.context() as broken:
                broken.setattr(repository.log, "_store", _Broken())
                for _ in range(3):
                    assert await use(os.listdir, source) == [FIRST, "latest"]
                    assert not await use(os.path.exists, source / SECOND)
            await writer.commit({"/file": file(b"2")})
            assert await use((source / SECOND / "file").read_bytes) == b"2"
    messages = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert messages == [
        "new snapshots cannot be seen for now: the store is away",
        "new snapshots can be seen again",
    ]


async def test_a_store_that_hangs_holds_nobody_up_for_long(
    builder: Builder, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 0.05)
    await builder.commit({"/file": file(b"1")})
    async with mounted(builder.repository, mountpoint) as root:
        monkeypatch.setattr(builder.repository.log, "catch_up", trio.sleep_forever)
        with trio.fail_after(5):
            for _ in range(20):
                assert await use(os.listdir, root / "web/root") == [FIRST, "latest"]


async def test_new_snapshots_are_looked_for_without_being_asked(
    store: MemoryStore, repository: Repository, tmp_path: Path, mountpoint: Path
) -> None:
    async with built(store, tmp_path / "other") as elsewhere:
        writer = Builder(elsewhere)
        await writer.commit({"/file": file(b"1")})
        async with mounted(repository, mountpoint, MountOptions(refresh_every=0.05)):
            await writer.commit({"/file": file(b"2")})
            with trio.fail_after(10):
                while len(list(repository.snapshots.stream())) < 2:  # noqa: ASYNC110
                    await trio.sleep(0.02)


class _Broken:
    """A store that cannot be reached."""

    url = "broken:"

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailableError("the store is away")

    async def list(self, prefix: str, *, after: str = "") -> None:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailableError("the store is away")
        yield
