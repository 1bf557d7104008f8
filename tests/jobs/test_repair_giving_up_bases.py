"""Repair where nobody has a copy of records that a base restates, or that came after it."""

import random
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from snapfs.errors import DamagedError
from snapfs.formats import objects, records
from snapfs.formats.records import Base, Condemn, Forget, Ingest, named_parts
from snapfs.jobs.repair.report import RepairReport
from snapfs.model.identity import Commit
from snapfs.repository.repository import open_view
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, publish
from tests.jobs.checking import assert_sound
from tests.jobs.compacting import COMPACT, days, forget_some, sound
from tests.jobs.ingesting import TINY, machine
from tests.jobs.repairing import directories, repaired
from tests.jobs.test_prune import TIGHT, run
from tests.jobs.test_repair_giving_up import GIVE_UP
from tests.jobs.twohosts import two_hosts
from tests.manifest import Manifest

LOOSE_TIGHT = replace(TIGHT, compact=False)
BASE, LAST = 13, 15
"numbers of the base and of the last record"
WANTED = {2, 5, 6, 7, 8, 14, 15}


async def story(tmp_path: Path) -> tuple[MemoryStore, dict[int, Manifest]]:
    """A store with a base in its log, and what was captured.

    Records 2 to 4, 7 and 8, and 15 are ingests of one host, 5, 6 and 14 of the other. 9 forgets, 10
    condemns, 11 deletes. The base restates 12.
    """
    chance = random.Random(1)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 3)
        await days(other, chance, 2)
        await days(one, chance, 2)
        await forget_some(one, chance, 3)
        await run(one.repository, COMPACT)
        await days(other, chance, 1)
        await days(one, chance, 1)
        for number in range(1, BASE):
            assert not isinstance(one.repository.replica.head(Commit(number)).body, Base)
        assert isinstance(one.repository.replica.head(Commit(BASE)).body, Base)
        return store, {**one.kept.manifests, **other.kept.manifests}


async def without(
    store: MemoryStore, lost: Collection[int], place: Path
) -> tuple[RepairReport, dict[str, bytes]]:
    """What a repair on a new machine says where these records are lost, and what the store had."""
    before = dict(store.objects)
    for number in lost:
        del store.objects[objects.record(Commit(number))]
    return await repaired(store, place, GIVE_UP), before


async def assert_works(
    store: MemoryStore, place: Path, tmp_path: Path, manifests: dict[int, Manifest]
) -> set[int]:
    """Every snapshot is what it was, and ingest, prune and compaction go on; which there are."""
    trees = {"host": tmp_path / "tree a", "other": tmp_path / "tree b"}
    async with machine(store, place, trees["host"], chunker=TINY) as host:
        await host.repository.catch_up_all()
        shown = list(host.repository.snapshots.stream())
        for each in shown:
            host.tree = trees[each.source.host]
            assert await host.stored(each) == manifests[each.number]
        host.tree = trees["host"]
        await host.capture()
        await run(host.repository, COMPACT)
        await sound(host)
    return {each.number for each in shown}


async def test_each_record_in_turn(tmp_path: Path) -> None:
    """What a base restates stays, but for snapshots that the lost record had forgotten."""
    store, manifests = await story(tmp_path)
    assert set(manifests) == WANTED
    for number in range(1, LAST):
        place = tmp_path / f"without {number}"
        report, before = await without(store, {number}, place)
        assert report.sound, number
        assert report.given_up[0].record == number
        shown = await assert_works(store, place, tmp_path, manifests)
        assert shown == WANTED - ({14} & {number}), number
        store.objects = before


@pytest.mark.parametrize(
    "lost", [(7, 8), (3, 4), (8, 9, 11), (6, 12, 14), (2, 14), (8, 14), (1, 2), (9, 10, 11, 12)]
)
async def test_several_of_which_it_is_clear_what_they_took(
    lost: tuple[int, ...], tmp_path: Path
) -> None:
    store, manifests = await story(tmp_path)
    report, _ = await without(store, lost, tmp_path / "2")
    assert report.sound
    shown = await assert_works(store, tmp_path / "2", tmp_path, manifests)
    assert shown >= WANTED - set(lost)


@pytest.mark.parametrize("lost", [(4, 5), (2, 6), (3, 7)])
async def test_where_it_is_not_clear_nothing_is_given_up(
    lost: tuple[int, ...], tmp_path: Path
) -> None:
    store, _ = await story(tmp_path)
    names = {objects.record(Commit(number)) for number in lost}
    before = store.objects.keys() - names
    with pytest.raises(DamagedError, match=f"without record {lost[0]}"):
        await without(store, lost, tmp_path / "2")
    assert store.objects.keys() == before


async def test_a_base_that_is_needed_is_not_passed_over(tmp_path: Path) -> None:
    """It alone has what a lost record brought: without it names would be missing, unsaid."""
    store, _ = await story(tmp_path)
    report, _ = await without(store, {7}, tmp_path / "2")
    assert report.sound
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as repository:
        body = repository.replica.head(Commit(BASE)).body
    for ref in named_parts(body):
        del store.objects[objects.part(ref.name)]
    async with open_view(store, directories(tmp_path / "3"), KEYS, World()) as repository:
        with pytest.raises(DamagedError):
            await repository.catch_up_all()
    report = await repaired(store, tmp_path / "3")
    assert not report.sound
    async with open_view(store, directories(tmp_path / "3"), KEYS, World()) as repository:
        await repository.look(None)
        assert repository.db.rows("SELECT * FROM entry") == []


