"""What was given up, and then: more is lost, it comes back, or others were at work meanwhile."""

import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from snapfs.errors import DamagedError, ViewDamagedError
from snapfs.formats.records import Base, Forget, GiveUp
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.log import Author
from snapfs.repository.repository import open_view
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, publish
from tests.faulty import FaultyStore
from tests.jobs.checking import assert_sound, big, checked, found, other_machine, scene
from tests.jobs.compacting import COMPACT, days
from tests.jobs.ingesting import TINY, Machine, machine
from tests.jobs.repairing import (
    OPTIONS,
    corrupt,
    directories,
    quarantined,
    repaired,
    without_copies,
)
from tests.jobs.test_prune import DAY_NS, TIGHT, forget, run
from tests.jobs.test_prune import snapshots as snapshots_of
from tests.jobs.test_repair_giving_up import GIVE_UP, head_of, record, snapshots
from tests.jobs.twohosts import two_hosts

# --- more is lost


@pytest.mark.parametrize("behind", [False, True], ids=["the last", "in the middle"])
async def test_the_give_up_is_lost(behind: bool, tmp_path: Path) -> None:
    """Nobody could write any more, and would not be told why."""
    async with scene(tmp_path) as made:
        del made.store.objects[record(3)]
        await repaired(made.store, tmp_path / "2", GIVE_UP)
        if behind:
            async with other_machine(made, tmp_path / "5") as new:
                await Builder(new, host="new").commit({"/x": big(9)})
        del made.store.objects[record(7)]
        async with other_machine(made, tmp_path / "6") as new:
            assert ("log", record(7 if behind else 3)) in found(await checked(new))
        assert (await repaired(made.store, tmp_path / "3", GIVE_UP)).sound
        async with other_machine(made, tmp_path / "4") as new:
            await Builder(new, host="newer").commit({"/y": big(8)})
            await assert_sound(new)


