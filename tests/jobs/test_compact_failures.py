"""Compaction that is broken off, or beside a view that is wrong: nothing goes that is needed."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snapfs.errors import DamagedError, FormatError, StoreError, ViewDamagedError
from snapfs.formats import objects
from snapfs.formats.bases import EntryBase
from snapfs.formats.records import Base
from snapfs.jobs.prune import compact as compacting
from snapfs.metadata import compare
from snapfs.metadata.baseloading import BaseLoading
from snapfs.metadata.bases import Standpoint, base_body
from snapfs.metadata.database import Database
from snapfs.metadata.loading import Stream, load_blocks, load_entries
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.metadata.restating import restate_blocks, restate_entries
from snapfs.model.identity import Commit
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.world import World
from tests.build import KEYS
from tests.faulty import Fault, FaultyStore, Verb
from tests.jobs.compacting import COMPACT, LOOSE, days, equal, forget_some, rows_of, sound
from tests.jobs.ingesting import TINY, Machine, machine
from tests.jobs.repairing import directories
from tests.jobs.test_prune import churn, forget, run, snapshots
from tests.jobs.twohosts import two_hosts


class _BrokenError(Exception):
    """The power fails."""


async def test_what_is_dropped_half_way_is_dropped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(14)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await days(other, chance, 1)
        await forget_some(one, chance, 1)
        async with open_view(store, directories(tmp_path / "slow"), KEYS, World()) as slow:
            prove = compacting._prove

            async def seen(repository: Repository, replica: Replica, body: Base) -> None:
                await prove(repository, replica, body)
                await slow.catch_up_all()

            monkeypatch.setattr(compacting, "_prove", seen)
            await run(one.repository, COMPACT)
            check, left = BaseLoading._check_waits, 0

            def broken(loading: BaseLoading) -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    raise _BrokenError
                check(loading)

            monkeypatch.setattr(BaseLoading, "_check_waits", broken)
            for times in range(100):
                left = times
                try:
                    await slow.catch_up_all()
                except _BrokenError:
                    continue
                break
            assert times > 5
            monkeypatch.setattr(BaseLoading, "_check_waits", check)
            await equal(slow)


async def _compacted(host: Machine) -> tuple[Commit, Base]:
    """Number and body of the base that a prune makes."""
    base = (await run(host.repository, COMPACT)).base
    assert base is not None
    return Commit(base), base_body(host.repository.replica.db, Commit(base))


async def test_a_process_that_drops_stops_where_another_has_gone_on(tmp_path: Path) -> None:
    chance = random.Random(13)
    async with two_hosts(tmp_path) as (one, _, _store):
        await days(one, chance, 2)
        await forget_some(one, chance, 1)
        base, body = await _compacted(one)
        db = one.repository.replica.db
        db.execute(
            "INSERT INTO entry SELECT directory, x'6c617465', 2, 3, node, NULL, size, file, mtime,"
            " uid FROM entry LIMIT 1"
        )
        db.execute("INSERT INTO suspect SELECT number, 1, 2 FROM block LIMIT 1")
        for stream in (BLOCKS, 1):
            BaseLoading(db, stream, Standpoint(base, body.until), body).drop()
        assert rows_of(one.repository, "suspect") == 1
        assert db.row("SELECT 1 FROM entry WHERE name = x'6c617465'")
        assert one.repository.replica.is_current(1)


@pytest.mark.parametrize("stale", [False, True])
async def test_parts_of_a_base_that_are_loaded_again_change_nothing(
    tmp_path: Path, stale: bool
) -> None:
    chance = random.Random(23)
    async with two_hosts(tmp_path) as (one, _, _store):
        await days(one, chance, 4)
        await forget_some(one, chance, 2)
        _, body = await _compacted(one)
        db = one.repository.replica.db
        before = compare.digests(db)
        with db.writing():
            for entries in list(restate_entries(db, 1, body)):
                load_entries(db, entries, Stream(1, body.until, stale))
            for blocks in list(restate_blocks(db, body.until)):
                load_blocks(db, blocks, Stream(BLOCKS, body.until, stale))
        assert compare.digests(db) == before


TABLES = (
    "fact", "log", "source", "snapshot", "tag", "directory", "entry", "touched", "node", "list",
    "block", "suspect", "segment", "pack", "fate", "owner", "counter", "mended", "base", "lapsed",
)  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
async def test_one_row_less_in_the_live_database_and_nothing_goes(
    tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_AT_ONCE", 2)
    chance = random.Random(table)
    async with two_hosts(tmp_path) as (one, _, store):
        await days(one, chance, 3)
        await forget(one, (await snapshots(one))[0])
        await run(one.repository, COMPACT)
        await days(one, chance, 1)
        await one.repository.catch_up_all()
        db = one.repository.replica.db
        if table == "mended":
            db.execute("INSERT INTO mended VALUES (1, 0, x'00')")
        elif not remove_one(db, table, chance):
            insert_one(db, table)
        before = dict(store.objects)
        for options in (COMPACT, replace(COMPACT, dry_run=True), LOOSE):
            with pytest.raises(ViewDamagedError, match=table):
                await run(one.repository, options)
        assert store.objects == before


def _leave_out_last(monkeypatch: pytest.MonkeyPatch, rows: str) -> None:
    """Have a base restate all of these rows but the last of each part."""
    right = compacting.restate_entries

    def wrong(*arguments: Any) -> Iterator[EntryBase]:
        for part in right(*arguments):
            yield msgspec.structs.replace(part, **{rows: getattr(part, rows)[:-1]})

    monkeypatch.setattr(compacting, "restate_entries", wrong)


async def test_what_is_restated_wrongly_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a fault of ours: the parts are read back, and would give others another view."""
    chance = random.Random(16)
    async with two_hosts(tmp_path) as (one, _, _store):
        await days(one, chance, 2)
        _leave_out_last(monkeypatch, "entries")
        with pytest.raises(DamagedError, match="would differ"):
            await run(one.repository, COMPACT)
        monkeypatch.undo()
        assert rows_of(one.repository, "base") == 0
        await sound(one)


