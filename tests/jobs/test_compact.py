"""Compaction: who begins with a base has the very rows of those who were there all along."""

import random
from pathlib import Path

import pytest
import trio

from snapfs.errors import DamagedError
from snapfs.formats import objects
from snapfs.formats.records import Base
from snapfs.jobs.check.report import ProblemKind
from snapfs.metadata.compare import differences
from snapfs.metadata.superseded import named_until
from snapfs.model.identity import Commit
from snapfs.repository.replay import replayed
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.world import World
from tests.build import KEYS
from tests.faulty import FaultyStore
from tests.jobs.checking import checked
from tests.jobs.compacting import (
    COMPACT,
    COUNTED,
    IF_NEEDED,
    LOOSE,
    base_parts,
    counters,
    days,
    doubt_some,
    equal,
    forget_some,
    parts_in,
    rows_of,
    sound,
)
from tests.jobs.ingesting import Machine
from tests.jobs.repairing import DRY, directories, repaired
from tests.jobs.test_prune import forget, run, snapshots
from tests.jobs.twohosts import two_hosts


async def test_a_base_leaves_out_what_nobody_can_ask_for(tmp_path: Path) -> None:
    chance = random.Random(1)
    async with two_hosts(tmp_path) as (one, other, _):
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
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 5)
        await days(other, chance, 3)
        await forget_some(one, chance)
        await run(one.repository, COMPACT)
        named = {ref.name for ref in base_parts(one.repository)}
        asked = FaultyStore(store)
        async with open_view(asked, directories(tmp_path / "new"), KEYS, World()) as fresh:
            await fresh.catch_up_all()
            fetched = {
                name
                for verb, name in asked.calls
                if verb == "get" and name.startswith(objects.PARTS)
            }
            assert fetched == {objects.part(name) for name in named}
            assert differences(fresh.db, one.repository.db) == []


async def test_numbers_go_on_behind_a_base_and_none_is_given_twice(tmp_path: Path) -> None:
    chance = random.Random(3)
    async with two_hosts(tmp_path) as (one, other, _):
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
    async with two_hosts(tmp_path) as (one, other, store):
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
        two_hosts(tmp_path) as (one, other, store),
        open_view(store, directories(tmp_path / "lazy"), KEYS, World()) as lazy,
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


async def _two_bases(one: Machine, other: Machine, chance: random.Random) -> None:
    """And something behind the second."""
    for _ in range(2):
        await days(one, chance, 2)
        await days(other, chance, 1)
        await forget_some(one, chance, 1)
        await run(one.repository, COMPACT)
    await days(one, chance, 1)
    await one.repository.catch_up_all()


async def test_what_a_lost_part_of_a_base_restates_is_there_until_the_next(tmp_path: Path) -> None:
    chance = random.Random(12)
    async with two_hosts(tmp_path) as (one, other, store):
        await _two_bases(one, other, chance)
        for ref in base_parts(one.repository):
            kept = store.objects.pop(objects.part(ref.name))
            async with replayed(one.repository) as replica:
                assert replica.lacks_base
                assert differences(replica.db, one.repository.db) == []
            store.objects[objects.part(ref.name)] = kept
        del store.objects[objects.part(ref.name)]
        (problem,) = (await checked(one.repository)).problems
        assert (problem.object, problem.kind) == (objects.part(ref.name), ProblemKind.BASE)
        assert "snapfs repair" in problem.hint
        report = await run(one.repository, IF_NEEDED)
        assert report.base is not None
        await run(one.repository, LOOSE)
        await sound(one, other)


@pytest.mark.parametrize("stream", ["blocks", "entries", "all"])
async def test_a_machine_without_a_view_repairs_a_lost_base(stream: str, tmp_path: Path) -> None:
    chance = random.Random(12)
    async with two_hosts(tmp_path) as (one, other, store):
        await _two_bases(one, other, chance)
        refs = base_parts(one.repository)
        for ref in {"blocks": refs[:1], "entries": refs[-1:], "all": refs}[stream]:
            del store.objects[objects.part(ref.name)]
        with pytest.raises(DamagedError):
            async with open_view(store, directories(tmp_path / "new"), KEYS, World()) as new:
                await new.catch_up_all()
        dry = await repaired(store, tmp_path / "new", DRY)
        assert (dry.base, dry.sound) == (None, False)
        report = await repaired(store, tmp_path / "new")
        assert len(report.set_aside) == 1
        assert report.base is not None
        assert report.sound
        async with open_view(store, directories(tmp_path / "new"), KEYS, World()) as new:
            await new.catch_up_all()
            await one.repository.catch_up_all()
            assert differences(new.db, one.repository.db) == []
        assert (await repaired(store, tmp_path / "new")).base is None
        await run(one.repository, LOOSE)
        await sound(one, other)


async def test_a_view_before_a_base_that_has_nothing_but_owners(tmp_path: Path) -> None:
    """Of a source all of whose snapshots are forgotten: it is not taken for an empty one."""
    chance = random.Random(3)
    async with two_hosts(tmp_path) as (one, other, _):
        await days(one, chance, 1)
        await forget(one, *await snapshots(one))
        await run(one.repository, COMPACT)
        await other.repository.catch_up_all()
        assert rows_of(other.repository, "entry") == 0
        assert rows_of(other.repository, "owner") > 0
        await run(one.repository, COMPACT)
        await other.repository.log.catch_up()
        assert (await checked(other.repository)).problems == ()


async def test_two_bases_that_lost_parts_are_both_passed_over(tmp_path: Path) -> None:
    """As long as what they restate has not been deleted."""
    chance = random.Random(21)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(other, chance, 1)
        for _ in range(3):
            await days(one, chance, 2)
            before = dict(store.objects)
            await run(one.repository, COMPACT)
            store.objects.update(before)  # nothing was deleted yet
        await one.repository.catch_up_all()
        for record in sorted(number for (number,) in one.repository.db.rows(
            "SELECT record FROM base ORDER BY record DESC LIMIT 2"
        )):  # fmt: skip
            body = one.repository.replica.head(Commit(record)).body
            assert isinstance(body, Base)
            del store.objects[objects.part(body.sources[0].parts[0].name)]
        with trio.fail_after(60):
            async with replayed(one.repository) as replica:
                assert replica.lacks_base
                assert differences(replica.db, one.repository.db) == []


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
            await doubt_some(one)