async def test_a_stand_in_is_lost(tmp_path: Path) -> None:
    """With its copy it comes back; without, those who have seen it begin anew."""
    async with scene(tmp_path) as made:
        del made.store.objects[record(3)]
        await repaired(made.store, tmp_path / "2", GIVE_UP)
        stand_in = made.store.objects.pop(record(3))
        assert (await repaired(made.store, tmp_path / "2")).put_back == (record(3),)
        assert made.store.objects[record(3)] == stand_in
        del made.store.objects[record(3)]
        assert (await repaired(made.store, tmp_path / "3", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as seen:
            with pytest.raises(ViewDamagedError, match="given up"):
                await seen.catch_up_all()
        assert (await repaired(made.store, tmp_path / "2")).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as seen:
            await Builder(seen, host="new").commit({"/x": big(9)})
            await assert_sound(seen)


async def test_a_stand_in_is_made_again_with_less_in_it(tmp_path: Path) -> None:
    """What it listed was pruned: whoever has seen it has other numbers for all that came later."""
    async with two_hosts(tmp_path) as (one, _, store):
        (one.tree / "f").write_bytes(os.urandom(50))
        await one.capture()
        lost = one.repository.replica.tip().number
        (one.tree / "g").write_bytes(os.urandom(50))
        await one.capture()
        del store.objects[record(lost)]
        assert (await repaired(store, tmp_path / "2", GIVE_UP)).sound
        async with machine(store, tmp_path / "c", tmp_path / "tree c", chunker=TINY) as third:
            third.tree.mkdir()
            await third.ingest(name="third")
        async with machine(store, tmp_path / "2", one.tree, host="second", chunker=TINY) as second:
            await run(second.repository, TIGHT)
            await second.capture()
        del store.objects[record(lost)]
        assert (await repaired(store, tmp_path / "4", GIVE_UP)).sound
        with pytest.raises(ViewDamagedError, match="given up"):
            async with machine(store, tmp_path / "c", tmp_path / "tree c", chunker=TINY) as third:
                await third.ingest(name="third")


async def test_all_of_a_source_was_given_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[made.part(3, blocks=False)]
        assert (await repaired(made.store, tmp_path / "2", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as repository:
            assert (await run(repository, COMPACT)).base is not None
            await assert_sound(repository)


async def test_what_has_begun_anew_does_not_build_on_what_is_lost(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        mail = made.mail
        mail.head = await mail.forget(Commit(3), Commit(5))
        mail.tree.clear()
        mail.known_directories.clear()
        new = await mail.commit({"/box": big(4), "/z": big(12)})
        del made.store.objects[made.part(3, blocks=False)]
        assert (await repaired(made.store, tmp_path / "2", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as repository:
            assert ("mail", new) in await snapshots(repository)
            del made.store.objects[made.part(4, blocks=False)]
        assert (await repaired(made.store, tmp_path / "3", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "3"), KEYS, World()) as repository:
            web = Builder(repository, host="web")
            web.head = await head_of(repository)
            newer = await web.commit({"/a": big(1), "/q": big(12)})
        del made.store.objects[made.part(2, blocks=False)]
        assert (await repaired(made.store, tmp_path / "4", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "4"), KEYS, World()) as repository:
            assert {("mail", new), ("web", newer)} <= set(await snapshots(repository))
            await assert_sound(repository)


# --- a base restates it


async def test_progress(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        number = await made.web.commit({"/a": big(1), "/p": big(11)}, complete=False)
        await run(made.repository, COMPACT)
        tip = made.repository.replica.tip().number
        assert isinstance(made.repository.replica.head(tip).body, Base)
        await made.mail.commit({"/box": big(4)})
        shown = await snapshots(made.repository)
        del made.store.objects[record(number)]
        assert (await repaired(made.store, tmp_path / "2", GIVE_UP)).sound
        async with open_view(made.store, directories(tmp_path / "2"), KEYS, World()) as other:
            assert await snapshots(other) == shown
            await run(other, TIGHT)
            await assert_sound(other)


async def test_a_snapshot_that_was_forgotten_after_the_base(tmp_path: Path) -> None:
    """It comes back, and is damaged, as what forgot it named the record that is lost."""
    chance = random.Random(3)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await run(one.repository, COMPACT)
        victim = (await snapshots_of(one))[1]
        await forget(one, victim)
        await run(one.repository, TIGHT)
        await days(other, chance, 1)
        del store.objects[record(victim.number)]
    report = await repaired(store, tmp_path / "2", GIVE_UP)
    assert report.left is not None
    assert not report.sound
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as repository:
        await repository.catch_up_all()
        back = repository.snapshots.by_number(victim.number)
        assert back is not None
        affected = {(each.first, each.last) for each in report.left.affected}
        assert affected == {(back.id, back.id)}
        body = Forget((back.id,))
        await publish(repository, body, "owner")
        await assert_sound(repository)


async def test_no_snapshot_comes_of_it_that_nobody_captured(tmp_path: Path) -> None:
    """The last of a source that began anew, and the one of another source behind it."""
    chance = random.Random(4)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 2)
        await days(other, chance, 2)
        await days(one, chance, 2)
        await other.repository.catch_up_all()
        await forget(other, *[s for s in await snapshots_of(other) if s.source.host == "other"])
        await run(one.repository, replace(COMPACT, forgotten_for_ns=DAY_NS))
        await days(one, chance, 1)
    for number in (5, 6):
        del store.objects[record(number)]
    with pytest.raises(DamagedError, match="would not fit"):
        await repaired(store, tmp_path / "2", GIVE_UP)


@pytest.mark.parametrize("again", [False, True])
async def test_a_source_began_anew_with_it(again: bool, tmp_path: Path) -> None:
    chance = random.Random(3)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 2)
        await days(other, chance, 1)
        await forget(one, *[s for s in await snapshots_of(one) if s.source.host == "host"])
        lost = one.repository.replica.tip().number
        assert isinstance(one.repository.replica.head(lost).body, Forget)
        if again:
            await days(one, chance, 1)
        await run(one.repository, COMPACT)
        await days(other, chance, 1)
        shown = await snapshots(one.repository)
    del store.objects[record(lost)]
    assert (await repaired(store, tmp_path / "2", GIVE_UP)).sound
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as repository:
        assert await snapshots(repository) == shown
        await assert_sound(repository)


# --- others are at work


async def test_an_ingest_that_was_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its packs were taken for those of the lost record, and others rely on them by now."""
    async with two_hosts(tmp_path) as (one, other, store):
        await one.capture()
        await other.repository.catch_up_all()
        (other.tree / "g").write_bytes(content := os.urandom(30_000))
        publish = other.repository.log.publish

        async def late(attempt: Attempt, body: Callable[[], Any], author: Author) -> Commit:
            monkeypatch.undo()
            await _lose_one(one, store)
            assert (await repaired(store, tmp_path / "2", GIVE_UP)).sound
            (tmp_path / "tree c").mkdir()
            (tmp_path / "tree c" / "copy").write_bytes(content)
            async with _third(store, tmp_path) as third:
                await third.capture()
            return await publish(attempt, body, author)

        monkeypatch.setattr(other.repository.log, "publish", late)
        await other.capture()
        async with _third(store, tmp_path) as third:
            await third.repository.catch_up_all()
            await third.capture()
            await assert_sound(third.repository)


def _third(store: MemoryStore, tmp_path: Path) -> Any:
    return machine(store, tmp_path / "c", tmp_path / "tree c", host="third", chunker=TINY)


async def _lose_one(one: Machine, store: MemoryStore) -> None:
    for name in ("h", "i"):
        (one.tree / name).write_bytes(os.urandom(3000))
        await one.capture()
    del store.objects[record(one.repository.replica.tip().number - 1)]


class _Paced(FaultyStore):
    """A store at which some puts wait."""

    def __init__(
        self, store: MemoryStore, before: dict[str, Callable[[], Awaitable[None]]],
        after: dict[str, Callable[[], None]],
    ) -> None:  # fmt: skip
        super().__init__(store)
        self._before = before
        self._after = after

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        if name in self._before:
            await self._before[name]()
        await super().put(name, data, if_absent=if_absent)
        if name in self._after:
            self._after[name]()


async def test_it_is_put_back_while_it_is_given_up(tmp_path: Path) -> None:
    """By a repair that has copies, and had looked before it was announced."""
    async with scene(tmp_path) as made:
        store = made.store
    del store.objects[record(3)]
    announced, back = trio.Event(), trio.Event()
    with_copies = _Paced(store, {record(3): announced.wait}, {record(3): back.set})
    without = _Paced(store, {record(3): back.wait}, {record(7): announced.set})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(repaired, with_copies, tmp_path, OPTIONS)
        nursery.start_soon(repaired, without, tmp_path / "2", GIVE_UP)
    assert (await repaired(store, tmp_path / "2", GIVE_UP)).sound
    assert (await repaired(store, tmp_path)).sound
    async with open_view(store, directories(tmp_path / "4"), KEYS, World()) as new:
        await Builder(new, host="new").commit({"/x": big(9)})
        await assert_sound(new)


async def test_two_repairs_of_damaged_neighbours(tmp_path: Path) -> None:
    """Both have looked before either writes."""
    async with scene(tmp_path) as made:
        made.flip(record(4), 80)
        made.flip(record(5), 80)
        both, waiting = trio.Event(), 0

        async def meet() -> None:
            nonlocal waiting
            waiting += 1
            if waiting == 2:
                both.set()
            with trio.move_on_after(1):
                await both.wait()

        async with trio.open_nursery() as nursery:
            for name in ("2", "3"):
                paced = _Paced(made.store, {record(4): meet}, {})
                nursery.start_soon(repaired, paced, tmp_path / name, GIVE_UP)
        assert (await repaired(made.store, tmp_path / "5", GIVE_UP)).sound
        async with other_machine(made, tmp_path / "6") as new:
            await new.catch_up_all()
            await assert_sound(new)


# --- where it is found


async def test_a_view_that_cannot_be_opened_and_a_lost_record(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        store = made.store
    corrupt(next((tmp_path / "state").rglob("replica*.db")))
    without_copies(tmp_path)
    del store.objects[record(3)]
    assert (await repaired(store, tmp_path, GIVE_UP)).sound


async def test_objects_far_behind_are_no_records(tmp_path: Path) -> None:
    """Anybody who can write to the store can put them there."""
    async with scene(tmp_path) as made:
        made.store.objects[record(2**60)] = b"of nobody"
        made.store.objects[record(2**60 + 1)] = b"of nobody"
        del made.store.objects[record(3)]
        with trio.fail_after(60):
            report = await repaired(made.store, tmp_path / "2", GIVE_UP)
        assert [each.record for each in report.given_up if not each.snapshots] == [3]
        assert len([name for name in made.store.objects if name.startswith("log/")]) == 6 + 1 + 2
        async with other_machine(made, tmp_path / "3") as new:
            await new.log.catch_up(Commit(7))
            assert isinstance(new.replica.head(Commit(7)).body, GiveUp)
        store = made.store
    with trio.fail_after(60):
        await repaired(store, tmp_path)


async def test_the_end_of_the_log(tmp_path: Path) -> None:
    """Only who has seen it knows of it, and goes on without it when told to."""
    async with scene(tmp_path) as made:
        store = made.store
    without_copies(tmp_path)
    for number in (5, 6):
        del store.objects[record(number)]
    report = await repaired(store, tmp_path)
    assert (report.sound, report.set_aside) == (False, ())
    report = await repaired(store, tmp_path, replace(GIVE_UP, dry_run=True))
    assert (report.sound, len(report.set_aside)) == (False, 1)
    assert quarantined(tmp_path) == []
    report = await repaired(store, tmp_path, GIVE_UP)
    assert (report.sound, len(quarantined(tmp_path))) == (True, 1)
    async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
        assert await snapshots(repository) == [("web", 2), ("mail", 3), ("web", 4)]
        await Builder(repository, host="new").commit({"/x": big(9)})
        await assert_sound(repository)


async def test_a_machine_that_has_seen_the_first_record_alone(tmp_path: Path) -> None:
    """What stands in for it has another hash, where the record behind it is lost as well."""
    async with scene(tmp_path) as made:
        store = made.store
        async with other_machine(made, tmp_path / "3") as slow:
            await slow.log.catch_up(Commit(1))
    without_copies(tmp_path / "3")
    for number in (1, 2):
        del store.objects[record(number)]
    assert (await repaired(store, tmp_path / "2", GIVE_UP)).sound
    assert (await repaired(store, tmp_path / "3")).sound
