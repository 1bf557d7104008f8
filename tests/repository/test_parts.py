"""Parts in the store: fetched, checked, applied in order; two connections end where one does."""

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from snapfs.errors import DamagedError, FormatError, StoreUnavailableError
from snapfs.formats import objects
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart, DirectoryRow, EntryPart, NodeRow
from snapfs.formats.records import New
from snapfs.metadata import replica as replica_module
from snapfs.metadata.compare import differences
from snapfs.metadata.heads import Published
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.repository import pieces
from snapfs.repository.parallel import gather
from snapfs.stores.files import Files
from snapfs.stores.memory import MemoryStore
from snapfs.stores.threaded import ThreadedStore
from tests.build import Builder, built, file
from tests.faulty import Fault, FaultyStore
from tests.repository.machines import assert_replay_equal, log_of, machines, replayed


async def history(builder: Builder, commits: int) -> None:
    for number in range(commits):
        names = {f"/{at}": file(b"%d" % (at * number % 7)) for at in range(number, number + 5)}
        await builder.commit({**names, "/new": file(os.urandom(9))})


_LARGE = NodeRow(0o100644, 0, 0, 0, 0, 2**63, 1, 0, b"", (), ())


@pytest.mark.parametrize(
    "bad",
    [
        EntryPart((), (_LARGE,), (), {}, {}),
        EntryPart((), (), (DirectoryRow(b"/", False, (), ((b"..", 0),)),), {}, {}),
        BlockPart((PackRow(bytes(16), -1, b"header", ()),), ()),
    ],
    ids=["a number", "a name", "a pack"],
)
async def test_a_part_that_nobody_could_read_is_not_stored(
    tmp_path: Path, bad: EntryPart | BlockPart
) -> None:
    store = MemoryStore()
    async with built(store, tmp_path) as repository:
        before = dict(store.objects)
        with pytest.raises(FormatError, match="not stored, as nobody could read it") as raised:
            await repository.parts.upload(bad, (0, 0, 0))
        assert "please report this" in raised.value.hint
        assert store.objects == before


@pytest.mark.parametrize("kind", ["blocks", "entries"])
@pytest.mark.parametrize("damage", ["lost", "flipped", "cut", "another"])
async def test_a_lost_or_damaged_part_is_named_by_its_record(
    tmp_path: Path, kind: str, damage: str
) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        await history(Builder(one), 3)
        body = log_of(store)[3].body
        ref = getattr(body, kind)[0]
        data = store.objects[objects.part(ref.name)]
        spoilt = {
            "flipped": data[:-1] + bytes([data[-1] ^ 1]),
            "cut": data[:-1],
            "another": store.objects[objects.part(getattr(log_of(store)[2].body, kind)[0].name)],
        }
        if damage == "lost":
            del store.objects[objects.part(ref.name)]
        else:
            store.objects[objects.part(ref.name)] = spoilt[damage]
        with pytest.raises(DamagedError, match="part of log record 3 is lost or damaged") as raised:
            await other.catch_up_all()
        assert "snapfs check" in raised.value.hint
        # What comes before it is applied, and nothing of it.
        (waiting,) = other.replica.pending(BLOCKS if kind == "blocks" else 1, 1)
        assert (waiting.record, waiting.index) == (3, 0)
        store.objects[objects.part(ref.name)] = data
        await assert_replay_equal(other, tmp_path)


