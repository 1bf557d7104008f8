"""Check names each kind of damage to the objects, the paths that it costs, and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from snapfs.errors import StoreUnavailableError
from snapfs.formats import codec, marker, objects, packs, records, seal
from snapfs.formats.parts import BlockPart, SuspectRow
from snapfs.jobs.check.report import Affected
from snapfs.model.identity import Commit, RepositoryId
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, built, file, publish
from tests.faulty import Fault, FaultyStore
from tests.formats.samples import RING_NAME
from tests.jobs.checking import (
    SLOT,
    Scene,
    assert_sound,
    big,
    checked,
    found,
    noise,
    other_machine,
    paths,
    put_keys,
    scene,
)

Damage = Callable[[Scene], None]


def _delete(name: Callable[[Scene], str]) -> Damage:
    return lambda made: made.store.objects.pop(name(made)) and None


def _cut(name: Callable[[Scene], str], to: int) -> Damage:
    def damage(made: Scene) -> None:
        made.store.objects[name(made)] = made.store.objects[name(made)][:to]

    return damage


def _flip(name: Callable[[Scene], str], at: int) -> Damage:
    return lambda made: made.flip(name(made), at)


def _swap(one: Callable[[Scene], str], other: Callable[[Scene], str]) -> Damage:
    def damage(made: Scene) -> None:
        held = made.store.objects
        held[one(made)], held[other(made)] = held[other(made)], held[one(made)]

    return damage


def _copy(source: Callable[[Scene], str], target: Callable[[Scene], str]) -> Damage:
    def damage(made: Scene) -> None:
        made.store.objects[target(made)] = made.store.objects[source(made)]

    return damage


def _record(number: int) -> Callable[[Scene], str]:
    return lambda made: objects.record(made.commits[number - 2])


def _pack(number: int) -> Callable[[Scene], str]:
    return lambda made: made.pack(number)


def _part(number: int, *, blocks: bool) -> Callable[[Scene], str]:
    return lambda made: made.part(number, blocks=blocks)


def _named(name: str) -> Callable[[Scene], str]:
    return lambda made: name


WEB, MAIL = "web/root:", "mail/spool:"
ALL = {f"{WEB}/": 3, f"{MAIL}/": 2}

KEY_DAMAGE = {
    "marker deleted": ("marker", _named(objects.MARKER), _delete),
    "slot cut": ("slot", _named(SLOT), lambda name: _cut(name, 40)),
    "slot flipped": ("slot", _named(SLOT), lambda name: _flip(name, 3)),
    "ring deleted": ("ring", _named(RING_NAME), _delete),
    "ring flipped": ("ring", _named(RING_NAME), lambda name: _flip(name, -20)),
}


@pytest.mark.parametrize("case", KEY_DAMAGE)
async def test_keys(case: str, tmp_path: Path) -> None:
    kind, name, damage = KEY_DAMAGE[case]
    async with scene(tmp_path) as made:
        damage(name)(made)
        report = await checked(made.repository)
        expected = [(kind, name(made))]
        # The one slot that there is: a second finding says what that means.
        assert found(report) == expected + [("slot", "keys/")] * (kind == "slot")
        assert paths(report) == {}
        assert report.compared


async def test_another_marker(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.store.objects[objects.MARKER] = marker.encode(RepositoryId(bytes(16)))
        report = await checked(made.repository)
        assert found(report) == [("marker", objects.MARKER)]


LOG_DAMAGE = {
    "deleted": _delete(_record(4)),
    "flipped": _flip(_record(4), 200),
    "flipped version": _flip(_record(4), 6),
    "cut": _cut(_record(4), 100),
    "emptied": _cut(_record(4), 0),
    "another's": _copy(_record(3), _record(4)),
}


@pytest.mark.parametrize("case", LOG_DAMAGE)
@pytest.mark.parametrize("seen", [True, False])
async def test_a_record(case: str, seen: bool, tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        LOG_DAMAGE[case](made)
        report = await checked(made.repository if seen else other)
        assert found(report) == [("log", objects.record(made.commits[2]))]
        # Of the damaged record nothing is known: it might have been no snapshot at all.
        assert paths(report) == {f"{WEB}/": 1, f"{MAIL}/": 1}
        assert {each.first for each in report.affected} == {made.id(5), made.id(6)}
        assert not report.compared or not seen
        assert report.orphans is None


async def test_two_records(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        _delete(_record(3))(made)
        _flip(_record(5), 150)(made)
        report = await checked(made.repository)
        assert sorted(found(report)) == [
            ("log", objects.record(made.commits[1])),
            ("log", objects.record(made.commits[3])),
        ]


async def test_a_record_that_does_not_follow(tmp_path: Path) -> None:
    """Well sealed, at its number, and made behind another log; also behind a gap."""
    async with scene(tmp_path) as made:
        head = msgspec.structs.replace(made.repository.replica.head(Commit(5)), previous=bytes(32))
        data = records.encode(head, Commit(5), KEYS.repository, KEYS.epochs, os.urandom)
        name = objects.record(Commit(5))
        made.store.objects[name] = data
        report = await checked(made.repository)
        # The next one followed on the record that was there before.
        followers = [("log", name), ("log", objects.record(Commit(6)))]
        assert found(report) == followers
        _delete(_record(3))(made)
        gap = ("log", objects.record(Commit(3)))
        assert sorted(found(await checked(made.repository))) == sorted([gap, *followers])


async def test_the_first_record(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        first = "log/" + "0" * 15 + "1"
        made.store.objects.pop(first)
        report = await checked(made.repository)
        assert found(report) == [("log", first)]
        assert paths(report) == ALL


async def test_the_log_was_cut(tmp_path: Path) -> None:
    """A machine that has seen the record knows it; for another it never was."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        pack, parts = made.pack(6), [made.part(6, blocks=held) for held in (True, False)]
        _delete(_record(6))(made)
        report = await checked(made.repository)
        assert found(report) == [("log", objects.record(made.commits[4]))]
        assert "the log was cut" in report.problems[0].detail
        assert paths(report) == {}
        unnamed = await assert_sound(other)
        assert unnamed.orphans is not None
        assert unnamed.orphans.objects == 3
        sizes = [len(made.store.objects[name]) for name in (pack, *parts)]
        assert unnamed.orphans.bytes == sum(sizes)


