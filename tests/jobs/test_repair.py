"""Repair of packs and parts: broken, found, repaired, and then nothing is found, or the rest."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from snapfs.errors import DeltaVoidError, StoreUnavailableError
from snapfs.formats import objects, records
from snapfs.model.identity import Commit
from snapfs.repository.repository import Repository
from tests.build import Builder, publish
from tests.faulty import Fault, FaultyStore
from tests.jobs.checking import (
    Scene,
    assert_sound,
    big,
    checked,
    found,
    other_machine,
    paths,
    scene,
)
from tests.jobs.repairing import DRY, OPTIONS, QUICK, repaired, without_copies
from tests.jobs.test_check_damage import PACK_DAMAGE, WEB

HARMLESS = ["cut in the trailer", "header", "version", "trailer", "trailer's length", "footer"]
"damage to a pack by which no block is lost"


async def contents(repository: Repository) -> dict[tuple[int, bytes], bytes]:
    """Every file of every snapshot that can be read."""
    await repository.catch_up_all()
    read: dict[tuple[int, bytes], bytes] = {}
    async with repository.reading() as reader:
        for snapshot in list(repository.snapshots.stream()):
            root = repository.tree.root(snapshot.number)
            todo = [(b"", root)]
            while todo:
                path, entry = todo.pop()
                assert entry is not None
                if entry.child is not None:
                    todo += [
                        (path + b"/" + each.name, each)
                        for each in repository.tree.entries(entry.child, snapshot.number)
                    ]
                else:
                    size = entry.node.attributes.size
                    opened = reader.open(entry.node.content())
                    read[snapshot.number, path] = await opened.read(0, size)
    return read


@pytest.mark.parametrize("case", HARMLESS)
async def test_a_pack_that_has_lost_nothing_is_written_again(case: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        before = await contents(made.repository)
        name = made.pack(2)
        PACK_DAMAGE[case][0](made)
        damaged = made.store.objects[name]
        report = await repaired(made.store, tmp_path)
        assert report.found is not None
        assert found(report.found) == [("pack", name)]
        assert (report.packs, report.saved, report.doubted) == (1, 12, 0)
        assert report.sound
        assert made.store.objects[name] == damaged, "it is left as it is"
        for repository in (made.repository, other):
            assert await contents(repository) == before
            await assert_sound(repository)


@pytest.mark.parametrize("case", ["deleted", "first segment", "cut in the third segment"])
async def test_what_is_lost_is_named_and_not_relied_on(case: str, tmp_path: Path) -> None:
    damage, cost, _ = PACK_DAMAGE[case]
    async with scene(tmp_path) as made:
        damage(made)
        report = await repaired(made.store, tmp_path)
        assert report.left is not None
        assert paths(report.left) == cost
        assert report.saved + report.doubted == 12
        assert report.doubted > 0
        await made.repository.catch_up_all()
        for part in ("first", "again"):
            assert paths(await checked(made.repository, read=None)) == cost, part
            assert paths(await checked(made.repository)) == cost, part
            tip = made.repository.replica.tip()
            again = await repaired(made.store, tmp_path)
            assert again.doubted == report.doubted
            assert made.repository.replica.tip() == tip, "nothing new is to be said"
        # The same content, met by another host: it is stored anew, and all snapshots have it.
        assert not any(
            made.repository.blocks.find(made.repository.blocks.key(number))
            for (number,) in made.repository.db.rows("SELECT block FROM suspect")
        )


async def test_a_copy_elsewhere(tmp_path: Path) -> None:
    """Two hosts stored the same at once; one of the two packs is lost."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        await _store_twice(made, other)
        before = await contents(made.repository)
        number = made.repository.replica.tip().number
        lost = made.pack(int(number) - 1)
        del made.store.objects[lost]
        assert not (await checked(made.repository)).sound
        report = await repaired(made.store, tmp_path)
        assert (report.packs, report.saved, report.doubted) == (1, 4, 0)
        assert report.sound
        for repository in (made.repository, other):
            assert await contents(repository) == before
            await assert_sound(repository)


async def test_a_pack_that_was_brought_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        name = made.pack(2)
        kept = made.store.objects.pop(name)
        first = await repaired(made.store, tmp_path)
        assert not first.sound
        made.store.objects[name] = kept
        report = await repaired(made.store, tmp_path, QUICK)
        assert (report.saved, report.doubted) == (12, 0)
        assert report.sound
        await assert_sound(made.repository)


