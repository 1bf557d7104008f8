"""Creating a repository, broken off anywhere, and by two at once: in the end one that works."""

from pathlib import Path

import pytest
import trio

from snapfs.errors import (
    NoRepositoryError,
    RepositoryExistsError,
    SnapfsError,
    StoreError,
    StoreUnavailableError,
    WrongPassphraseError,
    WrongRepositoryError,
)
from snapfs.formats import objects
from snapfs.formats.slots import Derivation
from snapfs.jobs import init as module
from snapfs.jobs.init import Created, InitOptions, init
from snapfs.model.chunker import STANDARD
from snapfs.repository.repository import open_repository
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.memory import MemoryStore
from snapfs.stores.threaded import ThreadedStore
from tests.faulty import Fault, FaultyStore, Verb
from tests.repository.machines import NOTHING, publish

CHEAP = Derivation(19 * 1024, 1, 1)
LOST = StoreUnavailableError("away")


def options(passphrase: str = "secret", **others: bool) -> InitOptions:
    return InitOptions(passphrase=passphrase, host="web", derivation=CHEAP, **others)


async def create(store: Store, passphrase: str = "secret") -> Created:
    return await init(store, options(passphrase), World())


async def check_works(store: Store, directory: Path, secret: str) -> bytes:
    """Open it and write to it; its id."""
    directories = Directories(directory / "state", directory / "cache")
    async with open_repository(store, directories, lambda: secret) as repository:
        tip = await repository.log.catch_up()
        assert await publish(repository, NOTHING) == tip.number + 1
        return repository.keys.repository


async def test_a_new_repository_opens_with_passphrase_and_recovery_code(tmp_path: Path) -> None:
    store = MemoryStore()
    created = await create(store)
    for at, secret in enumerate(("secret", created.recovery_code, created.recovery_code.lower())):
        assert await check_works(store, tmp_path / str(at), secret) == created.repository
    with pytest.raises(WrongPassphraseError, match="opens none of the 2 key slots"):
        await check_works(store, tmp_path, "other")
    assert not [name for name in store.objects if name.startswith("probe")]


async def test_the_first_record_says_what_was_chosen(tmp_path: Path) -> None:
    store = MemoryStore()
    await create(store)
    directories = Directories(tmp_path / "state", tmp_path / "cache")
    async with open_repository(store, directories, lambda: "secret") as repository:
        await repository.log.catch_up()
        assert repository.chunker() == STANDARD
        assert repository.replica.fact("repository") == repository.keys.repository.hex()


async def test_a_repository_is_not_created_twice() -> None:
    store = MemoryStore()
    await create(store)
    before = dict(store.objects)
    for passphrase in ("secret", "other"):
        with pytest.raises(RepositoryExistsError, match="already"):
            await create(store, passphrase)
    assert store.objects == before


async def test_a_log_without_its_beginning_is_not_begun_anew() -> None:
    store = MemoryStore()
    await create(store)
    first = objects.record(module.records.FIRST)
    store.objects[first[:-1] + "2"] = store.objects.pop(first)
    before = dict(store.objects)
    with pytest.raises(RepositoryExistsError):
        await create(store)
    assert store.objects == before


async def test_a_store_that_overwrites_is_refused_unless_one_host_writes(tmp_path: Path) -> None:
    class Overwriting(MemoryStore):
        async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
            await super().put(name, data)

    store = Overwriting()
    with pytest.raises(StoreError, match="overwrites") as raised:
        await create(store)
    assert "--single-writer" in raised.value.hint
    assert store.objects == {}
    await init(store, options(single_writer=True), World())
    await check_works(store, tmp_path, "secret")


async def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Verb, str]]:
    store = FaultyStore(MemoryStore())
    await create(store)
    return store.calls


