"""Reading: what was stored comes back, in few requests, and damage stays where it is."""

import random
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from snapfs.errors import DamagedError, LogCutError, NewerFormatError, StoreUnavailableError
from snapfs.formats import objects, packs
from snapfs.formats.seal import ObjectKeys
from snapfs.model.content import Listed, Stored
from snapfs.model.identity import Commit
from snapfs.repository import segments as fetching
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, Thing, built, file
from tests.faulty import Fault, FaultyStore
from tests.repository.history import History
from tests.repository.machines import machines
from tests.repository.readings import BLOCK, SEGMENT, Reading, content_of, noise, plain, reading


@pytest.mark.parametrize(
    "thing",
    [
        file(b""),
        file(b"x"),
        file(noise(3 * SEGMENT + 17)),
        file(5000),
        file(700, noise(2 * SEGMENT + 1), 1, noise(BLOCK, 2), 3000),
    ],
)
async def test_random_reads_give_what_was_stored(tmp_path: Path, thing: Thing) -> None:
    whole, chance = plain(thing), random.Random(3)
    edges = [
        0,
        1,
        BLOCK - 1,
        BLOCK,
        SEGMENT,
        SEGMENT + 1,
        699,
        700,
        701,
        len(whole) - 1,
        len(whole),
    ]
    async with reading(tmp_path, thing, memory_bytes=2 * SEGMENT) as story:
        reader = story.reader.open(story.content)
        for _ in range(150):
            offset = max(0, chance.choice([*edges, chance.randint(0, len(whole) + 10)]))
            length = chance.choice([0, 1, BLOCK, chance.randint(0, len(whole) + 10)])
            assert await reader.read(offset, length) == whole[offset : offset + length]


async def test_lists_of_lists_are_read_through(tmp_path: Path) -> None:
    data = noise(16 * 3000)
    async with reading(tmp_path, file(data, 100, data[:777]), block=16) as story:
        whole = data + bytes(100) + data[:777]
        assert any(isinstance(extent, Listed) for extent in story.content)
        chance = random.Random(4)
        for _ in range(60):
            offset, length = chance.randint(0, len(whole)), chance.randint(0, 3000)
            assert await story.read(offset, length) == whole[offset : offset + length]


async def test_a_list_that_is_not_there_is_damage_and_no_end_of_file(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(16 * 3000)), block=16) as story:
        story.repository.replica.db.execute("DELETE FROM list WHERE number = 2")
        with pytest.raises(DamagedError, match="list 2"):
            await story.read(0, 16 * 3000)


async def test_ten_readers_of_one_segment_make_one_request(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(SEGMENT))) as story:
        gate = trio.Event()
        story.store.queue("get", Fault(wait=gate))
        found: list[bytes] = []

        async def read(at: int) -> None:
            found.append(await story.reader.read(story.reader.open(story.content)._layout, at, 9))

        async with trio.open_nursery() as nursery:
            for at in range(10):
                nursery.start_soon(read, at)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert sorted(found) == sorted(noise(SEGMENT)[at : at + 9] for at in range(10))
        assert story.requests == 1


async def test_the_one_who_asked_first_may_leave(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(SEGMENT))) as story:
        gate = trio.Event()
        story.store.queue("get", Fault(wait=gate))
        found: list[bytes] = []

        async def stay() -> None:
            found.append(await story.read(0, 10))

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.01):
                await story.read(0, 10)
            nursery.start_soon(stay)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        assert found == [noise(SEGMENT)[:10]]
        assert story.requests == 1


