"""What is tried again, how often, how long, and what never is."""

import logging
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from snapfs.errors import ObjectExistsError, PutConflictError, StoreError, StoreUnavailableError
from snapfs.stores.memory import MemoryStore
from snapfs.stores.policy import RetryPolicy
from snapfs.stores.retrying import Retrying
from tests.faulty import Fault, FaultyStore, Verb

AWAY = StoreUnavailableError("away")


@pytest.fixture
def faulty() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def store(faulty: FaultyStore) -> Retrying:
    return Retrying(faulty, policy=RetryPolicy(deadline=60), chance=lambda: 0.5)


CALLS: dict[Verb, Callable[[Retrying], object]] = {
    "get": lambda store: store.get("a"),
    "put": lambda store: store.put("a", b"1"),
    "delete": lambda store: store.delete("a"),
    "list": lambda store: anext(store.list("")),
}


@pytest.mark.parametrize("verb", CALLS)
async def test_what_may_help_is_tried_again(
    store: Retrying, faulty: FaultyStore, autojump_clock: MockClock, verb: Verb
) -> None:
    await faulty.put("a", b"1")
    faulty.calls.clear()
    faulty.queue(verb, Fault(before=AWAY), Fault(after=AWAY), Fault(before=AWAY))
    await CALLS[verb](store)  # type: ignore[misc]
    faulty.assert_all_hit()
    assert [called for called, _ in faulty.calls] == [verb] * 4


@pytest.mark.parametrize("verb", CALLS)
async def test_what_does_not_help_is_not_tried_again(
    store: Retrying, faulty: FaultyStore, verb: Verb
) -> None:
    faulty.queue(verb, Fault(before=StoreError("no")))
    with pytest.raises(StoreError, match="no"):
        await CALLS[verb](store)  # type: ignore[misc]
    assert len(faulty.calls) == 1


@pytest.mark.parametrize("error", [AWAY, PutConflictError("409"), ObjectExistsError("412")])
async def test_put_if_absent_is_tried_once(
    store: Retrying, faulty: FaultyStore, error: StoreError
) -> None:
    faulty.queue("put", Fault(before=error))
    with pytest.raises(type(error)):
        await store.put("log/1", b"x", if_absent=True)
    assert faulty.calls == [("put", "log/1")]


async def test_pauses_double_up_to_their_bound(
    store: Retrying, faulty: FaultyStore, autojump_clock: MockClock
) -> None:
    policy = RetryPolicy(deadline=60, first_pause=1, longest_pause=5)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    store = Retrying(faulty, policy=policy, chance=lambda: 0.5, sleep=sleep)
    faulty.queue("put", *[Fault(before=AWAY)] * 5)
    await store.put("a", b"")
    assert pauses == [0.5, 1, 2, 2.5, 2.5]


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_nothing_and_its_bound(tries: int, chance: float) -> None:
    policy = RetryPolicy()
    assert 0 <= policy.pause(tries, chance) <= policy.longest_pause


async def test_it_gives_up_before_the_deadline_with_the_last_error(
    store: Retrying,
    faulty: FaultyStore,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty.queue("get", *[Fault(before=AWAY)] * 100)
    began = trio.current_time()
    with caplog.at_level(logging.INFO), pytest.raises(StoreUnavailableError, match="away"):
        await store.get("packs/a")
    assert 60 - 15 <= trio.current_time() - began <= 60
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO"] * (len(levels) - 1) + ["WARNING"]
    assert len(faulty.calls) == len(levels) > 5
    assert "packs/a" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("if_absent", [True, False])
async def test_a_call_that_hangs_ends_at_the_deadline(
    store: Retrying, faulty: FaultyStore, autojump_clock: MockClock, if_absent: bool
) -> None:
    faulty.queue("put", Fault(before=AWAY)) if not if_absent else None
    faulty.queue("put", Fault(wait=trio.Event()))
    began = trio.current_time()
    with pytest.raises(StoreUnavailableError, match="no answer within 60 s"):
        await store.put("a", b"", if_absent=if_absent)
    assert trio.current_time() - began == pytest.approx(60)
    faulty.assert_all_hit()


async def test_cancelling_passes_through(
    store: Retrying, faulty: FaultyStore, autojump_clock: MockClock
) -> None:
    faulty.queue("get", Fault(wait=trio.Event()))
    with trio.move_on_after(5) as scope:
        await store.get("a")
    assert scope.cancelled_caught
    assert len(faulty.calls) == 1


async def test_a_listing_goes_on_after_the_last_name(
    store: Retrying, faulty: FaultyStore, autojump_clock: MockClock
) -> None:
    wanted = [f"log/{n}" for n in range(9)]
    for name in wanted:
        await faulty.put(name, b"")
    faulty.queue(
        "list",
        Fault(after=AWAY, items=3),
        Fault(before=AWAY),
        Fault(after=AWAY, items=0),
        Fault(after=AWAY, items=6),
    )
    assert [item.name async for item in store.list("log/", after="log/0")] == wanted[1:]
    faulty.assert_all_hit()


async def test_a_listings_reader_may_take_its_time(
    store: Retrying, faulty: FaultyStore, autojump_clock: MockClock
) -> None:
    for name in ("a", "b", "c"):
        await faulty.put(name, b"")
    seen = []
    async for item in store.list(""):
        seen.append(item.name)
        await trio.sleep(1000)
    assert seen == ["a", "b", "c"]
    assert faulty.calls.count(("list", "")) == 1
