"""Repair from the copies that every machine keeps: what the store lost comes back byte for byte."""

import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snapfs.errors import LogCutError, StoreUnavailableError
from snapfs.formats import objects
from snapfs.formats.records import named_parts
from snapfs.metadata.bases import base_body, newest_base
from snapfs.metadata.copies import Copies
from snapfs.metadata.superseded import superseded_parts
from snapfs.model.identity import Commit
from snapfs.repository.repository import open_view
from snapfs.repository.state import State
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, built, file
from tests.faulty import Fault, FaultyStore
from tests.jobs.checking import (
    Scene,
    assert_sound,
    big,
    checked,
    found,
    other_machine,
    put_keys,
    scene,
)
from tests.jobs.compacting import COMPACT, days, forget_some
from tests.jobs.repairing import (
    DRY,
    QUICK,
    corrupt,
    directories,
    quarantined,
    repaired,
    without_copies,
)
from tests.jobs.test_prune import run
from tests.jobs.twohosts import two_hosts

LOST: dict[str, Callable[[Scene], str]] = {
    "the first record": lambda made: objects.record(Commit(1)),
    "a record": lambda made: objects.record(Commit(4)),
    "the last record": lambda made: objects.record(Commit(6)),
    "an entry part": lambda made: made.part(4, blocks=False),
    "a block part": lambda made: made.part(3, blocks=True),
}
DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "flipped": lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:],
    "cut": lambda data: data[:90],
    "empty": lambda data: b"",
}


def strike(made: Scene, name: str, damage: str) -> None:
    data = DAMAGE[damage](made.store.objects[name])
    if data is None:
        del made.store.objects[name]
    else:
        made.store.objects[name] = data


def state_of(directory: Path) -> State:
    return State(directories(directory), KEYS.repository)


def copied(directory: Path) -> set[str]:
    with closing(Copies.open(state_of(directory).copies).db) as db:
        return {name for prefix in ("log/", "meta/") for name in Copies(db).names(prefix)}


def log_and_parts(made: Scene) -> set[str]:
    return {name for name in made.store.objects if name.startswith(("log/", "meta/"))}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("case", LOST)
