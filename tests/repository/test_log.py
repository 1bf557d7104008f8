"""The log: one order for all, a gap or a cut is found, and nothing is written after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from snapfs.errors import (
    FormatError,
    LogCutError,
    NoRepositoryError,
    RepositoryExistsError,
    SourceMovedError,
)
from snapfs.formats import objects, records
from snapfs.formats.records import Ingest, New, Summary
from snapfs.metadata.compare import differences
from snapfs.model.identity import Commit
from snapfs.repository.repository import open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.base import Listed
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, built, file
from tests.repository.machines import (
    NOTHING,
    assert_replay_equal,
    attempt,
    log_of,
    machines,
    publish,
)


def ingest(source_head: int = 0, source: str = "root") -> Ingest:
    return Ingest("web", source, Commit(source_head), True, 0, New(), (), (), ())


async def test_many_writers_get_contiguous_numbers_and_each_attempt_is_there_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 6) as all_of_them:
        attempts = [attempt() for _ in range(24)]
        numbers = {}

        async def write(at: int) -> None:
            repository = all_of_them[at % len(all_of_them)]
            numbers[attempts[at]] = await publish(repository, NOTHING, attempts[at])

        async with trio.open_nursery() as nursery:
            for at in range(len(attempts)):
                nursery.start_soon(write, at)
        written = log_of(store)
        assert list(written) == list(range(1, 26))
        assert {head.attempt: number for number, head in written.items() if number > 1} == numbers
        for repository in all_of_them:
            await repository.catch_up_all()
            assert differences(repository.replica.db, all_of_them[0].replica.db) == []


async def test_a_record_names_the_hash_of_the_one_before(tmp_path: Path) -> None:
    store = MemoryStore()
    async with built(store, tmp_path) as repository:
        for _ in range(3):
            await publish(repository, NOTHING)
        log = log_of(store)
        assert log[1].previous == records.NO_HASH
        assert len({head.previous for head in log.values()}) == 4


@pytest.mark.parametrize(
    "bad",
    [
        msgspec.structs.replace(ingest(), summary=Summary(bytes_total=2**63)),
        msgspec.structs.replace(ingest(), host="a/b"),
    ],
    ids=["a number", "a name"],
)
async def test_what_nobody_could_read_is_not_published(tmp_path: Path, bad: Ingest) -> None:
    store = MemoryStore()
    async with built(store, tmp_path) as repository:
        before = dict(store.objects)
        with pytest.raises(FormatError, match="not published, as nobody could read it") as raised:
            await publish(repository, bad)
        assert "please report this" in raised.value.hint
        assert store.objects == before
        assert await publish(repository, NOTHING) == 2


async def test_a_long_log_is_caught_up_with_in_batches(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        for _ in range(150):
            await publish(one, NOTHING)
        tip = await other.log.catch_up()
        assert tip == one.replica.tip()
        assert tip.number == 151


@pytest.mark.parametrize("known", [0, 2])
async def test_a_gap_is_named_and_stops_writers(tmp_path: Path, known: int) -> None:
    store = MemoryStore()
    async with built(store, tmp_path / "one") as one:
        for _ in range(known):
            await publish(one, NOTHING)
        async with built(store, tmp_path / "other") as other:
            for _ in range(4):
                await publish(other, NOTHING)
        del store.objects[objects.record(Commit(known + 3))]
        before = dict(store.objects)
        with pytest.raises(LogCutError, match=f"record {known + 3} is missing"):
            await one.log.catch_up()
        with pytest.raises(LogCutError, match="nothing was written"):
            await publish(one, NOTHING)
        assert store.objects == before


async def test_a_log_without_its_first_record_is_not_an_empty_one(tmp_path: Path) -> None:
    store = MemoryStore()
    async with built(store, tmp_path / "one") as one:
        await publish(one, NOTHING)
    del store.objects[objects.record(records.FIRST)]
    directories = Directories(tmp_path / "state", tmp_path / "cache")
    async with open_view(store, directories, KEYS, World()) as fresh:
        with pytest.raises(LogCutError, match="first record is missing"):
            await fresh.log.catch_up()


async def test_an_older_state_of_the_store_is_found_by_whoever_saw_more(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 3) as (one, two, behind):
        await publish(one, NOTHING)
        await behind.log.catch_up()
        old = dict(store.objects)
        await publish(one, NOTHING)
        await two.log.catch_up()
        store.objects = dict(old)
        for repository in (one, two):
            with pytest.raises(LogCutError, match="record 3, which this machine has seen, is miss"):
                await repository.log.catch_up()
            with pytest.raises(LogCutError):
                await publish(repository, NOTHING)
        assert store.objects == old
        await behind.log.catch_up()


async def test_a_log_that_went_on_differently_is_found_by_whoever_saw_more(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 3) as (one, two, behind):
        await behind.log.catch_up()
        old = dict(store.objects)
        await publish(one, NOTHING)
        await two.log.catch_up()
        store.objects = old
        await publish(behind, NOTHING)
        await publish(behind, NOTHING)
        before = dict(store.objects)
        for repository in (one, two):
            with pytest.raises(LogCutError, match=r"record 2, which .* is another"):
                await publish(repository, NOTHING)
        assert store.objects == before


async def test_a_chain_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A record put where a newer state of another history went on."""
    store, other = MemoryStore(), MemoryStore()
    async with built(store, tmp_path / "one") as one, built(other, tmp_path / "other") as foreign:
        await publish(one, NOTHING)
        for _ in range(3):
            await publish(foreign, NOTHING)
        name = objects.record(Commit(3))
        store.objects[name] = other.objects[name]
        with pytest.raises(LogCutError, match="record 3 does not follow record 2"):
            await one.log.catch_up()
        assert one.replica.tip().number == 2