async def test_entries_without_their_nodes_are_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_hosts(tmp_path) as (one, _, _store):
        await days(one, random.Random(16), 2)
        _leave_out_last(monkeypatch, "nodes")
        with pytest.RaisesGroup(FormatError, flatten_subgroups=True, allow_unwrapped=True):
            await run(one.repository, COMPACT)
        assert rows_of(one.repository, "base") == 0
        await sound(one)


async def test_what_is_stored_wrongly_is_not_published(tmp_path: Path) -> None:
    chance = random.Random(17)
    async with two_hosts(tmp_path) as (one, _, inner):
        await days(one, chance, 2)
        store = FaultyStore(inner)
        store.queue("put", Fault(on="meta/", skip=1, flip=99))
        async with open_view(store, directories(tmp_path / "p"), KEYS, World()) as pruner:
            with pytest.raises(DamagedError, match="lost or damaged"):
                await run(pruner, COMPACT)
        store.assert_all_hit()
        assert rows_of(one.repository, "base") == 0
        await sound(one)


async def test_a_live_view_that_goes_wrong_during_a_prune_is_no_source_of_a_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(18)
    async with two_hosts(tmp_path) as (one, _, _store):
        await days(one, chance, 2)
        catch_up = compacting.catch_up_apart

        async def late(repository: Repository, replica: Replica) -> None:
            await catch_up(repository, replica)
            assert remove_one(one.repository.replica.db, "entry", chance)

        monkeypatch.setattr(compacting, "catch_up_apart", late)
        with pytest.raises(ViewDamagedError, match="entry"):
            await run(one.repository, COMPACT)
        assert rows_of(one.repository, "base") == 0


async def test_entries_wait_for_the_blocks_before_they_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else lists would stay that refer to what the blocks' stream is about to drop."""
    chance = random.Random(19)
    async with two_hosts(tmp_path) as (one, _, store):
        await days(one, chance, 4)
        await forget_some(one, chance, 1)
        async with open_view(store, directories(tmp_path / "slow"), KEYS, World()) as slow:
            prove = compacting._prove

            async def seen(repository: Repository, replica: Replica, body: Base) -> None:
                await prove(repository, replica, body)
                await slow.catch_up_all()

            monkeypatch.setattr(compacting, "_prove", seen)
            assert (await run(one.repository, COMPACT)).base is not None
            await slow.log.catch_up()
            before = rows_of(slow, "entry")
            assert slow.replica.pending(1, 8) == []
            assert rows_of(slow, "entry") == before
            assert not slow.replica.is_current(1)
            assert slow.replica.pending(BLOCKS, 8) == []
            assert slow.replica.is_current(BLOCKS)
            assert slow.replica.pending(1, 8) == []
            assert rows_of(slow, "entry") < before
            await equal(slow)