async def test_broken_found_repaired_found_nothing(case: str, damage: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        before, name = dict(made.store.objects), LOST[case](made)
        strike(made, name, damage)
        broken = made.store.objects.get(name)
        assert name in {each for _, each in found(await checked(made.repository))}
        report = await repaired(made.store, tmp_path)
        assert report.put_back == (name,)
        assert (report.parts, report.packs, report.set_aside) == (0, 0, ())
        assert report.sound
        assert made.store.objects == before
        for repository in (made.repository, other):
            await repository.catch_up_all()
            await assert_sound(repository)
        saved = [state_of(tmp_path).directory / each for each in quarantined(tmp_path)]
        assert [path.read_bytes() for path in saved] == ([] if broken is None else [broken])


async def test_all_of_it_is_lost(tmp_path: Path) -> None:
    """But for the packs and the keys."""
    async with scene(tmp_path) as made:
        before = dict(made.store.objects)
        lost = log_and_parts(made)
        for name in lost:
            del made.store.objects[name]
        report = await repaired(made.store, tmp_path)
        assert set(report.put_back) == lost
        assert report.sound
        assert made.store.objects == before


async def test_several_records_and_a_view_that_does_not_open(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        store, before = made.store, dict(made.store.objects)
    for number in (2, 3, 6):
        del store.objects[objects.record(Commit(number))]
    corrupt(state_of(tmp_path).replica)
    report = await repaired(store, tmp_path)
    assert report.put_back == tuple(objects.record(Commit(number)) for number in (2, 3, 6))
    assert report.sound
    assert store.objects == before


async def test_another_machine_that_has_seen_it_helps(tmp_path: Path) -> None:
    name = objects.record(Commit(4))
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        del made.store.objects[name]
        with pytest.raises(LogCutError):
            await other.catch_up_all()
        report = await repaired(made.store, tmp_path / "2")
        assert (report.put_back, report.sound) == ((), False)
        assert (await repaired(made.store, tmp_path)).put_back == (name,)
        await other.catch_up_all()
        await assert_sound(other)
        assert copied(tmp_path / "2") == log_and_parts(made)


async def test_a_log_that_others_have_continued_is_left_alone(tmp_path: Path) -> None:
    """An old state of the storage was brought back, and another machine wrote to it."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        for number in (5, 6):
            del made.store.objects[objects.record(Commit(number))]
        await other.catch_up_all()
        await Builder(other, host="third").commit({"/x": big(9)})
        before = dict(made.store.objects)
        report = await repaired(made.store, tmp_path)
        assert (report.put_back, report.sound) == ((), False)
        assert made.store.objects == before
        await assert_sound(other)


async def test_a_copy_of_a_branch_that_was_left_is_not_put_into_a_gap(tmp_path: Path) -> None:
    """As above, and then records of the others were lost: only those fit that lead on to theirs."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        names = [objects.record(Commit(number)) for number in (5, 6)]
        for name in names:
            del made.store.objects[name]
        await other.catch_up_all()
        third = Builder(other, host="third")
        for seed in range(3):
            await third.commit({"/x": big(9 + seed)})
        before = dict(made.store.objects)
        for name in names:
            del made.store.objects[name]
        assert (await repaired(made.store, tmp_path)).put_back == ()
        report = await repaired(made.store, tmp_path / "2")
        assert (report.put_back, report.sound) == (tuple(names), True)
        assert made.store.objects == before


@pytest.mark.parametrize("count", [63, 64, 65])
async def test_what_follows_the_last_copy_decides_too(count: int, tmp_path: Path) -> None:
    """Wherever a batch of records ends."""
    store = MemoryStore()
    await put_keys(store)
    async with built(store, tmp_path) as repository:
        web = Builder(repository)
        for number in range(count - 2):
            await web.commit({"/a": file(b"%d" % number)})
        shutil.copytree(tmp_path / "state", tmp_path / "2" / "state")
        await web.commit({"/a": file(b"of a branch that is left")})
    name = objects.record(Commit(count))
    del store.objects[name]
    async with open_view(store, directories(tmp_path / "2"), KEYS, World()) as other:
        builder = Builder(other, host="other")
        for text in (b"one", b"two"):
            await builder.commit({"/a": file(text)})
    before = dict(store.objects)
    del store.objects[name]
    assert (await repaired(store, tmp_path, QUICK)).put_back == ()
    report = await repaired(store, tmp_path / "2", QUICK)
    assert (report.put_back, report.sound) == ((name,), True)
    assert store.objects == before


async def test_a_record_that_comes_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    """The last one was lost, and another machine, which never saw it, writes another."""
    name = objects.record(Commit(6))
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        del made.store.objects[name]
        await other.catch_up_all()
        put = made.store.put

        async def late(target: str, data: bytes, *, if_absent: bool = False) -> None:
            if target == name and other.replica.tip().number == 5:
                made.store.put = put  # type: ignore[method-assign]
                await Builder(other, host="third").commit({"/x": big(9)})
            await put(target, data, if_absent=if_absent)

        made.store.put = late  # type: ignore[method-assign]
        await repaired(made.store, tmp_path)
        await other.catch_up_all()
        assert other.replica.tip().number == 6
        await assert_sound(other)


async def test_a_shortened_log_is_whole_again(tmp_path: Path) -> None:
    """Its end was lost, and nobody has written since."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        for number in (5, 6):
            del made.store.objects[objects.record(Commit(number))]
        await other.catch_up_all()
        assert (await repaired(made.store, tmp_path)).sound
        await other.catch_up_all()
        await assert_sound(other)


async def test_each_machine_gives_what_it_has(tmp_path: Path) -> None:
    """Records that follow none are known by those that follow them."""
    names = [objects.record(Commit(number)) for number in (2, 3, 4, 5)]
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        await other.catch_up_all()
        for name in names:
            del made.store.objects[name]
        for directory, gone in ((tmp_path, names[0]), (tmp_path / "2", names[2])):
            with closing(Copies.open(state_of(directory).copies).db) as db:
                Copies(db).drop([gone])
        assert (await repaired(made.store, tmp_path)).put_back == tuple(names[1:])
        report = await repaired(made.store, tmp_path / "2")
        assert (report.put_back, report.sound) == ((names[0],), True)


async def test_a_copy_that_is_damaged_itself_is_not_put_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        name = made.part(4, blocks=False)
        with closing(Copies.open(state_of(tmp_path).copies).db) as db:
            db.execute("UPDATE copy SET data = zeroblob(length(data)) WHERE name = ?", (name,))
        del made.store.objects[name]
        report = await repaired(made.store, tmp_path)
        assert (report.put_back, report.sound) == ((), False)
        assert name not in made.store.objects


async def test_a_damaged_copy_is_made_anew(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        names = (made.part(4, blocks=False), objects.record(Commit(3)))
        with closing(Copies.open(state_of(tmp_path).copies).db) as db:
            for name in names:
                db.execute("UPDATE copy SET data = x'00' WHERE name = ?", (name,))
        assert (await repaired(made.store, tmp_path)).sound
        with closing(Copies.open(state_of(tmp_path).copies).db) as db:
            for name in names:
                assert Copies(db).get(name) == made.store.objects[name]


async def test_copies_in_a_damaged_file_are_read_one_by_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        store, name = made.store, objects.record(Commit(4))
        before = dict(store.objects)
    path = state_of(tmp_path).copies
    with closing(Copies.open(path).db) as db:
        big_one = b"\xab" * 500_000
        Copies(db).keep({"meta/large": big_one})
        db.row("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xab" * 4000) // 4096 * 4096 + 3 * 4096
    data[at : at + 4096] = bytes(4096)  # a page of its overflow chain: the chain ends there
    path.write_bytes(data)
    del store.objects[name]
    report = await repaired(store, tmp_path)
    assert report.put_back == (name,)
    assert report.sound
    assert store.objects == before


async def test_a_dry_run_tells_and_changes_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        names = (objects.record(Commit(4)), made.part(4, blocks=False))
        strike(made, names[0], "cut")
        before = dict(made.store.objects)
        report = await repaired(made.store, tmp_path, DRY)
        assert (report.put_back, report.sound) == (names[:1], False)
        strike(made, names[1], "missing")
        made.store.objects[names[0]] = before[names[0]]
        assert names[0] in (await repaired(made.store, tmp_path, DRY)).put_back
        assert made.store.objects == {n: d for n, d in before.items() if n != names[1]}
        assert quarantined(tmp_path) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("skip", range(4))
async def test_it_goes_on_after_an_end_at_any_put(skip: int, after: bool, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        before = dict(made.store.objects)
        for name in (objects.record(Commit(3)), objects.record(Commit(4))):
            strike(made, name, "missing")
        for number, damage in ((2, "missing"), (5, "cut")):
            strike(made, made.part(number, blocks=False), damage)
        store = FaultyStore(made.store)
        error = StoreUnavailableError("off")
        store.queue(
            "put", Fault(skip=skip, after=error) if after else Fault(skip=skip, before=error)
        )
        with pytest.raises(StoreUnavailableError):
            await repaired(store, tmp_path)
        store.assert_all_hit()
        assert (await repaired(made.store, tmp_path)).sound
        assert made.store.objects == before


async def test_parts_of_a_base(tmp_path: Path) -> None:
    """They come back; those whose place it took are not copied any longer than they are stored."""
    async with two_hosts(tmp_path) as (one, other, store):
        chance = random.Random(4)
        for _ in range(3):
            await days(one, chance, 2)
            await days(other, chance, 1)
            await forget_some(one, chance)
            assert (await run(one.repository, COMPACT)).base is not None
        db = one.repository.db
        base = newest_base(db)
        assert base is not None
        superseded = {objects.part(ref.name) for ref in superseded_parts(db)}
        kept = copied(tmp_path / "a")
        assert superseded
        assert not superseded & kept
        assert kept <= store.objects.keys()
        names = {objects.part(ref.name) for ref in named_parts(base_body(db, base.record))}
        before = dict(store.objects)
        for name in names:
            del store.objects[name]
        report = await repaired(store, tmp_path / "a", QUICK)
        assert set(report.put_back) == names
        assert report.sound
        assert report.set_aside == ()
        assert store.objects == before


async def test_lost_or_damaged_copies_are_made_anew(tmp_path: Path) -> None:
    """Work goes on without them; a repair copies all that the machine has seen."""
    async with scene(tmp_path) as made:
        copies = state_of(tmp_path).copies
        assert copied(tmp_path) == log_and_parts(made)
        store = made.store
    for damage in (lambda path: path.write_bytes(b"no database" * 999), corrupt):
        damage(copies)
        async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
            await repository.catch_up_all()
            await Builder(repository, host=damage.__name__.strip("<>")).commit({"/x": big(11)})
            await repository.catch_up_all()
        rehearsed = await repaired(store, tmp_path, DRY)
        if not rehearsed.set_aside:
            continue  # what was written over was of no page in use
        assert rehearsed.set_aside == ("copies.db",)
        report = await repaired(store, tmp_path)
        assert report.sound
        assert [name.startswith("copies.db.quarantine-") for name in report.set_aside] == [True]
        assert copied(tmp_path) == {n for n in store.objects if n.startswith(("log/", "meta/"))}
    without_copies(tmp_path)
    assert (await repaired(store, tmp_path)).sound
    assert copied(tmp_path) == {n for n in store.objects if n.startswith(("log/", "meta/"))}


async def test_what_lies_damaged_is_saved_before_it_is_written_over(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        store, name = made.store, objects.record(Commit(4))
        strike(made, name, "flipped")
    broken = FaultyStore(store)
    broken.queue("put", Fault(on=name, before=StoreUnavailableError("the power fails")))
    with pytest.raises(StoreUnavailableError):
        await repaired(broken, tmp_path)
    broken.assert_all_hit()
    (saved,) = quarantined(tmp_path)
    assert (state_of(tmp_path).directory / saved).read_bytes() == store.objects[name]