async def test_each_part_in_turn(tmp_path: Path) -> None:
    """Of records before the base it is not missed; of the base another is written; of those behind,
    lists of blocks are made again, and names are given up."""
    store, _ = await story(tmp_path)
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as repository:
        await repository.catch_up_all()
        entries = {
            objects.part(ref.name): number
            for number in range(BASE + 1, LAST + 1)
            for ref in records.part_refs(repository.replica.head(Commit(number)).body)[1]
        }
    for at, name in enumerate(name for name in set(store.objects) if name.startswith("meta/")):
        before = dict(store.objects)
        del store.objects[name]
        report = await repaired(store, tmp_path / f"without {at}", GIVE_UP)
        assert report.sound, name
        lost = {entries[name]} if name in entries else set()
        assert {each.record for each in report.given_up} == lost
        store.objects = before
    assert entries


async def test_each_record_of_a_log_without_a_base(tmp_path: Path) -> None:
    """Its packs may be gone, and others have moved their blocks since. Snapshots go only with an
    ingest, and none from before it."""
    chance = random.Random(8)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 3)
        await days(other, chance, 2)
        await forget_some(one, chance, 1)
        await run(one.repository, LOOSE_TIGHT)
        await days(one, chance, 2)
        await forget_some(one, chance, 1)
        await run(other.repository, LOOSE_TIGHT)
        last = one.repository.replica.tip().number
        bodies = [one.repository.replica.head(Commit(number)).body for number in range(1, last)]
        manifests = {**one.kept.manifests, **other.kept.manifests}
    for number, body in enumerate(bodies, start=1):
        if isinstance(body, Forget):
            continue
        place = tmp_path / f"without {number}"
        report, before = await without(store, {number}, place)
        assert report.sound, number
        assert report.parts == 0, "what is known of moves stays"
        shown = await assert_works(store, place, tmp_path, manifests)
        assert all(isinstance(body, Ingest) and each >= number for each in set(manifests) - shown)
        store.objects = before


async def test_forgotten_snapshots_come_back_with_a_lost_record(tmp_path: Path) -> None:
    """What a prune has deleted of them is missed, and named, until they are forgotten again. They
    alone are: nobody but their owner knows whether they had been forgotten."""
    chance = random.Random(8)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 3)
        await forget_some(one, chance, 1)
        lost = one.repository.replica.tip().number
        await run(one.repository, LOOSE_TIGHT)
        await days(other, chance, 1)
        kept = {**one.kept.manifests, **other.kept.manifests}
    report, _ = await without(store, {lost}, tmp_path / "2")
    assert report.left is not None
    assert not report.sound
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as repository:
        await repository.catch_up_all()
        again = [each for each in repository.snapshots.stream() if each.number not in kept]
        ids = {each.id for each in again}
        assert {each.first for each in report.left.affected} <= ids
        assert {each.last for each in report.left.affected} <= ids
        body = Forget(tuple(ids))
        await publish(repository, body, "owner")
        await assert_sound(repository)
        assert {each.number for each in repository.snapshots.stream()} == set(kept)


@pytest.mark.parametrize("seed", [5, 6, 7])
async def test_a_lost_record_that_moved_blocks_takes_no_snapshot_along(
    seed: int, tmp_path: Path
) -> None:
    """The packs that they came in are gone. They are found where they were moved to."""
    chance = random.Random(seed)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await forget_some(one, chance, 2)
        await run(one.repository, LOOSE_TIGHT)
        await days(other, chance, 1)
        manifests = {**one.kept.manifests, **other.kept.manifests}
        last = one.repository.replica.tip().number
        bodies = [one.repository.replica.head(Commit(number)).body for number in range(1, last)]
    (lost,) = (at for at, body in enumerate(bodies, start=1) if isinstance(body, Condemn))
    report, _ = await without(store, {lost}, tmp_path / "2")
    assert report.saved > 0
    assert (report.doubted, report.sound) == (0, True)
    assert await assert_works(store, tmp_path / "2", tmp_path, manifests) == set(manifests)


async def test_a_record_whose_parts_were_mended(tmp_path: Path) -> None:
    store, manifests = await story(tmp_path)
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as repository:
        await repository.catch_up_all()
        body = repository.replica.head(Commit(14)).body
    del store.objects[objects.part(records.part_refs(body)[0][0].name)]
    assert (await repaired(store, tmp_path / "3")).parts == 1
    assert isinstance(body, Ingest)
    del store.objects[objects.pack(body.packs[0])]  # so that the stand-in has no part
    report, _ = await without(store, {14}, tmp_path / "4")
    assert report.sound
    assert await assert_works(store, tmp_path / "4", tmp_path, manifests) == WANTED - {14}
