"""Compaction: who begins with a base has the very rows of those who were there all along."""

import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from snapfs.errors import DamagedError, DeltaVoidError, StoreError, ViewDamagedError
from snapfs.formats import objects
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Base, Mend, Recall, named_parts
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.prune import compact as compacting
from snapfs.jobs.prune.options import DAY_NS
from snapfs.jobs.recall import forgotten
from snapfs.metadata.baseloading import BaseLoading
from snapfs.metadata.bases import Standpoint, base_body, newest_base
from snapfs.metadata.compare import differences
from snapfs.metadata.database import Database
from snapfs.metadata.replica import BLOCKS, Replica
from snapfs.metadata.snapshots import Filter
from snapfs.metadata.superseded import named_until
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.moving import suspects_of, upload_blocks
from snapfs.repository.pieces import catch_up_parts
from snapfs.repository.replay import replayed
from snapfs.repository.repository import Repository, World, open_view
from snapfs.repository.state import Directories
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS
from tests.faulty import Fault, FaultyStore, Verb
from tests.jobs.checking import assert_sound, checked, put_keys
from tests.jobs.ingesting import TINY, Machine, machine
from tests.jobs.repairing import repaired
from tests.jobs.test_prune import NOW, TIGHT, churn, doubt, forget, run, snapshots

COMPACT = replace(TIGHT, compact=True)
IF_NEEDED = replace(NOW, compact=None)
LOOSE = replace(NOW, compact=False)
COUNTED = ("blocks", "segments", "packs", "nodes", "lists", "directories", "sources")


@asynccontextmanager
async def hosts(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine, MemoryStore]]:
    """Two machines with trees of their own, and blocks so small that contents are lists."""
    store = MemoryStore(now=time.time)
    await put_keys(store)
    async with (
        machine(store, tmp_path / "a", tmp_path / "tree a", chunker=TINY) as one,
        machine(store, tmp_path / "b", tmp_path / "tree b", host="other", chunker=TINY) as other,
    ):
        one.tree.mkdir()
        other.tree.mkdir()
        yield one, other, store


async def days(host: Machine, chance: random.Random, count: int) -> None:
    """So many snapshots, with changes, a long file and a directory that comes and goes."""
    for day in range(count):
        churn(host.tree, chance, largest=9_000)
        path = host.tree / "long"
        long = path.read_bytes() if path.exists() else chance.randbytes(350_000)
        at = chance.randrange(len(long))
        path.write_bytes(long[:at] + chance.randbytes(900) + long[at:])
        passing = host.tree / "now and then"
        if day % 2:
            passing.mkdir()
            (passing / "file").write_bytes(b"%d" % day)
        elif passing.exists():
            (passing / "file").unlink()
            passing.rmdir()
        await host.capture()


async def own(host: Machine) -> list[int]:
    """Numbers of a host's snapshots."""
    return [each.number for each in await snapshots(host) if each.source.host == host.host]


async def forget_some(host: Machine, chance: random.Random, keep: int = 2) -> None:
    mine = [each for each in await snapshots(host) if each.source.host == host.host]
    gone = chance.sample(mine, max(len(mine) - keep, 0))
    if gone:
        await forget(host, *gone)


async def equal(repository: Repository) -> None:
    """The live view is what the log gives to one that begins now."""
    await repository.catch_up_all()
    async with replayed(repository) as replica:
        assert differences(replica.db, repository.db) == []


async def sound(*all_hosts: Machine) -> None:
    for host in all_hosts:
        await equal(host.repository)
        await host.check()
    await assert_sound(all_hosts[0].repository)


def counters(repository: Repository) -> dict[str, int]:
    return dict(repository.db.rows("SELECT name, next FROM counter"))