async def test_a_part_that_contradicts_its_record_is_damage_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that takes fewer numbers than its parts have rows."""
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        monkeypatch.setattr("tests.build._Delta.new", lambda delta, rows: New())
        with pytest.raises(DamagedError, match=r"part of log record 2 .*contradicts"):
            await Builder(one).commit({"/a": file(b"a")})
        with pytest.raises(DamagedError, match=r"part of log record 2 .*contradicts"):
            await other.catch_up_all()
        assert other.replica.db.rows("SELECT * FROM block") == []


async def test_an_unreachable_store_is_no_damage(tmp_path: Path) -> None:
    memory = MemoryStore()
    async with built(memory, tmp_path / "one") as one:
        await history(Builder(one), 3)
    store = FaultyStore(memory)
    async with built(store, tmp_path / "two") as two:
        store.queue("get", Fault(on=objects.PARTS, before=StoreUnavailableError("away")))
        with pytest.raises(StoreUnavailableError, match="away"):
            await two.catch_up_all()
        await assert_replay_equal(two, tmp_path)


async def test_own_parts_are_not_fetched_and_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FaultyStore(MemoryStore())
    async with built(store, tmp_path) as repository:
        await history(Builder(repository), 3)
        assert not [name for verb, name in store.calls if verb == "get" and "meta" in name]
        assert repository.parts._own == {}
        part = EntryPart((), (), (), {}, {})
        size = (await repository.parts.upload(part, (0, 0, 0))).size
        monkeypatch.setattr(pieces, "_OWN_KEPT", 5 * size)
        for _ in range(40):
            await repository.parts.upload(part, (0, 0, 0))
        assert len(repository.parts._own) == 5
        repository.parts.drop_own()
        assert repository.parts._own == {}


@pytest.mark.parametrize(("limit", "at_once"), [(pieces._BYTES_AT_ONCE, 8), (1, 1), (0, 1)])
async def test_long_parts_are_fetched_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, at_once: int
) -> None:
    monkeypatch.setattr(pieces, "_BYTES_AT_ONCE", limit)
    gathered: list[int] = []

    async def counting(tasks: Iterable[Any]) -> list[Any]:
        todo = list(tasks)
        gathered.append(len(todo))
        return await gather(todo)

    async with machines(MemoryStore(), tmp_path, 2) as (one, other):
        await history(Builder(one), 12)
        monkeypatch.setattr(pieces, "gather", counting)
        await other.catch_up([1])
        assert max(gathered) == at_once
        assert differences(one.replica.db, other.replica.db) == []


async def test_entries_bring_the_blocks_that_they_need(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        await history(Builder(one), 4)
        await other.catch_up(blocks=False)
        assert other.replica.db.rows("SELECT * FROM block") == []
        await other.catch_up([1], blocks=False)
        await other.catch_up()
        assert differences(one.replica.db, other.replica.db) == []


async def test_readers_and_writers_in_one_process_catch_up_at_once(tmp_path: Path) -> None:
    """A mount's look and a reader's, both on the connections of one view."""
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        builder = Builder(one)
        for _ in range(4):
            await history(builder, 3)
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(other.catch_up_all)
                    nursery.start_soon(other.catch_up)
                    nursery.start_soon(other.log.catch_up)
        assert differences(one.replica.db, other.replica.db) == []


async def test_heads_are_applied_while_pieces_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own transaction, even where both want one at the same moment."""
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (one, other):
        builder = Builder(one)
        await history(builder, 2)
        await other.log.catch_up()
        await history(builder, 2)
        inside, over = threading.Event(), threading.Event()
        apply_blocks, apply_heads = replica_module.apply_blocks, Replica.apply_heads
        seen: list[tuple[bool, int]] = []

        def slow(*arguments: object) -> None:
            inside.set()
            seen.append((over.wait(0.2), other.replica.tip().number))
            apply_blocks(*arguments)  # type: ignore[arg-type]

        def watched(replica: Replica, published: Sequence[Published]) -> None:
            try:
                apply_heads(replica, published)
            finally:
                over.set()

        monkeypatch.setattr(replica_module, "apply_blocks", slow)
        monkeypatch.setattr(Replica, "apply_heads", watched)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.parts.catch_up, [BLOCKS])
            await trio.to_thread.run_sync(inside.wait)
            nursery.start_soon(other.log.catch_up)
        assert seen[0] == (False, 3)
        await other.catch_up_all()
        assert differences(one.replica.db, other.replica.db) == []


async def test_two_views_of_one_state_apply_alternately(tmp_path: Path) -> None:
    """As two processes of one machine do: each goes on where the position stands."""
    store = MemoryStore()
    async with (
        built(store, tmp_path / "one") as one,
        built(store, tmp_path / "two") as first,
        built(store, tmp_path / "two") as second,
    ):
        builder = Builder(one)
        for views in ((first, second), (second, first)):
            await history(builder, 2)
            await views[0].log.catch_up()
            for stream in (BLOCKS, 1):
                first.replica.pending(BLOCKS, 1)
                for view in views:
                    piece = view.replica.pending(stream, 1)[0]
                    part = (await view.parts._fetch(piece)).part
                    view.replica.apply_piece(piece, part)
                    views[1].replica.apply_piece(piece, part)
        async with trio.open_nursery() as nursery:
            await history(builder, 3)
            nursery.start_soon(first.catch_up_all)
            nursery.start_soon(second.catch_up_all)
        assert differences(one.replica.db, first.replica.db) == []


async def test_processes_that_catch_up_at_once_and_are_killed_end_equal(tmp_path: Path) -> None:
    """Several processes on one state, and some of them die between two pieces."""
    place = tmp_path / "store"
    place.mkdir()
    store = ThreadedStore(Files(place))
    async with built(store, tmp_path / "one") as one:
        await history(Builder(one), 12)
        await history(Builder(one, source="home"), 6)
        script = [sys.executable, "-m", "tests.repository.catching_up", place, tmp_path / "shared"]
        async with trio.open_nursery() as nursery:
            for killed_after in (3, 9, 0, 0):
                arguments = [*map(str, script), str(killed_after)]
                nursery.start_soon(_run, arguments)
        async with replayed(store, tmp_path / "shared") as shared:
            assert differences(one.replica.db, shared.replica.db) == []


async def _run(arguments: list[str]) -> None:
    result = await trio.run_process(arguments, check=False, capture_stderr=True)
    expected = (0,) if arguments[-1] == "0" else (0, -9)
    assert result.returncode in expected, result.stderr.decode()