async def test_the_log_was_replaced(tmp_path: Path) -> None:
    """An old state of the storage was brought back, and another machine wrote to it."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        _delete(_record(6))(made)
        await other.catch_up_all()
        await Builder(other, host="third").commit({"/x": big(9)})
        report = await checked(made.repository)
        assert found(report) == [("log", objects.record(made.commits[4]))]
        assert not report.compared
        await assert_sound(other)


PART_DAMAGE = {
    "deleted": lambda name, older: _delete(name),
    "flipped": lambda name, older: _flip(name, 150),
    "cut": lambda name, older: _cut(name, 20),
    "older": lambda name, older: _copy(older, name),
}


@pytest.mark.parametrize("case", PART_DAMAGE)
@pytest.mark.parametrize("seen", [True, False])
async def test_an_entry_part(case: str, seen: bool, tmp_path: Path) -> None:
    name, older = _part(4, blocks=False), _part(2, blocks=False)
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        PART_DAMAGE[case](name, older)(made)
        report = await checked(made.repository if seen else other)
        assert found(report) == [("part", name(made))]
        assert paths(report) == {f"{WEB}/": 2}
        assert report.affected[0] == Affected("web", "root", b"/", made.id(4), made.id(6), 2)


@pytest.mark.parametrize("case", PART_DAMAGE)
async def test_a_block_part(case: str, tmp_path: Path) -> None:
    """Packs say the same: nothing is lost by it."""
    name, older = _part(2, blocks=True), _part(5, blocks=True)
    async with scene(tmp_path) as made:
        PART_DAMAGE[case](name, older)(made)
        report = await checked(made.repository)
        assert found(report) == [("part", name(made))]
        assert paths(report) == {}
        assert report.compared
        assert report.checked.blocks_read == 28


async def test_a_block_part_that_packs_cannot_make_again(tmp_path: Path) -> None:
    """What says that blocks moved, or are suspect, stands in no pack."""
    async with scene(tmp_path) as made:
        suspect = BlockPart((), (), (SuspectRow(made.head(3).packs[0], 0, (0,)),))
        ref = await made.repository.parts.upload(suspect, (0, 0, 0))
        mend = records.Mend(records.New(), (ref,), ())
        await publish(made.repository, mend, "mender")
        await made.web.commit({"/z": big(9)})
        _delete(_part(8, blocks=True))(made)
        assert paths(await checked(made.repository)) == {f"{MAIL}/box": 2}
        del made.store.objects[objects.part(ref.name)]
        report = await checked(made.repository)
        assert paths(report) == {f"{WEB}/": 1}
        assert report.affected[0].first == made.id(8)


async def test_a_block_part_and_its_pack(tmp_path: Path) -> None:
    """Then nothing says where the blocks are, and nothing behind that record can be read."""
    async with scene(tmp_path) as made:
        part, pack = made.part(5, blocks=True), made.pack(5)
        behind = made.part(6, blocks=False)
        del made.store.objects[part], made.store.objects[pack]
        made.flip(behind, 99)
        report = await checked(made.repository)
        expected = [("pack", pack), ("part", part), ("part", behind)]
        assert sorted(found(report)) == sorted(expected)
        assert paths(report) == {f"{WEB}/": 1, f"{MAIL}/": 1}


async def test_all_damaged_parts_are_named(tmp_path: Path) -> None:
    """Also those behind the first, which cannot be applied any more."""
    async with scene(tmp_path) as made:
        damaged = [_part(2, blocks=True), _part(2, blocks=False), _part(6, blocks=False)]
        damaged.append(_part(3, blocks=False))
        for name in damaged:
            _flip(name, 120)(made)
        report = await checked(made.repository)
        assert sorted(found(report)) == sorted(("part", name(made)) for name in damaged)
        assert paths(report) == ALL


PACK_DAMAGE: dict[str, tuple[Damage, dict[str, int], bool]] = {
    # what is done, whom it costs, and whether that is seen without reading
    "deleted": (_delete(_pack(2)), {f"{WEB}/a": 3, f"{WEB}/b": 1, f"{WEB}/sub/c": 2}, True),
    "cut in the third segment": (_cut(_pack(2), 600_000), {f"{WEB}/sub/c": 2}, True),
    "cut in the trailer": (_cut(_pack(2), -3), {}, True),
    "header": (_flip(_pack(2), 30), {}, False),
    "version": (_flip(_pack(2), 6), {}, False),
    "trailer": (_flip(_pack(2), -1), {}, False),
    "trailer's length": (_flip(_pack(2), -5), {}, False),
    "footer": (_flip(_pack(2), -30), {}, False),
    "first segment": (
        lambda made: made.flip(made.pack(2), made.segment(2, 0) + 1000),
        {f"{WEB}/a": 3, f"{WEB}/b": 1},
        False,
    ),
    "last segment": (
        lambda made: made.flip(made.pack(2), made.segment(2, 2) + 9),
        {f"{WEB}/sub/c": 2},
        False,
    ),
    "pack of one snapshot": (_delete(_pack(6)), {f"{WEB}/d": 1}, True),
}


@pytest.mark.parametrize("case", PACK_DAMAGE)
async def test_a_pack(case: str, tmp_path: Path) -> None:
    damage, cost, seen_without_reading = PACK_DAMAGE[case]
    async with scene(tmp_path) as made:
        name = made.pack(6 if case == "pack of one snapshot" else 2)
        damage(made)
        report = await checked(made.repository)
        assert found(report) == [("pack", name)]
        assert paths(report) == cost
        quick = await checked(made.repository, read=None)
        assert found(quick) == ([("pack", name)] if seen_without_reading else [])
        assert paths(quick) == (cost if seen_without_reading else {})
        hint = report.problems[0].hint
        assert ("bring the object back" in hint) == (bool(cost) or case.startswith("cut"))


async def test_the_snapshots_of_a_path(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.flip(made.pack(2), made.segment(2, 2) + 9)
        report = await checked(made.repository)
        path = b"/sub/c"
        assert report.affected == (Affected("web", "root", path, made.id(2), made.id(4), 2),)


async def test_forgotten_snapshots_do_not_count(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.flip(made.pack(2), made.segment(2, 2) + 9)
        await made.web.forget(made.commits[0])
        assert paths(await checked(made.repository)) == {f"{WEB}/sub/c": 1}
        await made.web.forget(made.commits[2])
        report = await checked(made.repository)
        assert found(report) == [("pack", made.pack(2))]
        assert paths(report) == {}


async def test_two_packs_swapped(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        _swap(_pack(4), _pack(6))(made)
        report = await checked(made.repository)
        assert sorted(found(report)) == sorted([("pack", made.pack(4)), ("pack", made.pack(6))])
        assert paths(report) == {f"{WEB}/b": 2, f"{WEB}/d": 1}


async def test_a_pack_that_is_far_too_large(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        held = made.store.objects
        whole = sum(len(data) for name, data in held.items() if name.startswith("packs/"))
        held[made.pack(2)] += bytes(1000)
        report = await checked(made.repository)
        assert found(report) == [("pack", made.pack(2))]
        assert report.checked.bytes_read == whole
        assert paths(report) == {}


async def test_a_block_that_is_not_what_it_should_be(tmp_path: Path) -> None:
    """Sealed soundly and still wrong: only the files with that very block are named."""
    async with scene(tmp_path) as made:
        made.store.objects[made.pack(2)] = _with_wrong_block(made)
        report = await checked(made.repository)
        assert found(report) == [("pack", made.pack(2))]
        assert paths(report) == {f"{WEB}/a": 3}
        assert report.checked.blocks_read == 27


async def test_many_affected_paths_are_counted(tmp_path: Path) -> None:
    store = MemoryStore()
    await put_keys(store)
    async with built(store, tmp_path) as repository:
        await Builder(repository).commit({f"/{at:03}": file(b"%d" % at) for at in range(250)})
        for name in [name for name in store.objects if name.startswith("packs/")]:
            del store.objects[name]
        report = await checked(repository, listed_paths=10)
        assert len(report.affected) == 10
        assert report.affected_count == 250


async def test_a_block_in_a_list(tmp_path: Path) -> None:
    """A huge file's content is lists of lists: what is lost in one is found through them."""
    store = MemoryStore()
    await put_keys(store)
    async with built(store, tmp_path) as repository:
        builder = Builder(repository, block_size=1024, segment_size=64 * 1024)
        await builder.commit({"/huge": file(noise(1, 1500 * 1024)), "/small": file(b"small")})
        made = Scene(repository, store, builder, builder)
        made.flip(made.pack(2), made.segment(2, 5) + 20)
        report = await checked(repository)
        assert paths(report) == {f"{WEB}/huge": 1}


