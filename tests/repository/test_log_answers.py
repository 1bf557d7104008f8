"""Did I win? Whatever answer a put gets: one commit per attempt, and never a false loss."""

from collections import defaultdict
from pathlib import Path

import pytest

from snapfs.errors import (
    PutConflictError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from snapfs.formats import objects
from snapfs.formats.records import Tag
from snapfs.model.identity import Commit
from snapfs.stores.memory import MemoryStore
from tests.build import built
from tests.faulty import Fault, FaultyStore
from tests.repository.machines import NOTHING, attempt, log_of, machines, publish

LOST = StoreUnavailableError("the answer got lost")
CONFLICT = PutConflictError("409")


class Watching(FaultyStore):
    """Notes the bytes that were sent for each name, whatever became of them."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.sent: dict[str, list[bytes]] = defaultdict(list)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        self.sent[name].append(data)
        await super().put(name, data, if_absent=if_absent)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(on=objects.LOG, after=LOST)],
        [Fault(on=objects.LOG, before=LOST)],
        [Fault(on=objects.LOG, before=CONFLICT)],
        [Fault(on=objects.LOG, after=CONFLICT)],
        [Fault(on=objects.LOG, before=LOST), Fault(on=objects.LOG, after=LOST)],
        [Fault(on=objects.LOG, before=CONFLICT), Fault(on=objects.LOG, after=CONFLICT)],
        [Fault(on=objects.LOG, before=LOST)] * 7,
    ],
)
async def test_one_commit_whatever_the_answer(
    tmp_path: Path, autojump_clock: object, faults: list[Fault]
) -> None:
    memory = MemoryStore()
    store = Watching(memory)
    async with built(store, tmp_path) as repository:
        store.queue("put", *(Fault(on=f.on, before=f.before, after=f.after) for f in faults))
        mine = attempt()
        assert await publish(repository, NOTHING, mine) == 2
        store.assert_all_hit()
        assert [head.attempt for head in log_of(memory).values()][1:] == [mine]
        assert len(set(store.sent[objects.record(Commit(2))])) == 1


class Late(Watching):
    """The first put of a record is delayed: it takes effect when `when` says so."""

    def __init__(self, store: MemoryStore, when: str) -> None:
        super().__init__(store)
        self.memory = store
        self.when = when
        self.delayed: tuple[str, bytes] | None = None
        self.armed = False

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        if self.armed and name.startswith(objects.LOG):
            self.armed = False
            self.sent[name].append(data)
            self.delayed = (name, data)
            raise LOST
        if self.when == "before the second" and name.startswith(objects.LOG):
            self.arrive()
        try:
            await super().put(name, data, if_absent=if_absent)
        finally:
            self.arrive()

    def arrive(self) -> None:
        if self.delayed is not None:
            name, data = self.delayed
            self.delayed = None
            self.memory.objects.setdefault(name, data)


@pytest.mark.parametrize("when", ["before the second", "after the second"])
async def test_a_put_that_arrives_when_the_second_was_sent_is_the_same_commit(
    tmp_path: Path, autojump_clock: object, when: str
) -> None:
    memory = MemoryStore()
    store = Late(memory, when)
    async with built(store, tmp_path) as repository:
        store.armed = True
        mine = attempt()
        assert await publish(repository, NOTHING, mine) == 2
        assert len(store.sent[objects.record(Commit(2))]) == 2
        assert len(set(store.sent[objects.record(Commit(2))])) == 1
        assert [head.attempt for head in log_of(memory).values()][1:] == [mine]


async def test_a_late_put_cannot_undo_another_hosts_record(
    tmp_path: Path, autojump_clock: object
) -> None:
    memory = MemoryStore()
    late = Late(memory, "after the second")
    async with built(memory, tmp_path / "other") as other, built(late, tmp_path / "one") as one:
        late.armed = True
        get = late.get

        async def taken(name: str, *, start: int = 0, length: int | None = None) -> bytes:
            """Before the writer can look, another host has its number."""
            if late.delayed is not None and name == objects.record(Commit(2)):
                late.get = get  # type: ignore[method-assign]
                await publish(other, NOTHING)
            return await get(name, start=start, length=length)

        late.get = taken  # type: ignore[method-assign]
        mine = attempt()
        assert await publish(one, NOTHING, mine) == 3
        assert log_of(memory)[3].attempt == mine
        assert len(log_of(memory)) == 3
        assert (await other.log.catch_up()).number == 3


async def test_publishing_an_attempt_again_makes_no_second_record(
    tmp_path: Path, autojump_clock: object
) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    async with built(store, tmp_path) as repository:
        mine = attempt()
        store.queue("put", Fault(on=objects.LOG, after=LOST))
        # The look at the log, then the look at what became of the put.
        store.queue("get", Fault(on=objects.record(Commit(2)), skip=1, before=LOST))
        with pytest.raises(StoreUnavailableError):
            await publish(repository, NOTHING, mine)
        store.assert_all_hit()
        assert await publish(repository, NOTHING, mine) == 2
        assert list(log_of(memory)) == [1, 2]


async def test_an_unreachable_store_ends_in_its_own_error(
    tmp_path: Path, autojump_clock: object
) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    async with built(store, tmp_path) as repository:
        store.queue("put", *(Fault(on=objects.LOG, before=LOST) for _ in range(40)))
        with pytest.raises(StoreUnavailableError, match="could not learn whether record 2"):
            await publish(repository, NOTHING)
        store.assert_all_hit()
        assert await publish(repository, NOTHING) == 2


@pytest.mark.parametrize("error", [StoreFullError("full"), StoreError("forbidden")])
async def test_a_store_that_refuses_is_not_asked_again(tmp_path: Path, error: StoreError) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory)
    async with built(store, tmp_path) as repository:
        store.queue("put", Fault(on=objects.LOG, before=error))
        with pytest.raises(type(error)) as raised:
            await publish(repository, NOTHING)
        assert raised.value is error
        assert list(log_of(memory)) == [1]


async def test_the_body_is_made_anew_for_each_number_after_all_before_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    memory = MemoryStore()
    async with machines(memory, tmp_path, 2) as (one, other):
        seen: list[int] = []
        taken: list[int] = []
        put = memory.put

        async def race(name: str, data: bytes, *, if_absent: bool = False) -> None:
            if name.startswith(objects.LOG) and len(taken) < 3:
                taken.append(1)
                head = other.replica.tip()
                if head.number < 4:
                    memory.put = put  # type: ignore[method-assign]
                    await publish(other, NOTHING)
                    memory.put = race  # type: ignore[method-assign]
            await put(name, data, if_absent=if_absent)

        def body() -> Tag:
            seen.append(one.replica.tip().number)
            return Tag((), (f"after {seen[-1]}",), ())

        memory.put = race  # type: ignore[method-assign]
        number = await one.publish(attempt(), body, "web")
        assert seen == list(range(1, number))
        assert log_of(memory)[number].body == Tag((), (f"after {number - 1}",), ())
