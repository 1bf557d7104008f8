"""Waiting for the kernel: one worker at a time, at once where it can be, and without hogging."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from snapfs.mount import waiting as waiting_module
from snapfs.mount.waiting import Waiting
from snapfs.repository.cores import Cores

_CORES = Cores(driver=Path("/nowhere"))
"of which nothing can be asked: see test_cores"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


async def _serve(waiting: Waiting, descriptor: int, served: list[str], name: str) -> None:
    """A worker as pyfuse3 has them, whose requests are single bytes."""
    while True:
        async with waiting:
            await waiting.wait_readable(descriptor)
        served.append(name)
        if os.read(descriptor, 1) == b"s":
            await trio.sleep(0.05)


async def test_a_request_that_comes_soon_is_taken_without_the_loop(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_module, "_TURN", 60.0)
    reading, writing = pipe
    waiting = Waiting(_CORES)
    os.write(writing, b"1")
    async with waiting:
        await waiting.wait_readable(reading)
        with trio.testing.assert_no_checkpoints():
            await waiting.wait_readable(reading)


async def test_others_have_their_turn_while_requests_never_end(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    waiting, waits, turns = Waiting(_CORES), 0, 0

    async def look_on() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    os.write(writing, b"1")
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_on)
            while turns < 10:
                async with waiting:
                    await waiting.wait_readable(reading)
                waits += 1
            nursery.cancel_scope.cancel()
    assert waits > 2 * turns


async def test_a_worker_that_is_long_about_it_holds_nobody_up(
    pipe: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    reading, writing = pipe
    waiting, served = Waiting(_CORES), list[str]()
    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(_serve, waiting, reading, served, name)
        os.write(writing, b"s123")
        await trio.sleep(0.02)
        assert len(served) == 4
        assert served[0] not in served[1:]
        await trio.sleep(0.1)
        os.write(writing, b"sss")
        await trio.sleep(0.03)
        assert set(served[-3:]) == {"a", "b", "c"}
        nursery.cancel_scope.cancel()


async def test_while_a_request_is_under_way_the_loop_is_not_held(
    pipe: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    reading, writing = pipe
    waiting = Waiting(_CORES)
    os.write(writing, b"1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, waiting, reading, [], "slow")
        os.write(writing, b"s")
        await trio.sleep(0.01)
        async with waiting:
            os.write(writing, b"1")
            await waiting.wait_readable(reading)
            with trio.testing.assert_checkpoints():
                await waiting.wait_readable(reading)
        nursery.cancel_scope.cancel()


async def test_who_waits_can_be_ended(
    pipe: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    waiting, served = Waiting(_CORES), list[str]()
    with trio.move_on_after(0.05) as scope:
        async with trio.open_nursery() as nursery:
            for name in ("a", "b"):
                nursery.start_soon(_serve, waiting, pipe[0], served, name)
    assert scope.cancelled_caught
    os.write(pipe[1], b"1")
    with trio.fail_after(1):
        async with waiting:
            await waiting.wait_readable(pipe[0])