async def test_hard_links_and_names_that_are_no_text(tmp_path: Path) -> None:
    store = MemoryStore()
    await put_keys(store)
    async with built(store, tmp_path) as repository:
        twice = big(1)
        builder = Builder(repository)
        await builder.commit({"/one": twice, b"/\xff/\n": twice, "/other": file(b"x")})
        _delete(_pack(2))(Scene(repository, store, builder, builder))
        report = await checked(repository)
        assert {each.path for each in report.affected} == {b"/one", b"/\xff/\n", b"/other"}


async def test_a_store_that_cannot_be_asked_ends_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        for verb, name in (("get", "packs/"), ("list", "meta/"), ("get", "log/"), ("get", "keys")):
            store = FaultyStore(made.store)
            store.queue(verb, Fault(on=name, before=StoreUnavailableError("off")))
            made.repository.store = store
            with pytest.raises(StoreUnavailableError):
                await checked(made.repository)
            store.assert_all_hit()


def _with_wrong_block(made: Scene) -> bytes:
    """The pack again, with the same header and keys, one block of which has other bytes."""
    data, name = made.store.objects[made.pack(2)], made.head(2).packs[0]
    row, opened = packs.read_whole(data, KEYS.repository, name, KEYS.epochs)
    begin, end = len(row.header), len(row.header) + row.segments[0].stored
    plain = bytearray(packs.open_segment(opened, 0, data[begin:end]))
    plain[10] ^= 1
    packed = (codec.Codec.NONE, bytes(plain), len(plain))
    sealed = seal.seal_section(opened, seal.Purpose.CONTENT, 0, packed, last=False, padded=True)
    assert len(sealed) == end - begin
    return data[:begin] + sealed + data[end:]