async def test_neighbours_come_in_one_request(tmp_path: Path) -> None:
    data = noise(20 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        assert (
            await story.reader.read(story.reader.open(story.content)._layout, 0, len(data)) == data
        )
        assert story.requests == 1
        await story.read(0, len(data))
        assert story.requests == 1


async def test_a_request_for_neighbours_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "RUN_BYTES", 5 * (SEGMENT + 200))
    data = noise(20 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        assert await story.read(0, len(data)) == data
        assert story.requests == 4


async def test_a_sequential_reader_fetches_ahead_and_not_too_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapfs.repository.reader._WINDOW_FIRST", 2 * SEGMENT)
    monkeypatch.setattr("snapfs.repository.reader._WINDOW_LARGEST", 8 * SEGMENT)
    data = noise(40 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        reader = story.reader.open(story.content)
        ahead: list[int] = []
        for offset in range(0, len(data), BLOCK):
            assert await reader.read(offset, BLOCK) == data[offset : offset + BLOCK]
            await trio.testing.wait_all_tasks_blocked(0.001)
            known = sum(story.reader._fetcher.cached(number) is not None for number in range(1, 41))
            ahead.append(known - offset // SEGMENT)
        assert ahead[0] >= 2
        assert max(ahead) > 6
        assert max(ahead) <= 14
        assert story.requests < 20


async def test_nothing_is_fetched_ahead_that_is_let_go_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    open_segment = packs.open_segment

    def count(keys: ObjectKeys, place: int, sealed: bytes) -> bytes:
        opened.append(place)
        return open_segment(keys, place, sealed)

    monkeypatch.setattr(packs, "open_segment", count)
    data = noise(40 * SEGMENT)
    async with reading(tmp_path, file(data), memory_bytes=6 * SEGMENT) as story:
        reader = story.reader.open(story.content)
        for offset in range(0, len(data), BLOCK):
            assert await reader.read(offset, BLOCK) == data[offset : offset + BLOCK]
            await story.rest()
    assert len(opened) == 40
    assert story.requests < 40


async def test_a_reader_that_jumps_fetches_what_it_asks_for(tmp_path: Path) -> None:
    data = noise(40 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        reader = story.reader.open(story.content)
        for segment in (30, 3, 17):
            assert await reader.read(segment * SEGMENT, 9) == data[segment * SEGMENT :][:9]
        await trio.testing.wait_all_tasks_blocked(0.01)
        fetcher = story.reader._fetcher
        known = [number for number in range(1, 41) if fetcher.cached(number) is not None]
        assert known == [4, 18, 31]


async def test_damage_stays_with_the_segment_that_has_it(tmp_path: Path) -> None:
    data = noise(5 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        (name,) = [name for name in story.memory.objects if name.startswith(objects.PACKS)]
        row = story.repository.db.rows("SELECT offset, stored FROM segment ORDER BY number")[2]
        spoilt = bytearray(story.memory.objects[name])
        spoilt[row[0] + row[1] // 2] ^= 1
        story.memory.objects[name] = bytes(spoilt)
        for offset in range(0, len(data), BLOCK):
            if 2 * SEGMENT <= offset < 3 * SEGMENT:
                with pytest.raises(DamagedError, match="damaged"):
                    await story.read(offset, BLOCK)
            else:
                assert await story.read(offset, BLOCK) == data[offset : offset + BLOCK]


@pytest.mark.parametrize("whole", [False, True])
async def test_of_a_pack_that_is_cut_the_beginning_is_read(tmp_path: Path, whole: bool) -> None:
    data = noise(5 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        (name,) = [name for name in story.memory.objects if name.startswith(objects.PACKS)]
        row = story.repository.db.rows("SELECT offset, stored FROM segment ORDER BY number")[3]
        story.memory.objects[name] = story.memory.objects[name][: row[0] + 10]
        if whole:
            with pytest.raises(DamagedError, match="cut short"):
                await story.read(0, len(data))
        assert await story.read(0, 3 * SEGMENT) == data[: 3 * SEGMENT]
        for offset in (3 * SEGMENT, 4 * SEGMENT):
            with pytest.raises(DamagedError):
                await story.read(offset, 10)


async def test_a_block_that_is_another_than_its_key_says_is_damage(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(SEGMENT))) as story:
        story.repository.replica.db.execute(
            "UPDATE block SET key = ? WHERE number = 2", (bytes(32),)
        )
        assert await story.read(0, BLOCK) == noise(SEGMENT)[:BLOCK]
        with pytest.raises(DamagedError, match="does not match its id"):
            await story.read(BLOCK, 1)


async def test_a_missing_pack_is_looked_up_again_and_then_damage(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(SEGMENT))) as story:
        (name,) = [name for name in story.memory.objects if name.startswith(objects.PACKS)]
        del story.memory.objects[name]
        with pytest.raises(DamagedError, match="no such object"):
            await story.read(0, 10)
        assert ("list", objects.LOG) in story.store.calls


async def test_a_reader_with_an_old_view_finds_what_was_repacked(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as hosts:
        history = History(hosts)
        await history.commit(0, "root", {b"f": b"content"}, True)
        await hosts[1].catch_up_all()
        content = content_of(hosts[1], Commit(2))
        async with hosts[1].reading() as reader:
            opened = reader.open(content)
            await history.repack(0, 0)
            await history.delete(0)
            await history.delete(0)
            assert len([name for name in store.objects if name.startswith(objects.PACKS)]) == 1
            (block,) = content
            assert isinstance(block, Stored)
            assert await reader.read_blocks([block]) == [b"content"]
            assert await opened.read(0, 100) == b"content"


async def test_many_blocks_come_in_one_request(tmp_path: Path) -> None:
    data = noise(2 * SEGMENT)
    async with reading(tmp_path, file(data)) as story:
        blocks = [extent for extent in story.content if isinstance(extent, Stored)]
        assert len(blocks) == 2 * SEGMENT // BLOCK
        first, *others = blocks
        read = await story.reader.read_blocks([*others, first, first])
        assert read == [data[at : at + BLOCK] for at in (*range(BLOCK, len(data), BLOCK), 0, 0)]
        assert story.requests == 1
        other = msgspec.structs.replace(first, length=BLOCK - 1)
        with pytest.raises(DamagedError, match=f"block {first.number}"):
            await story.reader.read_blocks([others[0], other])
    async with reading(tmp_path / "other", file(data)) as story:
        story.repository.replica.db.execute("UPDATE block SET key = zeroblob(32)")
        with pytest.raises(DamagedError, match="does not match its id"):
            await story.reader.read_blocks([first])


async def test_an_unreachable_store_is_not_damage_and_is_asked_again(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(SEGMENT))) as story:
        story.store.queue("get", Fault(before=StoreUnavailableError("away")))
        with pytest.raises(StoreUnavailableError, match="away"):
            await story.read(0, 10)
        assert await story.read(0, 10) == noise(SEGMENT)[:10]


async def test_an_error_of_the_readers_user_comes_out_plainly(tmp_path: Path) -> None:
    with pytest.raises(LogCutError, match="of the user"):
        async with reading(tmp_path, file(noise(SEGMENT))) as story:
            story.store.queue("get", Fault(wait=trio.Event()))
            story.reader.prefetch(story.reader.open(story.content)._layout, 0, 10)
            raise LogCutError("of the user")


async def test_readers_do_not_wait_for_a_fetcher_that_has_ended(tmp_path: Path) -> None:
    failures: list[DamagedError] = []

    async def read(story: Reading, at: int) -> None:
        try:
            await story.read(at * SEGMENT, 10)
        except DamagedError as error:
            failures.append(error)

    thing = file(noise(30 * 2 * SEGMENT))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery, reading(tmp_path, thing) as story:
            story.store.queue("get", *(Fault(wait=trio.Event()) for _ in range(30)))
            for at in range(0, 60, 2):
                nursery.start_soon(read, story, at)
            await trio.testing.wait_all_tasks_blocked()
    assert len(failures) == 30


async def test_a_pack_of_a_later_version_fails_its_reader_and_no_other(tmp_path: Path) -> None:
    async with reading(tmp_path, file(noise(SEGMENT))) as story:
        header = story.repository.db.row("SELECT header FROM pack")
        assert header is not None
        changed = bytearray(header[0])
        version = changed.index(b"\x01")
        changed[version] = 99
        story.repository.replica.db.execute("UPDATE pack SET header = ?", (bytes(changed),))
        with pytest.raises(NewerFormatError, match="format 99"):
            await story.read(0, 10)
        story.repository.replica.db.execute("UPDATE pack SET header = ?", (header[0],))
        assert await story.read(0, 10) == noise(SEGMENT)[:10]


def test_constants_bound_what_is_in_flight() -> None:
    assert fetching._AT_ONCE * fetching.RUN_BYTES <= 64 * 1024 * 1024
    assert packs.SEGMENT_TARGET <= fetching.RUN_BYTES


def _small_files(count: int) -> dict[str | bytes, Thing]:
    """Files of a block each, four to a segment."""
    return {f"/f{number:03d}": file(noise(BLOCK, number)) for number in range(count)}


async def _requests(directory: Path, order: list[int]) -> int:
    """Requests that it takes to read these of 200 small files, one after another."""
    store = FaultyStore(MemoryStore())
    async with built(store, directory) as repository:
        builder = Builder(repository, block_size=BLOCK, segment_size=SEGMENT)
        commit = await builder.commit(_small_files(200))
        anchor = repository.snapshots.sources()[0].anchor
        async with repository.reading() as reader:
            store.calls.clear()
            for number in order:
                entry = repository.tree.resolve(anchor, commit, b"/f%03d" % number)
                assert entry is not None
                data = await reader.open(entry.node.content()).read(0, 4096)
                assert data == noise(BLOCK, number)
            await trio.testing.wait_all_tasks_blocked()
            return len(store.calls)


async def test_who_reads_small_files_in_order_waits_for_few(tmp_path: Path) -> None:
    segments = 200 // 4
    assert await _requests(tmp_path, list(range(200))) < segments / 3


async def test_who_reads_small_files_here_and_there_fetches_no_more_than_these(
    tmp_path: Path,
) -> None:
    assert await _requests(tmp_path, [150, 30, 90, 10, 190]) == 5
