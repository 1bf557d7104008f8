"""Repair where nobody has a copy of what was lost: everybody goes on without it."""

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from snapfs.errors import LogCutError, LogGapError, StoreUnavailableError, ViewDamagedError
from snapfs.formats import objects, records
from snapfs.formats.records import Ingest
from snapfs.jobs.repair.report import GaveUp
from snapfs.model.identity import Commit
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder
from tests.faulty import Fault, FaultyStore
from tests.jobs.checking import (
    assert_sound,
    big,
    checked,
    found,
    other_machine,
    scene,
)
from tests.jobs.compacting import COMPACT, days, forget_some, sound
from tests.jobs.ingesting import TINY, machine
from tests.jobs.repairing import OPTIONS, directories, repaired, without_copies
from tests.jobs.test_prune import DAY_NS, TIGHT, run
from tests.jobs.twohosts import two_hosts
from tests.trust.beside import PacedStore

GIVE_UP = replace(OPTIONS, give_up=True)


def record(number: int) -> str:
    return objects.record(Commit(number))


def log_of(store: MemoryStore) -> list[str]:
    return [name for name in store.objects if name.startswith(objects.LOG)]


async def snapshots(repository: Repository) -> list[tuple[str, int]]:
    """The host and record of each snapshot."""
    await repository.catch_up_all()
    rows = repository.db.rows(
        "SELECT o.host, s.number FROM snapshot s JOIN source o ON o.number = s.source"
        " WHERE s.complete AND s.forgotten IS NULL ORDER BY s.number"
    )
    return [(host, number) for host, number in rows]


async def head_of(repository: Repository) -> Commit:
    """Of the source web."""
    await repository.catch_up_all()
    source = repository.snapshots.source("web", "root")
    assert source is not None
    return source.head


LOST = {
    2: [("mail", 3), ("mail", 5)],
    3: [("web", 2), ("web", 4), ("web", 6)],
    4: [("web", 2), ("mail", 3), ("mail", 5)],
    5: [("web", 2), ("mail", 3), ("web", 4), ("web", 6)],
}
"what is left when a record of the scene is lost"