@pytest.mark.parametrize("lost", ["of the base", "of a record behind it"])
async def test_reading_where_blocks_are_lost_around_a_base(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new machine shows what it can read, and that is all that comes before the loss."""
    chance = random.Random(7)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await days(other, chance, 2)
        await forget_some(one, chance, 1)
        prove = compacting._prove
        async with machine(
            store, tmp_path / "c", tmp_path / "tree c", host="third", chunker=TINY
        ) as third:
            third.tree.mkdir()

            async def late(repository: Repository, replica: Replica, body: Base) -> None:
                await prove(repository, replica, body)
                for name in ("new", "more"):
                    (third.tree / name).write_bytes(name.encode() * 50)
                    await third.capture()

            monkeypatch.setattr(compacting, "_prove", late)
            base = (await run(one.repository, COMPACT)).base
            assert base is not None
            await one.repository.catch_up_all()
            refs = one.repository.replica.head(Commit(base)).body.blocks  # type: ignore[union-attr]
            if lost != "of the base":
                refs = one.repository.replica.head(Commit(base - 2)).body.blocks  # type: ignore[union-attr]
            del store.objects[objects.part(refs[0].name)]
            async with open_view(store, directories(tmp_path / "new"), KEYS, World()) as fresh:
                await fresh.look(None)
                assert isinstance(fresh.lost, DamagedError)
                known = {one.number for one in fresh.snapshots.stream()}
                shown = {
                    standing.number
                    for source in fresh.snapshots.sources()
                    for standing in fresh.snapshots.standings(source.number)
                    if standing.shown
                }
                before = {number for number in known if number < base - 2}
                assert shown == (set() if lost == "of the base" else before)
                assert before


def remove_one(db: Database, table: str, chance: random.Random) -> bool:
    """Remove a random row; of the log any but the last, by which the replica goes."""
    rows = db.rows(f"SELECT * FROM {table}")
    columns = [name for _, name, *_ in db.rows(f"PRAGMA table_info({table})")]
    rows = rows[:-1] if table == "log" else rows
    if not rows:
        return False
    row = chance.choice(rows)
    db.execute(
        f"DELETE FROM {table} WHERE " + " AND ".join(f"{column} IS ?" for column in columns), row
    )
    return True


def insert_one(db: Database, table: str) -> None:
    """A row too many, where there is none that could be missing."""
    columns = db.rows(f"PRAGMA table_info({table})")
    values = [
        "x'00'" if kind == "BLOB" else "'x'" if kind == "TEXT" else "1"
        for _, _, kind, *_ in columns
    ]
    db.execute(f"INSERT INTO {table} VALUES ({', '.join(values)})")


@pytest.mark.parametrize("verb", ["put", "delete", "get", "list"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_broken_off_anywhere_the_next_run_completes_it(
    tmp_path: Path, verb: Verb, when: str
) -> None:
    chance = random.Random(11)
    async with two_hosts(tmp_path) as (one, _, inner):
        for _ in range(2):
            for _ in range(2):
                churn(one.tree, chance, files=4, largest=2_000)
                await one.capture()
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
        broken = 0
        # Gets are many, change nothing, and become more with each record of a run that failed.
        for skip in range(0, 120, 8) if verb == "get" else range(120):
            store = FaultyStore(inner)
            store.queue(verb, Fault(skip=skip, **{when: StoreError("out of order")}))
            async with open_view(store, directories(tmp_path / "p"), KEYS, World()) as pruner:
                try:
                    await run(pruner, COMPACT)
                except StoreError:
                    broken += 1
                else:
                    break
            await one.check()
        assert (await run(one.repository, COMPACT)).base is not None
        assert broken > (0 if verb == "list" else 1)
        await run(one.repository, LOOSE)
        await sound(one)