def without_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe has tests of its own, and its calls come in any order."""

    async def honours(store: Store, token: str) -> bool:
        return True

    monkeypatch.setattr(module, "honours_put_if_absent", honours)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_broken_off_at_any_call_and_begun_again_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    without_probe(monkeypatch)
    calls = await count_calls(monkeypatch)
    assert len(calls) >= 9
    for at, (verb, name) in enumerate(calls):
        if (verb, moment) == ("get", "after"):
            continue  # the same, and where nothing is found there is no afterwards
        memory = MemoryStore()
        store = FaultyStore(memory)
        skip = sum(earlier[0] == verb for earlier in calls[:at])
        store.queue(verb, Fault(skip=skip, **{moment: StoreError("broken off")}))  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="broken off"):
            await create(store)
        store.assert_all_hit()
        await finish(memory, tmp_path / f"{at}", at=f"{verb} {name}")


async def finish(memory: MemoryStore, directory: Path, *, at: str) -> None:
    """Another passphrase is refused as soon as there is one; the same leads to a repository."""
    opened = {name for name in memory.objects if name.startswith(objects.KEYS)}
    done = objects.record(module.records.FIRST) in memory.objects
    if opened or done:
        before = dict(memory.objects)
        with pytest.raises(RepositoryExistsError if done else WrongPassphraseError):
            await create(memory, "another")
        assert memory.objects == before, at
    if done:
        await check_works(memory, directory, "secret")
        return
    with pytest.raises((NoRepositoryError, SnapfsError)):
        await check_works(memory, directory / "early", "secret")
    created = await create(memory)
    for which, secret in enumerate(("secret", created.recovery_code)):
        assert await check_works(memory, directory / f"{which}", secret) == created.repository


async def test_a_lost_answer_does_not_lose_the_recovery_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_probe(monkeypatch)
    puts = sum(verb == "put" for verb, _ in await count_calls(monkeypatch))
    assert puts == 5
    for at in range(puts):
        store = FaultyStore(MemoryStore())
        store.queue("put", Fault(skip=at, after=LOST))
        created = await create(store)
        store.assert_all_hit()
        await check_works(store.store, tmp_path / f"{at}", created.recovery_code)


@pytest.mark.parametrize("passphrases", [("same", "same"), ("one", "two")])
async def test_of_two_at_once_one_makes_it(tmp_path: Path, passphrases: tuple[str, str]) -> None:
    for delay in range(0, 14, 2):
        memory = MemoryStore()
        made: dict[int, Created] = {}

        async def attempt(at: int, memory: MemoryStore = memory, delay: int = delay,
                          made: dict[int, Created] = made) -> None:  # fmt: skip
            for _ in range(delay * 2 * at):
                await trio.lowlevel.checkpoint()
            try:
                made[at] = await create(memory, passphrases[at])
            except (RepositoryExistsError, WrongPassphraseError):
                return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, 0)
            nursery.start_soon(attempt, 1)
        assert made
        slots = [name for name in memory.objects if name.startswith(objects.KEYS)]
        assert len(slots) == 1 + 1 + len(made), "ring, passphrase, and each one's recovery code"
        ids = set()
        for at, created in made.items():
            for which, secret in enumerate((passphrases[at], created.recovery_code)):
                place = tmp_path / f"{delay} {at} {which}"
                ids.add(await check_works(memory, place, secret))
        assert len(ids) == 1
        for at in {0, 1} - set(made):
            with pytest.raises(RepositoryExistsError):
                await create(memory, passphrases[at])


async def test_key_slots_that_open_no_ring_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two creations with one passphrase, and the one that came second was killed."""
    without_probe(monkeypatch)
    for _ in range(6):  # ids are random: the dead slot is sometimes tried first
        memory = MemoryStore()
        store = FaultyStore(memory)
        store.queue("put", Fault(on=objects.RINGS, before=StoreError("killed")))
        with pytest.raises(StoreError, match="killed"):
            await create(store)
        dead = {name: data for name, data in memory.objects.items() if "keys/" in name}
        for name in dead:
            del memory.objects[name]
        store.queue("put", Fault(on=objects.LOG, before=StoreError("killed")))
        with pytest.raises(StoreError, match="killed"):
            await create(store)
        memory.objects.update(dead)
        created = await create(memory)
        assert await check_works(memory, tmp_path, "secret") == created.repository
        tmp_path = tmp_path / "next"


async def test_another_repository_at_a_known_place_is_not_opened(tmp_path: Path) -> None:
    store = MemoryStore()
    await create(store)
    await check_works(store, tmp_path, "secret")
    store.objects.clear()
    await create(store)
    with pytest.raises(WrongRepositoryError, match="here was the repository") as raised:
        await check_works(store, tmp_path, "secret")
    assert "remove" in raised.value.hint


async def test_a_place_without_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoRepositoryError, match="no repository here") as raised:
        await check_works(MemoryStore(), tmp_path, "secret")
    assert "snapfs init" in raised.value.hint


async def test_a_creation_that_was_broken_off_is_named_when_opened(tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore())
    store.queue("put", Fault(on=objects.KEYS, before=StoreError("away")))
    with pytest.raises(StoreError):
        await create(store)
    with pytest.raises(NoRepositoryError, match="no key slots") as raised:
        await check_works(store, tmp_path, "secret")
    assert "snapfs init" in raised.value.hint


async def test_it_works_in_a_directory(tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.mkdir()
    created = await create(ThreadedStore(Files(place)))
    assert await check_works(ThreadedStore(Files(place)), tmp_path, "secret") == created.repository