@pytest.mark.parametrize("damage", ["missing", "flipped"])
@pytest.mark.parametrize("number", LOST)
async def test_a_lost_record(number: int, damage: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        if damage == "missing":
            del made.store.objects[record(number)]
        else:
            made.flip(record(number), 80)
        assert not (await repaired(made.store, tmp_path / "2")).sound
        report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert report.given_up[0].record == number
        assert report.sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert await snapshots(other) == LOST[number]
            await assert_sound(other)


async def test_the_first_record(tmp_path: Path) -> None:
    """It says nothing that the keys do not say again."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "3") as seen:
        before = await snapshots(seen)
        del made.store.objects[record(1)]
        report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert report.sound
        assert len(made.store.objects) > 0
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert await snapshots(other) == before
            await assert_sound(other)
        await Builder(seen, host="third").commit({"/x": big(9)})


async def test_without_being_told_nothing_is_given_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[record(3)]
        before = dict(made.store.objects)
        report = await repaired(made.store, tmp_path / "2", OPTIONS)
        assert (report.sound, report.given_up) == (False, ())
        report = await repaired(made.store, tmp_path / "2", replace(GIVE_UP, dry_run=True))
        assert (report.sound, report.given_up) == (False, ())
        assert made.store.objects == before


async def test_who_has_copies_puts_them_back_even_then(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        before = dict(made.store.objects)
        del made.store.objects[record(3)]
        report = await repaired(made.store, tmp_path, GIVE_UP)
        assert (report.put_back, report.given_up) == ((record(3),), ())
        assert made.store.objects == before


async def test_what_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[record(2)]
        report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert report.given_up == (GaveUp(2), GaveUp(4, "web", "root", 2))


async def test_blocks_of_a_lost_record_are_found(tmp_path: Path) -> None:
    """What others store of the same content relies on them, and nobody stores it again."""
    async with scene(tmp_path) as made:
        third = Builder(made.repository, host="third")
        await third.commit({"/copy": big(4), "/own": big(8)})
        size = sum(map(len, made.store.objects.values()))
        del made.store.objects[record(3)]
        assert (await repaired(made.store, tmp_path / "2", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert ("third", 7) in await snapshots(other)
            mail = Builder(other, host="mail", source="spool")
            await mail.commit({"/box": big(4), "/new": big(6)})
            assert made.head(2).packs != ()
            body = other.replica.head(mail.head).body
            assert isinstance(body, Ingest)
            assert (body.source_head, body.packs) == (0, ())
            await assert_sound(other)
        assert sum(map(len, made.store.objects.values())) < size + 20_000


async def test_a_machine_that_has_seen_it_stops_and_begins_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        without_copies(tmp_path)
        del made.store.objects[record(2)]
        await repaired(made.store, tmp_path / "2", GIVE_UP)
        tip = made.repository.replica.tip().number
        with pytest.raises(ViewDamagedError, match="given up"):
            await made.repository.catch_up_all()
        with pytest.raises(ViewDamagedError, match="given up"):
            await made.web.commit({"/a": big(1)})
        assert max(map(objects.record_number, log_of(made.store))) == tip + 1  # type: ignore[type-var]
        assert "database" in {kind for kind, _ in found(await checked(made.repository))}
        store = made.store
    report = await repaired(store, tmp_path)
    assert report.sound
    assert report.set_aside[-1].startswith("replica")
    async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
        assert await snapshots(repository) == LOST[2]
        web = Builder(repository, host="web")
        await web.commit({"/a": big(1)})
        assert ("web", web.head) in await snapshots(repository)
        await assert_sound(repository)


async def test_a_machine_that_had_not_come_so_far_goes_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "3") as slow:
        await slow.log.catch_up(Commit(2))
        without_copies(tmp_path / "3")
        del made.store.objects[record(3)]
        await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert await snapshots(slow) == LOST[3]
        await assert_sound(slow)


async def test_what_was_announced_is_not_put_back(tmp_path: Path) -> None:
    """Somebody may be about to go on without it."""
    async with scene(tmp_path) as made:
        del made.store.objects[record(3)]
        broken = FaultyStore(made.store)
        broken.queue("put", Fault(on=record(3), before=StoreUnavailableError("gone")))
        with pytest.raises(StoreUnavailableError):
            await repaired(broken, tmp_path / "2", GIVE_UP)
        broken.assert_all_hit()
        assert record(7) in made.store.objects
        with pytest.raises(LogGapError):
            async with other_machine(made, tmp_path / "4") as new:
                await new.catch_up_all()
        store = made.store
    assert (await repaired(store, tmp_path)).put_back == ()
    report = await repaired(store, tmp_path, GIVE_UP)
    assert report.given_up[0] == GaveUp(3)
    assert report.sound


async def test_nobody_writes_before_all_is_said(tmp_path: Path) -> None:
    """A stand-in without a GiveUp behind it is nothing that this program leaves behind."""
    async with scene(tmp_path) as made:
        del made.store.objects[record(3)]
        await repaired(made.store, tmp_path / "2", GIVE_UP)
        del made.store.objects[record(7)]
        async with other_machine(made, tmp_path / "3") as new:
            with pytest.raises(LogGapError, match="broken off"):
                await Builder(new, host="new").commit({"/x": big(9)})
        report = await repaired(made.store, tmp_path / "3", GIVE_UP)
        assert report.sound


@pytest.mark.parametrize("lost", [(2, 3), (3, 4, 5), (1, 2), (2, 4), (1, 2, 3, 4, 5)])
async def test_several_records(lost: tuple[int, ...], tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        for number in lost:
            del made.store.objects[record(number)]
        report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert [each.record for each in report.given_up if not each.snapshots] == list(lost)
        assert report.sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            await other.catch_up_all()
            await Builder(other, host="new").commit({"/x": big(1), "/y": big(9)})
            await assert_sound(other)


async def test_the_last_record_is_damaged(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        without_copies(tmp_path)
        made.flip(record(6), 80)
        assert (await repaired(made.store, tmp_path / "2", GIVE_UP)).sound
        store = made.store
    assert (await repaired(store, tmp_path)).sound
    async with open_view(store, directories(tmp_path), KEYS, World()) as seen:
        assert await snapshots(seen) == [("web", 2), ("mail", 3), ("web", 4), ("mail", 5)]


async def test_a_log_of_two_branches_is_left_alone(tmp_path: Path) -> None:
    """Which of them is to be believed nobody knows."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "3") as other:
        last = made.store.objects[record(6)]
        for number in (5, 6):
            del made.store.objects[record(number)]
        await Builder(other, host="third").commit({"/x": big(9)})
        made.store.objects[record(6)] = last
        del made.store.objects[record(2)]
        before = dict(made.store.objects)
        with pytest.raises(LogCutError, match="does not follow"):
            await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert made.store.objects == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("skip", range(4))
async def test_broken_off_at_any_put_it_goes_on(skip: int, after: bool, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[record(2)]
        made.flip(record(4), 80)
        broken = FaultyStore(made.store)
        error = StoreUnavailableError("the power fails")
        broken.queue("put", Fault(skip=skip, **{"after" if after else "before": error}))  # type: ignore[arg-type]
        with suppress(StoreUnavailableError):
            await repaired(broken, tmp_path / "2", GIVE_UP)
        broken.assert_all_hit()
        assert (await repaired(made.store, tmp_path / "2", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert await snapshots(other) == [("mail", 3), ("mail", 5)]
            await assert_sound(other)


async def test_two_repairs_at_once(tmp_path: Path) -> None:
    for seed in range(12):
        place = tmp_path / str(seed)
        async with scene(place) as made:
            for number in (2, 3):
                del made.store.objects[record(number)]
            made.flip(record(5), 80)
            chance = random.Random(seed)
            async with trio.open_nursery() as nursery:
                for name in ("2", "3"):
                    paced = PacedStore(made.store, chance)
                    nursery.start_soon(repaired, paced, place / name, GIVE_UP)
            for name in ("2", "3"):
                assert (await repaired(made.store, place / name)).sound


async def test_names_in_a_lost_part(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[made.part(4, blocks=False)]
        report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert report.given_up == (GaveUp(4, "web", "root", 2),)
        assert report.sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert await snapshots(other) == LOST[4]
            web = Builder(other, host="web")
            web.head = await head_of(other)
            await web.commit({"/a": big(1), "/d": big(7)})
            assert ("web", web.head) in await snapshots(other)
            await assert_sound(other)
        # The machine that wrote it has its names. They are not of this log any more.
        with pytest.raises(ViewDamagedError, match="given up"):
            await made.repository.catch_up_all()
        store = made.store
    assert (await repaired(store, tmp_path)).sound


async def test_names_that_this_machine_has_and_has_no_copy_of(tmp_path: Path) -> None:
    """Its view is built again: what it says is in no store."""
    async with scene(tmp_path) as made:
        store, name = made.store, made.part(4, blocks=False)
    without_copies(tmp_path)
    del store.objects[name]
    report = await repaired(store, tmp_path, GIVE_UP)
    assert report.given_up == (GaveUp(4, "web", "root", 2),)
    assert report.sound
    async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
        assert await snapshots(repository) == LOST[4]
        await assert_sound(repository)


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_part_that_says_where_blocks_are_now(deleted: bool, tmp_path: Path) -> None:
    """They are found by their keys, even where the packs that they came in are gone."""
    chance = random.Random(5)
    async with two_hosts(tmp_path) as (one, _, store):
        await days(one, chance, 4)
        await forget_some(one, chance)
        await run(one.repository, replace(TIGHT, condemned_for_ns=0 if deleted else DAY_NS))
        await days(one, chance, 1)
        moves = [
            ref
            for number in range(1, one.repository.replica.tip().number + 1)
            for ref in records.part_refs(one.repository.replica.head(Commit(number)).body)[0]
            if records.new_ids(one.repository.replica.head(Commit(number)).body).packs
            == ref.first[2]
        ]
        kept = one.kept
    assert moves
    for ref in moves:
        del store.objects[objects.part(ref.name)]
    assert not (await repaired(store, tmp_path / "2")).sound
    report = await repaired(store, tmp_path / "2", GIVE_UP)
    assert (report.given_up, report.parts) == ((), len(moves))
    assert report.sound
    async with machine(store, tmp_path / "2", one.tree, chunker=TINY) as new:
        await new.repository.catch_up_all()
        await kept.check(new.repository, below=new.tree)
        await new.capture()
        await run(new.repository, COMPACT)
        await sound(new)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
async def test_a_pack_and_the_part_that_lists_it(number: int, tmp_path: Path) -> None:
    """Nothing says which blocks there were: the commit goes, and what builds on it."""
    async with scene(tmp_path) as made:
        third = Builder(made.repository, host="third")
        await third.commit({"/copy": big(4), "/own": big(8)})
        for name in (made.pack(number), made.part(number, blocks=True)):
            del made.store.objects[name]
        hosts = {2: "web", 3: "mail", 4: "web", 5: "mail", 6: "web"}
        all_of_them = [*hosts.items(), (7, "third")]
        # The third host relies on a block of record 3.
        left = [
            (host, at)
            for at, host in all_of_them
            if not (at >= number and host == hosts[number]) and not (at == 7 and number == 3)
        ]
        assert not (await repaired(made.store, tmp_path / "2")).sound
        report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert report.given_up[0].record == number
        assert report.sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert await snapshots(other) == left
            await Builder(other, host="new").commit({"/x": big(1), "/y": big(4), "/z": big(7)})
            await assert_sound(other)
        store = made.store
    assert (await repaired(store, tmp_path)).sound
