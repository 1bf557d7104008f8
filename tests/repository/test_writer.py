"""Packs are written in order, in bounded memory, verified, and named only once they are stored."""

import random
import threading
import time
from dataclasses import replace

import pytest
import trio
import trio.testing

from snapfs.errors import DamagedError, StoreError, StoreFullError
from snapfs.formats import objects, packs
from snapfs.formats.packs import Packed, PackRow
from snapfs.repository import writer as module
from snapfs.repository.world import World
from snapfs.repository.writer import PackWriter, Segment, open_writer
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS
from tests.faulty import Fault, FaultyStore

PATIENCE = 20
"seconds after which something hangs"


def segment(*blocks: bytes) -> Segment:
    keys = b"".join(packs.block_key(block, KEYS.block_id) for block in blocks)
    return Segment(b"".join(blocks), keys, tuple(map(len, blocks)))


def segments(count: int, seed: int = 1) -> list[Segment]:
    """Segments of one to three blocks of up to 3 KB that do not shrink."""
    chance = random.Random(seed)
    return [
        segment(*(chance.randbytes(chance.randint(1, 3000)) for _ in range(chance.randint(1, 3))))
        for _ in range(count)
    ]


def keys_of(rows: list[PackRow]) -> list[bytes]:
    return [row.keys for pack in rows for row in pack.segments]


def check_stored(store: MemoryStore, rows: list[PackRow]) -> None:
    for row in rows:
        data = store.objects[objects.pack(row.name)]
        packs.verify(data, row, KEYS.repository, KEYS.epochs, KEYS.block_id)


async def test_positions_follow_the_order_of_adding(monkeypatch: pytest.MonkeyPatch) -> None:
    compress, chance = packs.pack_segment, random.Random(2)

    def slow(plain: bytes, keys: bytes, lengths: tuple[int, ...], level: int) -> Packed:
        time.sleep(chance.random() / 200)
        return compress(plain, keys, lengths, level)

    monkeypatch.setattr(packs, "pack_segment", slow)
    monkeypatch.setattr(packs, "TARGET", 20_000)
    store, todo = MemoryStore(), segments(60)
    async with open_writer(store, KEYS, World(), level=1) as writer:
        for item in todo:
            await writer.add(item)
        rows = await writer.flush()
    assert keys_of(rows) == [item.keys for item in todo]
    assert len(rows) > 5
    check_stored(store, rows)
    assert writer.stored_bytes == sum(map(len, store.objects.values()))


async def test_packs_that_are_put_in_another_order_are_handed_out_in_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packs, "TARGET", 5_000)
    store = FaultyStore(MemoryStore())
    last = trio.Event()
    store.queue("put", Fault(wait=last))
    todo = segments(12)
    async with open_writer(store, KEYS, World(), level=1) as writer:
        for item in todo:
            await writer.add(item)
        async with trio.open_nursery() as nursery:
            rows: list[PackRow] = []

            async def flush() -> None:
                rows.extend(await writer.flush())

            nursery.start_soon(flush)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert rows == []
            last.set()
    assert keys_of(rows) == [item.keys for item in todo]


async def test_flush_ends_a_pack_and_a_second_one_has_nothing() -> None:
    store = MemoryStore()
    async with open_writer(store, KEYS, World(), level=1) as writer:
        assert await writer.flush() == []
        first, second = segments(2)
        await writer.add(first)
        (row,) = await writer.flush()
        assert await writer.flush() == []
        await writer.add(second)
        (other,) = await writer.flush()
    assert keys_of([row, other]) == [first.keys, second.keys]
    assert set(store.objects) == {objects.pack(row.name), objects.pack(other.name)}


async def test_rows_are_handed_out_only_when_their_packs_are_stored() -> None:
    store = FaultyStore(MemoryStore())
    stored = trio.Event()
    store.queue("put", Fault(wait=stored))
    async with open_writer(store, KEYS, World(), level=1) as writer:
        await writer.add(segments(1)[0])
        with trio.move_on_after(0.05) as scope:
            await writer.flush()
        assert scope.cancelled_caught
        stored.set()
        assert len(await writer.flush()) == 1


async def test_one_slow_segment_does_not_let_the_others_pile_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first takes long; those behind it are done at once, and wait."""
    compress, release = packs.pack_segment, threading.Event()
    todo = segments(30)

    def first_is_slow(plain: bytes, keys: bytes, lengths: tuple[int, ...], level: int) -> Packed:
        if keys == todo[0].keys:
            release.wait(PATIENCE)
        return compress(plain, keys, lengths, level)

    monkeypatch.setattr(packs, "pack_segment", first_is_slow)
    added = 0
    async with open_writer(MemoryStore(), KEYS, World(), level=1) as writer:

        async def add() -> None:
            nonlocal added
            for item in todo:
                await writer.add(item)
                added += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            await trio.testing.wait_all_tasks_blocked(0.2)
            assert added == module._COMPRESSING
            release.set()
        rows = await writer.flush()
    assert keys_of(rows) == [item.keys for item in todo]


async def test_packs_on_their_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "TARGET", 1)
    store = FaultyStore(MemoryStore())
    gate = trio.Event()
    store.queue("put", *(Fault(wait=gate) for _ in range(20)))
    todo = segments(20)
    async with open_writer(store, KEYS, World(), level=1) as writer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_add_all, writer, todo)
            await trio.testing.wait_all_tasks_blocked(0.2)
            assert len(store.calls) == module._UPLOADING
            gate.set()
        rows = await writer.flush()
    assert keys_of(rows) == [item.keys for item in todo]


async def _add_all(writer: PackWriter, todo: list[Segment]) -> None:
    for item in todo:
        await writer.add(item)


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("error", [StoreFullError("full"), StoreError("forbidden")])
async def test_a_failed_upload_comes_out_plainly_and_nothing_hangs(
    monkeypatch: pytest.MonkeyPatch, at: int, error: StoreError
) -> None:
    monkeypatch.setattr(packs, "TARGET", 3_000)
    store = FaultyStore(MemoryStore())
    store.queue("put", Fault(on=objects.PACKS, skip=at, before=error))
    with trio.fail_after(PATIENCE), pytest.raises(type(error)) as raised:
        async with open_writer(store, KEYS, World(), level=1) as writer:
            await _add_all(writer, segments(40))
            await writer.flush()
    assert raised.value is error


async def test_what_its_user_raises_comes_out_plainly_and_ends_the_uploads() -> None:
    store = FaultyStore(MemoryStore())
    store.queue("put", Fault(wait=trio.Event()))
    with trio.fail_after(PATIENCE), pytest.raises(DamagedError, match="of the user"):
        async with open_writer(store, KEYS, World(), level=1) as writer:
            await writer.add(segments(1)[0])
            with trio.move_on_after(0.01):
                await writer.flush()
            raise DamagedError("of the user")


@pytest.mark.parametrize("where", ["data", "keys"])
async def test_a_bit_that_flips_in_memory_does_not_leave_the_machine(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    build = packs.build

    def flipped(name: object, packed: object, *arguments: object) -> object:
        first, *others = list(packed)  # type: ignore[call-overload]
        data = bytearray(getattr(first, where))
        data[len(data) // 2] ^= 4
        changed = replace(first, **{where: bytes(data)})
        return build(name, [changed, *others], *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(packs, "build", flipped)
    store = MemoryStore()
    with pytest.raises(DamagedError, match="changed in memory") as raised:
        async with open_writer(store, KEYS, World(), level=1) as writer:
            await _add_all(writer, segments(3))
            await writer.flush()
    assert "memory or processor" in raised.value.hint
    assert store.objects == {}