async def test_a_damaged_record_is_named_and_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        await publish(one, NOTHING)
        name = objects.record(Commit(2))
        store.objects[name] = store.objects[name][:-1] + b"\0"
        with pytest.raises(LogCutError, match=r"damaged: log/0000000000000002"):
            await other.log.catch_up()
        assert other.replica.tip().number == 1


class Lagging(MemoryStore):
    """Its listings do not show what was put after a moment."""

    shown: frozenset[str] = frozenset()

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        return self._filtered(super().list(prefix, after=after))

    async def _filtered(self, items: AsyncIterator[Listed]) -> AsyncIterator[Listed]:
        async for item in items:
            if item.name in self.shown:
                yield item


@pytest.mark.parametrize("shown", [(), (3,), (4,), (2, 4)])
async def test_a_listing_that_lags_does_not_matter(tmp_path: Path, shown: tuple[int, ...]) -> None:
    store = Lagging()
    async with machines(store, tmp_path, 2) as (one, other):
        for _ in range(3):
            await publish(one, NOTHING)
        store.shown = frozenset(objects.record(Commit(number)) for number in shown)
        assert (await other.log.catch_up()).number == 4
        assert await publish(other, NOTHING) == 5


async def test_a_delta_of_an_old_head_is_not_published(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        await publish(one, ingest())
        before = dict(store.objects)
        for stale in (ingest(), ingest(1), ingest(7), ingest(2, source="another")):
            with pytest.raises(SourceMovedError):
                await publish(other, stale)
        assert store.objects == before
        assert await publish(other, ingest(2)) == 3
        assert await publish(one, ingest(source="another")) == 4


async def test_a_void_record_in_the_log_stops_everybody(tmp_path: Path) -> None:
    """Only a broken program writes one; nobody must build on it."""
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        await publish(one, ingest())
        head = records.Head(one.replica.tip().hash, attempt(), "web", 0, "bad", ingest(1))
        data = records.encode(head, Commit(3), KEYS.repository, KEYS.epochs, World().random)
        store.objects[objects.record(Commit(3))] = data
        for repository in (one, other):
            with pytest.raises(FormatError, match="record 3 is void"):
                await repository.log.catch_up()
        assert one.replica.tip().number == 2


async def test_only_init_makes_the_first_record_and_none_after_it(tmp_path: Path) -> None:
    store = MemoryStore()
    directories = Directories(tmp_path / "state", tmp_path / "cache")
    async with open_view(store, directories, KEYS, World()) as empty:
        with pytest.raises(NoRepositoryError, match="interrupted"):
            await publish(empty, ingest())
        assert store.objects == {}
    async with built(store, tmp_path) as repository:
        body = repository.replica.head(records.FIRST).body
        with pytest.raises(RepositoryExistsError):
            await publish(repository, body)
        assert list(log_of(store)) == [1]


async def test_a_lost_race_changes_nothing_that_was_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        builder = Builder(one)
        await builder.commit({"/a": file(b"a")})
        uploaded: dict[str, bytes] = {}
        put = store.put

        async def race(name: str, data: bytes, *, if_absent: bool = False) -> None:
            """Just before the record of `one`, another host takes its number."""
            if name.startswith(objects.LOG) and not uploaded:
                uploaded.update(
                    (held, store.objects[held])
                    for held in store.objects
                    if held.startswith((objects.PACKS, objects.PARTS))
                )
                await Builder(other, source="another").commit({"/x": file(b"x")})
            await put(name, data, if_absent=if_absent)

        monkeypatch.setattr(store, "put", race)
        number = await builder.commit({"/a": file(b"a"), "/b": file(b"b" * 100_000)})
        assert number == 4
        assert uploaded
        after = {name: store.objects[name] for name in uploaded}
        assert after == uploaded
        new = set(store.objects) - set(uploaded)
        parts = [ref.name for refs in records.part_refs(log_of(store)[4].body) for ref in refs]
        assert not new & {objects.part(name) for name in parts}
        await assert_replay_equal(one, tmp_path)


async def test_a_cancelled_catch_up_leaves_the_log_usable(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        for _ in range(3):
            await publish(one, NOTHING)
        with trio.CancelScope() as scope:
            scope.cancel()
            await other.log.catch_up()
        assert scope.cancelled_caught
        assert (await other.log.catch_up()).number == 4