@pytest.mark.parametrize("record", [2, 5])
async def test_a_lost_block_part(record: int, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        before = await contents(made.repository)
        name = made.part(record, blocks=True)
        made.flip(name, 150)
        damaged = made.store.objects[name]
        without_copies(tmp_path)
        async with other_machine(made, tmp_path / "2") as other:
            report = await repaired(made.store, tmp_path)
            assert report.found is not None
            assert found(report.found) == [("part", name)]
            assert report.parts == 1
            assert report.sound
            assert made.store.objects[name] == damaged
            for repository in (made.repository, other):
                assert await contents(repository) == before
                await assert_sound(repository)
            again = await repaired(made.store, tmp_path)
            assert (again.parts, again.sound) == (0, True)


async def test_a_lost_block_part_and_a_view_that_lags(tmp_path: Path) -> None:
    """A check beside a view that ends before the record that mends finds nothing either."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        await other.catch_up_all()
        made.flip(made.part(4, blocks=True), 150)
        await repaired(made.store, tmp_path)
        assert other.replica.tip().number == 6
        await assert_sound(other)


async def test_a_replacement_that_is_lost_in_turn(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.flip(made.part(4, blocks=True), 150)
        without_copies(tmp_path)
        assert (await repaired(made.store, tmp_path)).sound
        await made.repository.catch_up_all()
        mend = made.repository.replica.head(Commit(7)).body
        assert isinstance(mend, records.Mend)
        made.flip(objects.part(mend.parts[0].part.name), 99)
        assert not (await checked(made.repository)).sound
        without_copies(tmp_path)
        assert (await repaired(made.store, tmp_path)).sound
        await assert_sound(made.repository)


async def test_everything_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        before = await contents(made.repository)
        made.flip(made.part(3, blocks=True), 150)
        made.flip(made.pack(4), 30)
        made.flip(made.pack(2), made.segment(2, 2) + 9)
        without_copies(tmp_path)
        report = await repaired(made.store, tmp_path)
        assert (report.parts, report.packs) == (1, 2)
        assert report.left is not None
        assert paths(report.left) == {f"{WEB}/sub/c": 2}
        lost = {(number, b"/sub/c") for number in (2, 4)}
        whole = {key: data for key, data in before.items() if key not in lost}
        assert whole.items() <= before.items()
        await other.catch_up_all()
        assert paths(await checked(other)) == {f"{WEB}/sub/c": 2}


LOST: dict[str, Callable[[Scene], str]] = {
    "record": lambda made: objects.record(Commit(4)),
    "last record": lambda made: objects.record(Commit(6)),
    "entry part": lambda made: made.part(4, blocks=False),
}


@pytest.mark.parametrize("case", LOST)
async def test_what_cannot_be_repaired_is_left_alone(case: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[LOST[case](made)]
        without_copies(tmp_path)
        before = dict(made.store.objects)
        report = await repaired(made.store, tmp_path)
        assert report.left is not None
        assert found(report.left) == [(("log", "part")[case == "entry part"], LOST[case](made))]
        assert not report.sound
        assert made.store.objects == before


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.flip(made.part(3, blocks=True), 150)
        made.flip(made.pack(2), 30)
        without_copies(tmp_path)
        before = dict(made.store.objects)
        report = await repaired(made.store, tmp_path, DRY)
        assert (report.parts, report.packs, report.saved) == (1, 1, 0)
        assert made.store.objects == before
        assert not report.sound


async def test_nothing_is_damaged(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        before = dict(made.store.objects)
        report = await repaired(made.store, tmp_path)
        assert report.sound
        assert (report.set_aside, report.parts, report.packs) == ((), 0, 0)
        assert made.store.objects == before


async def test_it_goes_on_after_an_end_at_any_put(tmp_path: Path) -> None:
    """Before or after each put took effect: the next repair completes the work."""
    cases = [(skip, False) for skip in range(6)] + [(0, True), (3, True)]
    for skip, after in cases:
        directory = tmp_path / f"{skip}{after}"
        async with scene(directory) as made:
            before = await contents(made.repository)
            made.flip(made.part(3, blocks=True), 150)
            made.flip(made.pack(2), 30)
            without_copies(directory)
            store = FaultyStore(made.store)
            error = StoreUnavailableError("off")
            fault = Fault(skip=skip, after=error) if after else Fault(skip=skip, before=error)
            store.queue("put", fault)
            # A record's put is tried again: then it just goes on.
            with suppress(StoreUnavailableError):
                await repaired(store, directory)
            store.assert_all_hit()
            assert (await repaired(made.store, directory)).sound
            assert await contents(made.repository) == before
            await assert_sound(made.repository)


async def test_a_prune_that_took_it_for_left_over(tmp_path: Path) -> None:
    """What was uploaded is condemned before the record that names it: nothing is recorded."""
    async with scene(tmp_path) as made:
        made.flip(made.pack(2), 30)
        put = made.store.put

        async def condemning(name: str, data: bytes, *, if_absent: bool = False) -> None:
            await put(name, data, if_absent=if_absent)
            pack = objects.pack_name(name)
            if pack is not None:
                body = records.Condemn((pack,), records.New(), (), ())
                await publish(made.repository, body, "pruner")

        made.store.put = condemning  # type: ignore[method-assign]
        with pytest.raises(DeltaVoidError):
            await repaired(made.store, tmp_path)
        made.store.put = put  # type: ignore[method-assign]
        assert (await repaired(made.store, tmp_path, OPTIONS)).sound


async def _store_twice(made: Scene, other: Repository) -> None:
    """The same file from two hosts that did not see each other's blocks: two stored copies."""
    await other.catch_up_all()
    thing = big(20)
    third = Builder(other, host="third", source="x")
    find = type(other.blocks).find
    await made.mail.commit({"/box": big(4), "/new": big(6), "/twin": thing})
    try:
        type(other.blocks).find = lambda self, key: None  # type: ignore[method-assign]
        await third.commit({"/twin": thing})
    finally:
        type(other.blocks).find = find  # type: ignore[method-assign]
    await made.repository.catch_up_all()
