"""Several things at once: one plain error comes out, and nothing goes on behind it."""

from functools import partial

import pytest
import trio

from snapfs.errors import DamagedError, LogCutError, StoreError
from snapfs.repository.parallel import gather, together


async def fail(error: Exception) -> None:
    await trio.lowlevel.checkpoint()
    raise error


async def test_results_keep_their_order() -> None:
    async def late(number: int) -> int:
        for _ in range(10 - number):
            await trio.lowlevel.checkpoint()
        return number

    assert await gather(partial(late, number) for number in range(10)) == list(range(10))
    assert await gather([]) == []


async def test_the_first_error_comes_out_plainly_and_ends_the_others() -> None:
    error = StoreError("first")
    with trio.fail_after(5), pytest.raises(StoreError) as raised:
        await gather([trio.sleep_forever, partial(fail, error), trio.sleep_forever])
    assert raised.value is error


async def test_of_many_errors_one_comes_out() -> None:
    with pytest.raises((StoreError, DamagedError)):
        await gather([partial(fail, StoreError("one")), partial(fail, DamagedError("two"))] * 5)


async def test_a_tasks_error_ends_the_block() -> None:
    with trio.fail_after(5), pytest.raises(StoreError, match="of a task"):
        async with together() as tasks:
            tasks.start(partial(fail, StoreError("of a task")))
            await trio.sleep_forever()


async def test_the_blocks_error_ends_the_tasks() -> None:
    with trio.fail_after(5), pytest.raises(LogCutError, match="of the block"):
        async with together() as tasks:
            tasks.start(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
            raise LogCutError("of the block")


async def test_nested_blocks_keep_errors_plain() -> None:
    with trio.fail_after(5), pytest.raises(StoreError, match="inner"):
        async with together() as outer:
            outer.start(trio.sleep_forever)
            async with together() as inner:
                inner.start(partial(fail, StoreError("inner")))
                await trio.sleep_forever()


async def test_tasks_can_be_ended() -> None:
    with trio.fail_after(5):
        async with together() as tasks:
            tasks.start(trio.sleep_forever)
            tasks.cancel()