def rows_of(repository: Repository, table: str) -> int:
    row = repository.db.row(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


def parts_in(store: MemoryStore) -> set[str]:
    return {name for name in store.objects if name.startswith(objects.PARTS)}


async def test_a_base_leaves_out_what_nobody_can_ask_for(tmp_path: Path) -> None:
    chance = random.Random(1)
    async with hosts(tmp_path) as (one, other, _):
        await days(one, chance, 6)
        await days(other, chance, 3)
        await forget_some(one, chance, 1)
        await one.repository.catch_up_all()
        before = {
            table: rows_of(one.repository, table) for table in ("entry", "node", "list", "touched")
        }
        blocks = one.repository.db.rows("SELECT number FROM block")
        numbers = counters(one.repository)
        report = await run(one.repository, COMPACT)
        assert report.base == one.repository.replica.tip().number
        after = {table: rows_of(one.repository, table) for table in before}
        assert all(after[table] < before[table] for table in before), (before, after)
        assert {*blocks} - {*one.repository.db.rows("SELECT number FROM block")}
        assert not one.repository.db.rows(
            "SELECT 1 FROM block b JOIN segment s ON s.number = b.segment"
            " JOIN pack p ON p.number = s.pack JOIN fate USING (name)"
        )
        assert counters(one.repository).items() >= {
            (name, numbers[name]) for name in COUNTED if name not in ("blocks", "segments", "packs")
        }
        await sound(one, other)


async def test_a_fresh_view_has_the_same_rows_and_fetches_only_the_base(tmp_path: Path) -> None:
    chance = random.Random(2)
    async with hosts(tmp_path) as (one, other, store):
        await days(one, chance, 5)
        await days(other, chance, 3)
        await forget_some(one, chance)
        await run(one.repository, COMPACT)
        named = {ref.name for ref in _base(one.repository)}
        asked = FaultyStore(store)
        async with open_view(asked, _directories(tmp_path / "new"), KEYS, World()) as fresh:
            await fresh.catch_up_all()
            fetched = {
                name
                for verb, name in asked.calls
                if verb == "get" and name.startswith(objects.PARTS)
            }
            assert fetched == {objects.part(name) for name in named}
            assert differences(fresh.db, one.repository.db) == []


def _base(repository: Repository) -> list[PartRef]:
    """The parts of the newest base."""
    base = newest_base(repository.db)
    assert base is not None
    return list(named_parts(repository.replica.head(base.record).body))


async def test_numbers_go_on_behind_a_base_and_none_is_given_twice(tmp_path: Path) -> None:
    chance = random.Random(3)
    async with hosts(tmp_path) as (one, other, _):
        given: dict[int, bytes] = {}
        for _ in range(3):
            await days(one, chance, 3)
            for number, *rest in one.repository.db.rows("SELECT * FROM node"):
                assert given.setdefault(number, repr(rest).encode()) == repr(rest).encode()
            before = counters(one.repository)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
            assert all(counters(one.repository)[name] >= before[name] for name in COUNTED)
        await sound(one, other)


@pytest.mark.parametrize("bases", [1, 2, 3])
async def test_a_host_that_slept_through_bases_catches_up_and_ingests_on(
    tmp_path: Path, bases: int
) -> None:
    chance = random.Random(bases)
    async with hosts(tmp_path) as (one, other, store):
        await days(other, chance, 3)
        await days(one, chance, 3)
        await other.repository.catch_up_all()
        for _ in range(bases):
            await days(one, chance, 3)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
        await run(one.repository, LOOSE)
        named = {objects.part(ref.name) for ref in named_until(one.repository.db, 4)}
        assert (named <= parts_in(store)) == (bases == 1)
        await days(other, chance, 2)
        await sound(one, other)


@pytest.mark.parametrize("seed", range(4))
async def test_any_story_gives_every_view_the_same_rows(tmp_path: Path, seed: int) -> None:
    """Whoever looks when, through whatever bases: all have the same rows in the end."""
    chance = random.Random(seed)
    async with (
        hosts(tmp_path) as (one, other, store),
        open_view(store, _directories(tmp_path / "lazy"), KEYS, World()) as lazy,
    ):
        for _ in range(14):
            await _step(chance, one, other, lazy)
        for host in (one, other):
            await equal(host.repository)
            await host.check()
        await equal(lazy)
        report = await checked(one.repository)
        assert report.compared
        assert all("found damaged" in each.detail for each in report.problems), report.problems
        assert rows_of(one.repository, "base") > 0


async def test_what_a_lost_part_of_a_base_restates_is_there_until_the_next(tmp_path: Path) -> None:
    chance = random.Random(12)
    async with hosts(tmp_path) as (one, other, store):
        for _ in range(2):
            await days(one, chance, 2)
            await days(other, chance, 1)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
        await days(one, chance, 1)
        await one.repository.catch_up_all()
        for ref in _base(one.repository):
            kept = store.objects.pop(objects.part(ref.name))
            async with replayed(one.repository) as replica:
                assert replica.lacks_base
                assert differences(replica.db, one.repository.db) == []
            store.objects[objects.part(ref.name)] = kept
        del store.objects[objects.part(ref.name)]
        (problem,) = (await checked(one.repository)).problems
        assert (problem.object, problem.kind) == (objects.part(ref.name), ProblemKind.BASE)
        assert "snapfs prune" in problem.hint
        with pytest.raises(DamagedError):
            async with open_view(store, _directories(tmp_path / "new"), KEYS, World()) as new:
                await new.catch_up_all()
        repairing = await repaired(store, tmp_path / "new")
        assert len(repairing.set_aside) == 1
        async with open_view(store, _directories(tmp_path / "new"), KEYS, World()) as new:
            await new.catch_up_all()
            assert differences(new.db, one.repository.db) == []
        assert (await repaired(store, tmp_path / "new")).set_aside == ()
        report = await run(one.repository, IF_NEEDED)
        assert report.base is not None
        await run(one.repository, LOOSE)
        await sound(one, other)


async def _step(chance: random.Random, one: Machine, other: Machine, lazy: Repository) -> None:
    match chance.choice(
        ["one", "one", "other", "forget", "base", "base", "base", "prune", "look", "heads", "doubt"]
    ):
        case "one":
            await days(one, chance, 1)
        case "other":
            await days(other, chance, 1)
        case "forget":
            await forget_some(chance.choice([one, other]), chance, chance.choice([0, 1, 2]))
        case "base":
            await run(one.repository, COMPACT)
        case "prune":
            await run(other.repository, LOOSE)
        case "look":
            await lazy.catch_up(
                chance.choice([[], [1], [1, 2]]) if lazy.snapshots.source_by_number(2) else []
            )
        case "heads":
            await lazy.log.catch_up()
        case "doubt":
            await _doubt_some(one)


async def _doubt_some(host: Machine) -> None:
    await host.repository.catch_up_all()
    row = host.repository.db.row(
        "SELECT max(number) FROM pack WHERE name NOT IN (SELECT name FROM fate)"
    )
    if row and row[0]:
        await doubt(host, row[0])


def _directories(path: Path) -> Directories:
    return Directories(path / "state", path / "cache")


# --- beside others


async def test_parts_go_while_a_host_is_catching_up(tmp_path: Path) -> None:
    """It knows the heads of before the base that took the place of what it is about to fetch."""
    chance = random.Random(5)
    async with hosts(tmp_path) as (one, other, store):
        await days(one, chance, 3)
        await days(other, chance, 2)
        async with open_view(store, _directories(tmp_path / "slow"), KEYS, World()) as slow:
            await slow.log.catch_up()
            for stream in (BLOCKS, 1):
                piece = slow.replica.pending(stream, 1)[0]
                await slow.parts.catch_up([stream]) if stream == BLOCKS else None
                assert piece.record == 2
            for _ in range(2):
                await days(one, chance, 1)
                await forget_some(one, chance, 1)
                await run(one.repository, COMPACT)
            await run(one.repository, LOOSE)
            assert objects.part(piece.ref.name) not in store.objects
            await slow.parts.catch_up([BLOCKS])
            with pytest.raises(DamagedError):
                await slow.parts.catch_up([1])
            await catch_up_parts(slow.log, slow.parts, slow.replica, lambda: [1])
            await equal(slow)


async def test_a_host_stops_half_way_through_a_base_that_is_replaced(tmp_path: Path) -> None:
    chance = random.Random(6)
    async with hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await days(other, chance, 2)
        async with open_view(store, _directories(tmp_path / "slow"), KEYS, World()) as slow:
            await slow.catch_up([1])
            await days(one, chance, 2)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
            await slow.log.catch_up()
            for stream in (BLOCKS, 1, 2):
                for piece in slow.replica.pending(stream, 1):
                    assert piece.base
                    slow.replica.apply_piece(piece, await slow.parts.fetch_base(piece))
            await days(one, chance, 2)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
            await equal(slow)


async def test_an_ingest_that_commits_while_a_base_is_built_stays_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    async with hosts(tmp_path) as (one, other, _):
        await days(one, chance, 4)
        await days(other, chance, 2)
        await forget_some(one, chance, 1)
        prove = compacting._prove

        async def late(repository: Repository, replica: Replica, body: Base) -> None:
            await prove(repository, replica, body)
            await days(other, chance, 2)
            await forget_some(other, chance, 1)

        monkeypatch.setattr(compacting, "_prove", late)
        base = (await run(one.repository, COMPACT)).base
        assert base is not None
        body = one.repository.replica.head(Commit(base)).body
        assert isinstance(body, Base)
        assert body.until == base - 4
        await days(other, chance, 1)
        await days(one, chance, 1)
        await sound(one, other)


async def test_a_recall_that_comes_in_between_makes_the_base_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(8)
    async with hosts(tmp_path) as (one, other, _):
        await days(one, chance, 3)
        gone = (await snapshots(one))[0]
        kept = one.kept.manifests[gone.number]
        await forget(one, gone)
        prove = compacting._prove

        async def late(repository: Repository, replica: Replica, body: Base) -> None:
            await prove(repository, replica, body)
            recall = Recall((gone.id,))
            await other.repository.publish(Attempt(os.urandom(16)), lambda: recall, "other")

        monkeypatch.setattr(compacting, "_prove", late)
        options = replace(COMPACT, condemned_for_ns=DAY_NS)
        assert (await run(one.repository, options)).base is None
        monkeypatch.setattr(compacting, "_prove", prove)
        one.kept.manifests[gone.number] = kept
        await sound(one, other)
        assert (await run(one.repository, options)).base is not None
        await sound(one, other)


async def test_damage_that_is_told_of_in_between_makes_the_base_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block might be one that the base left out; and its parts know of no damage."""
    async with hosts(tmp_path) as (one, other, store):
        await days(one, random.Random(15), 2)
        prove = compacting._prove

        async def late(repository: Repository, replica: Replica, body: Base) -> None:
            await prove(repository, replica, body)
            await _doubt_some(other)

        monkeypatch.setattr(compacting, "_prove", late)
        before = parts_in(store)
        assert (await run(one.repository, COMPACT)).base is None
        assert rows_of(one.repository, "base") == 0
        left_over = parts_in(store) - before
        monkeypatch.setattr(compacting, "_prove", prove)
        await run(one.repository, LOOSE)
        assert len(left_over & parts_in(store)) == 1  # that of the damage; the others are orphans
        await equal(one.repository)


async def test_a_damaged_copy_stays_known_until_it_is_stored_anew(tmp_path: Path) -> None:
    """Records behind the base may name it; but its pack, which nothing needs, goes."""
    async with hosts(tmp_path) as (one, _, _store):
        for day in range(2):
            (one.tree / "file").write_bytes(random.Random(day).randbytes(5_000))
            await one.capture()
            if day == 0:
                await _doubt_some(one)
        await forget(one, (await snapshots(one))[0])
        report = await run(one.repository, COMPACT)
        assert report.base is not None
        assert report.deleted > 0
        assert one.repository.db.rows(
            "SELECT 1 FROM suspect d JOIN block b ON b.number = d.block"
            " JOIN segment s ON s.number = b.segment JOIN pack p ON p.number = s.pack"
            " JOIN fate USING (name)"
        )
        assert not one.repository.db.rows(
            "SELECT 1 FROM suspect WHERE block NOT IN (SELECT number FROM block)"
        )
        await equal(one.repository)


async def test_who_has_not_seen_a_base_may_name_what_it_left_out(tmp_path: Path) -> None:
    """Of damage in a pack that went meanwhile there is nothing to remember."""
    async with hosts(tmp_path) as (one, other, _):
        for day in range(2):
            (one.tree / "file").write_bytes(random.Random(day).randbytes(5_000))
            await one.capture()
        await other.repository.catch_up()
        blocks = [number for (number,) in other.repository.db.rows("SELECT number FROM block")]
        rows = suspects_of(other.repository.blocks, blocks)
        refs, new = await upload_blocks(other.repository.parts, [], [], rows)
        await forget(one, (await snapshots(one))[0])
        patient = replace(COMPACT, orphaned_for_ns=DAY_NS)
        assert (await run(one.repository, patient)).base is not None
        left = {number for (number,) in one.repository.db.rows("SELECT number FROM block")}
        assert {*blocks} - left
        assert {*blocks} & left
        mend = Mend(new, refs, ())
        await other.repository.publish(Attempt(os.urandom(16)), lambda: mend, "other")
        for host in (one, other):
            await equal(host.repository)
            suspects = host.repository.db.rows("SELECT block FROM suspect")
            assert {number for (number,) in suspects} == {*blocks} & left


async def test_what_a_base_left_out_is_not_brought_back(tmp_path: Path) -> None:
    async with hosts(tmp_path) as (one, other, _):
        await days(one, random.Random(9), 3)
        gone = (await snapshots(one))[0]
        await forget(one, gone)
        await one.repository.catch_up_all()
        assert gone in forgotten(one.repository, Filter())
        await run(one.repository, COMPACT)
        assert forgotten(one.repository, Filter()) == []
        body = Recall((gone.id,))
        with pytest.raises(DeltaVoidError, match="compacted"):
            await other.repository.publish(Attempt(os.urandom(16)), lambda: body, "other")
        await sound(one, other)


async def test_a_reader_that_is_open_all_the_time_reads_on(tmp_path: Path) -> None:
    chance = random.Random(10)
    async with hosts(tmp_path) as (one, other, _):
        await days(one, chance, 5)
        kept = (await snapshots(one))[-1]
        await forget_some(one, chance, 1)
        kept = (await snapshots(one))[-1]
        before = one.kept.manifests[kept.number]
        async with other.repository.reading() as reader:
            await other.repository.catch_up_all()
            nodes = [
                node.content()
                for (number,) in other.repository.db.rows(
                    "SELECT node FROM entry WHERE first <= ?1 AND last > ?1", (kept.number,)
                )
                if (node := other.repository.tree.node(number)) and node.attributes.is_file
            ]
            opened = [reader.open(content) for content in nodes]
            await run(one.repository, COMPACT)
            early = [await content.read(0, 99) for content in opened[::2]]
            await other.repository.catch_up_all()
            late = [await content.read(0, 99) for content in opened]
        assert len(nodes) > 3
        assert late[::2] == early
        assert await one.stored(kept) == before


class _BrokenError(Exception):
    """The power fails."""


async def test_what_is_dropped_half_way_is_dropped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(14)
    async with hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await days(other, chance, 1)
        await forget_some(one, chance, 1)
        async with open_view(store, _directories(tmp_path / "slow"), KEYS, World()) as slow:
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


async def test_a_process_that_drops_stops_where_another_has_gone_on(tmp_path: Path) -> None:
    chance = random.Random(13)
    async with hosts(tmp_path) as (one, _, _store):
        await days(one, chance, 2)
        await forget_some(one, chance, 1)
        base = (await run(one.repository, COMPACT)).base
        assert base is not None
        db = one.repository.replica.db
        body = base_body(db, Commit(base))
        db.execute(
            "INSERT INTO entry SELECT directory, x'6c617465', 2, 3, node, NULL FROM entry LIMIT 1"
        )
        db.execute("INSERT INTO suspect SELECT number, 1, 2 FROM block LIMIT 1")
        for stream in (BLOCKS, 1):
            BaseLoading(db, stream, Standpoint(Commit(base), body.until), body).drop()
        assert rows_of(one.repository, "suspect") == 1
        assert db.row("SELECT 1 FROM entry WHERE name = x'6c617465'")
        assert one.repository.replica.is_current(1)


# --- what must not happen

TABLES = (
    "fact", "log", "source", "snapshot", "tag", "directory", "entry", "touched", "node", "list",
    "block", "suspect", "segment", "pack", "fate", "owner", "counter", "mended", "base", "lapsed",
)  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
async def test_one_row_less_in_the_live_database_and_nothing_goes(
    tmp_path: Path, table: str
) -> None:
    chance = random.Random(table)
    async with hosts(tmp_path) as (one, _, store):
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
    async with hosts(tmp_path) as (one, _, inner):
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
            async with open_view(store, _directories(tmp_path / "p"), KEYS, World()) as pruner:
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
