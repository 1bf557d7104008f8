"""The repository's level: an old program stops where it must, and still reads where it may."""

from pathlib import Path

import pytest

from snapfs.errors import NewerFormatError
from snapfs.formats import objects, seal, wire
from snapfs.formats.parts import LEVEL
from snapfs.formats.records import Upgrade
from snapfs.formats.seal import Context, ObjectKind, Purpose
from snapfs.model.identity import Commit
from snapfs.repository import levels
from snapfs.repository.repository import Repository
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, built, file
from tests.repository.machines import NOTHING, machines, publish


def put_unknown_record(repository: Repository, store: MemoryStore) -> None:
    """A record of a kind that this program does not know, behind the log's end."""
    tip = repository.replica.tip()
    number = Commit(tip.number + 1)
    fields = {
        "previous": tip.hash, "attempt": bytes(16), "host": "web", "time": 0, "program": "later",
        "body": {"type": "miracle"},
    }  # fmt: skip
    context = Context(KEYS.repository, ObjectKind.RECORD, objects.record(number))
    store.objects[context.name] = seal.seal_object(
        context, Purpose.ORDER, KEYS.epochs, wire.encode(fields), level=LEVEL,
        random=World().random,
    )  # fmt: skip


async def test_an_unknown_read_feature_stops_everything_and_is_named(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (newer, older):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(levels, "READS", frozenset({"miracles"}))
            await publish(newer, Upgrade(("miracles",), ()))
            put_unknown_record(newer, store)
        for _ in range(2):
            with pytest.raises(NewerFormatError, match="uses miracles") as raised:
                await older.log.catch_up()
            assert "newer snapfs" in raised.value.hint
        before = dict(store.objects)
        with pytest.raises(NewerFormatError, match="miracles"):
            await publish(older, NOTHING)
        assert store.objects == before


async def test_an_unknown_write_feature_lets_read_and_refuses_to_write(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 2) as (newer, older):
        number = await Builder(newer).commit({"/a": file(b"content")})
        await publish(newer, Upgrade((), ("care",)))
        before = dict(store.objects)
        await older.catch_up_all()
        assert older.replica.tip().number == 3
        entry = older.tree.resolve(older.snapshots.sources()[0].anchor, number, b"/a")
        assert entry is not None
        async with older.reading() as reader:
            assert await reader.open(entry.node.content()).read(0, 100) == b"content"
        with pytest.raises(NewerFormatError, match=r"needs care.*mount and restore work"):
            await publish(older, NOTHING)
        assert store.objects == before


async def test_features_that_are_known_stop_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "READS", frozenset({"a", "b"}))
    monkeypatch.setattr(levels, "WRITES", frozenset({"c"}))
    async with built(MemoryStore(), tmp_path) as repository:
        await publish(repository, Upgrade(("a",), ("c",)))
        assert await publish(repository, NOTHING) == 3


async def test_a_record_of_an_unknown_kind_without_a_level_is_of_a_newer_program(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with built(store, tmp_path) as repository:
        put_unknown_record(repository, store)
        with pytest.raises(NewerFormatError, match="log/0000000000000002"):
            await repository.log.catch_up()
