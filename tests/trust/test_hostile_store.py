"""What a hostile store can do, one attack a test: the threat model in docs/design.md.

Whatever it does, a reader gets the bytes that were stored, or an error; never other bytes.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from snapfs.errors import (
    DamagedError,
    FormatError,
    LogCutError,
    SnapfsError,
    WrongPassphraseError,
)
from snapfs.formats import objects
from snapfs.formats.slots import Derivation
from snapfs.jobs.init import InitOptions, init
from snapfs.model.identity import Commit
from snapfs.repository.keys import read_key_objects, unlock
from snapfs.repository.repository import Repository
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.jobs.checking import Scene, other_machine, scene

CHEAP = Derivation(19 * 1024, 1, 1)
Attack = Callable[[Scene], None]


def _exchange(made: Scene, one: str, other: str) -> None:
    held = made.store.objects
    held[one], held[other] = held[other], held[one]


def _replay(made: Scene, old: str, under: str) -> None:
    made.store.objects[under] = made.store.objects[old]


def _packs_exchanged(made: Scene) -> None:
    """Of the same size and structure."""
    _exchange(made, made.pack(4), made.pack(6))


def _old_pack_under_a_newer_name(made: Scene) -> None:
    _replay(made, made.pack(4), made.pack(6))


def _pack_withheld(made: Scene) -> None:
    del made.store.objects[made.pack(4)]


def _block_parts_exchanged(made: Scene) -> None:
    _exchange(made, made.part(2, blocks=True), made.part(4, blocks=True))


def _old_names_under_a_newer_name(made: Scene) -> None:
    _replay(made, made.part(2, blocks=False), made.part(6, blocks=False))


def _part_in_place_of_a_pack(made: Scene) -> None:
    _replay(made, made.part(2, blocks=False), made.pack(6))


def _records_exchanged(made: Scene) -> None:
    _exchange(made, objects.record(Commit(4)), objects.record(Commit(5)))


def _old_record_at_the_end(made: Scene) -> None:
    _replay(made, objects.record(Commit(5)), objects.record(Commit(7)))


def _forged_record_at_the_end(made: Scene) -> None:
    made.store.objects[objects.record(Commit(7))] = b"\0" * 500


ATTACKS = [
    _packs_exchanged, _old_pack_under_a_newer_name, _pack_withheld, _block_parts_exchanged,
    _old_names_under_a_newer_name, _part_in_place_of_a_pack, _records_exchanged,
    _old_record_at_the_end, _forged_record_at_the_end,
]  # fmt: skip


async def _contents(repository: Repository) -> tuple[dict[int, bytes], list[SnapfsError]]:
    """The content of each file that can be read, by node, and what was said of the others."""
    read: dict[int, bytes] = {}
    errors: list[SnapfsError] = []
    try:
        await repository.catch_up_all()
    except (LogCutError, DamagedError) as error:
        errors.append(error)
    async with repository.reading() as reader:
        for (number,) in repository.db.rows("SELECT number FROM node"):
            node = repository.tree.node(number)
            if node is None or not node.attributes.is_file:
                continue
            try:
                size = node.attributes.size
                read[number] = await reader.open(node.content()).read(0, size)
            except DamagedError as error:
                errors.append(error)
    return read, errors


@pytest.mark.parametrize("attack", ATTACKS)
async def test_nobody_reads_other_bytes(attack: Attack, tmp_path: Path) -> None:
    async with scene(tmp_path / "first") as made:
        async with other_machine(made, tmp_path / "second") as honest:
            wanted, errors = await _contents(honest)
        assert (len(wanted), errors) == (7, [])
        attack(made)
        async with other_machine(made, tmp_path / "third") as deceived:
            read, errors = await _contents(deceived)
        assert errors, "nothing was noticed"
        assert read.items() <= wanted.items()


async def test_an_older_state_deceives_only_who_has_seen_nothing(tmp_path: Path) -> None:
    """It cannot be otherwise: a machine without state has nothing to compare with."""
    async with scene(tmp_path / "first") as made:
        for number in (5, 6):
            del made.store.objects[objects.record(Commit(number))]
        with pytest.raises(LogCutError, match="record 6"):
            await made.repository.catch_up_all()
        async with other_machine(made, tmp_path / "second") as late:
            await late.catch_up_all()
            assert [each.number for each in late.snapshots.stream()] == [2, 3, 4]


@pytest.fixture
async def opened() -> MemoryStore:
    """A repository with its slots, which the passphrase `mine` opens."""
    store = MemoryStore()
    options = InitOptions(passphrase="mine", host="web", derivation=CHEAP, single_writer=True)
    await init(store, options, World())
    return store


async def _master(store: MemoryStore, secret: str) -> bytes:
    return (await unlock(store, await read_key_objects(store), secret)).master


def _slots(store: MemoryStore) -> list[str]:
    return [name for name in store.objects if name.startswith("keys/") and "ring" not in name]


FORGERIES: dict[str, dict[str, object]] = {
    "another label": {"label": "trust me"},
    "another time": {"created": 1},
    "cheaper derivation": {"argon2id": {"memory": 19 * 1024, "time": 2, "lanes": 1}},
    "derivation that takes all memory": {"argon2id": {"memory": 2**31, "time": 2**20, "lanes": 8}},
    "a derivation that is none": {"argon2id": {"memory": 0, "time": 0, "lanes": 0}},
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_slot_that_was_changed_opens_nothing(opened: MemoryStore, forgery: str) -> None:
    for name in _slots(opened):
        slot = msgspec.json.decode(opened.objects[name])
        assert FORGERIES[forgery].keys() <= slot.keys()
        opened.objects[name] = msgspec.json.encode(slot | FORGERIES[forgery])
    with pytest.raises((WrongPassphraseError, FormatError)):
        await _master(opened, "mine")


async def test_a_slot_of_the_store_s_own_making_leads_nowhere(opened: MemoryStore) -> None:
    """With a passphrase that the user types too, and a master key that the store knows."""
    master = await _master(opened, "mine")
    other = MemoryStore()
    options = InitOptions(passphrase="mine", host="web", derivation=CHEAP, single_writer=True)
    await init(other, options, World())
    forged = {name: other.objects[name] for name in _slots(other)}
    opened.objects.update(forged)
    assert await _master(opened, "mine") == master
    for name in set(_slots(opened)) - forged.keys():
        del opened.objects[name]
    with pytest.raises((WrongPassphraseError, FormatError)):
        await _master(opened, "mine")


async def test_a_ring_of_another_repository_is_refused(opened: MemoryStore) -> None:
    other = MemoryStore()
    options = InitOptions(passphrase="mine", host="web", derivation=CHEAP, single_writer=True)
    await init(other, options, World())
    (ring,) = (name for name in opened.objects if name.startswith(objects.RINGS))
    opened.objects[ring] = other.objects[ring]
    with pytest.raises(FormatError):
        await _master(opened, "mine")
