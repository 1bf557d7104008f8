"""Who walks a mount keeps cores awake, where that may be asked, and nothing longer than that."""

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from snapfs.mount import waiting as waiting_module
from snapfs.mount.waiting import Waiting
from snapfs.repository.repository import Repository
from tests.build import Builder, file
from tests.cores import Guest
from tests.mount.mounting import mounted, run


async def test_many_requests_keep_them_awake_until_it_is_quiet(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    reading, writing = os.pipe()
    cores = Guest(tmp_path).cores()
    waiting = Waiting(cores)

    async def serve() -> None:
        while True:
            async with waiting:
                await waiting.wait_readable(reading)
            os.read(reading, 1)
            await trio.lowlevel.checkpoint()

    async def ask(times: int) -> None:
        for _ in range(times):
            os.write(writing, b"1")
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for _ in range(5):
            await ask(10)
            assert not cores.awake
            await trio.sleep(0.1)
        await ask(30)
        assert cores.awake
        await trio.sleep(0.1)
        assert not cores.awake
        await ask(10)
        assert not cores.awake
        nursery.cancel_scope.cancel()
    os.close(reading)
    os.close(writing)


async def test_walking_a_mount_keeps_them_awake_and_its_end_lets_go(
    repository: Repository, builder: Builder, mountpoint: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await builder.commit({f"/{name}/file": file(b"content") for name in range(40)})
    guest = Guest(tmp_path)
    monkeypatch.setattr(waiting_module, "Cores", guest.cores)
    # So that nothing but its end is quiet.
    monkeypatch.setattr(waiting_module, "_QUIET", 3600.0)
    async with mounted(repository, mountpoint):
        await run("find", mountpoint, "-size", "+1k")
        assert guest.was_held
        assert guest.is_held
    assert not guest.is_held
