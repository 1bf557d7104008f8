"""Key slots: added, listed, removed, changed; at no moment without one that opens."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snapfs.errors import (
    StoreError,
    StoreUnavailableError,
    UsageError,
    WrongPassphraseError,
)
from snapfs.formats import limits, objects
from snapfs.formats.slots import Derivation
from snapfs.jobs.init import InitOptions, init
from snapfs.jobs.keys import (
    add_passphrase,
    add_recovery_code,
    change_passphrase,
    list_slots,
    remove_slot,
)
from snapfs.repository.keys import Keys, read_key_objects, unlock
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.faulty import Fault, FaultyStore

CHEAP = Derivation(19 * 1024, 1, 1)


@dataclass
class Story:
    memory: MemoryStore
    store: FaultyStore
    keys: Keys
    world: World
    recovery_code: str

    async def opens(self, secret: str) -> bool:
        try:
            keys = await unlock(self.memory, await read_key_objects(self.memory), secret)
        except WrongPassphraseError:
            return False
        assert keys.master == self.keys.master
        return True

    async def add(self, passphrase: str, label: str = "more") -> str:
        return await add_passphrase(self.store, self.keys, passphrase, label, self.world, CHEAP)


def clock() -> Callable[[], int]:
    """Each look at it is a minute later."""
    now = 1_700_000_000 * 10**9

    def tick() -> int:
        nonlocal now
        now += 60 * 10**9
        return now

    return tick


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    memory, world = MemoryStore(), World(now_ns=clock())
    options = InitOptions(
        passphrase="first", host="web", derivation=CHEAP, single_writer=True, label="mine"
    )
    created = await init(memory, options, world)
    keys = await unlock(memory, await read_key_objects(memory), "first")
    yield Story(memory, FaultyStore(memory), keys, world, created.recovery_code)


async def test_slots_are_listed_in_order_of_their_making(story: Story) -> None:
    id_ = await story.add("second")
    found = await list_slots(story.store, story.keys)
    assert [(slot.label, slot.kind, slot.current) for slot in found] == [
        ("mine", "passphrase", True),
        ("recovery code", "recovery", False),
        ("more", "passphrase", False),
    ]
    assert found[2].id == id_
    assert await story.opens("second")
    assert not await story.opens("third")


async def test_a_recovery_code_is_added(story: Story) -> None:
    _, code = await add_recovery_code(story.store, story.keys, "vault", story.world, CHEAP)
    assert code != story.recovery_code
    assert await story.opens(code)
    assert await story.opens(story.recovery_code)


async def test_a_removed_slot_opens_no_more(story: Story) -> None:
    id_ = await story.add("second")
    assert (await remove_slot(story.store, story.keys, id_[:10])).label == "more"
    assert not await story.opens("second")
    assert await story.opens("first")


@pytest.mark.parametrize("prefix", ["", "zz"])
async def test_what_names_no_slot_or_several_removes_none(story: Story, prefix: str) -> None:
    before = dict(story.memory.objects)
    with pytest.raises(UsageError, match="no key slots have") as raised:
        await remove_slot(story.store, story.keys, prefix)
    assert "key list" in raised.value.hint
    for slot in "0123456789abcdef":
        world = World(random=lambda count, slot=slot: bytes.fromhex(slot + "0") + bytes(count - 1))
        await add_passphrase(story.store, story.keys, slot, slot, world, CHEAP)
    world = World(random=lambda count: bytes.fromhex("01") + bytes(count - 1))
    await add_passphrase(story.store, story.keys, "x", "x", world, CHEAP)
    with pytest.raises(UsageError, match=r"\d key slots have"):
        await remove_slot(story.store, story.keys, "0")
    assert set(before) <= set(story.memory.objects)


async def test_the_last_slot_stays(story: Story) -> None:
    first, recovery = await list_slots(story.store, story.keys)
    await remove_slot(story.store, story.keys, recovery.id)
    story.memory.objects[objects.slot("ff")] = b"no slot"
    with pytest.raises(UsageError, match="last key slot") as raised:
        await remove_slot(story.store, story.keys, first.id)
    assert "key add" in raised.value.hint
    assert (await remove_slot(story.store, story.keys, "ff")).damaged
    assert await story.opens("first")


async def test_two_that_remove_at_once_leave_one(story: Story) -> None:
    """Each of them sees two slots, and removes another one."""
    at_once = trio.Event()
    refused = 0

    async def remove(id_: str) -> None:
        nonlocal refused
        try:
            await remove_slot(story.store, story.keys, id_, even_current=True)
        except UsageError:
            refused += 1

    story.store.queue("delete", Fault(wait=at_once), Fault(wait=at_once))
    async with trio.open_nursery() as nursery:
        for slot in await list_slots(story.store, story.keys):
            nursery.start_soon(remove, slot.id)
        await wait_all_tasks_blocked()
        at_once.set()
    story.store.assert_all_hit()
    opened = [secret for secret in ("first", story.recovery_code) if await story.opens(secret)]
    assert len(opened) == refused > 0


async def test_a_slot_comes_back_where_nobody_can_say_whether_it_was_the_last(story: Story) -> None:
    (passphrase,) = [
        slot for slot in await list_slots(story.store, story.keys) if slot.kind == "passphrase"
    ]
    story.store.queue("list", Fault(), Fault(before=StoreUnavailableError("down")))
    with pytest.raises(StoreUnavailableError):
        await remove_slot(story.store, story.keys, passphrase.id, even_current=True)
    story.store.assert_all_hit()
    assert await story.opens("first")
    await remove_slot(story.store, story.keys, passphrase.id, even_current=True)
    assert not await story.opens("first")


async def test_a_damaged_slot_is_shown_and_keeps_nobody_out(story: Story) -> None:
    story.memory.objects[objects.slot("00")] = b"{}"
    story.memory.objects[objects.slot("01")] = bytes(limits.SMALL + 1)
    found = await list_slots(story.store, story.keys)
    assert [slot.id for slot in found if slot.damaged] == ["00"]
    assert await story.opens("first")
    with pytest.raises(WrongPassphraseError, match="none of the 2 key slots; 1 slots cannot"):
        await unlock(story.store, await read_key_objects(story.store), "wrong")


async def test_there_is_a_limit_and_changing_works_at_it(story: Story) -> None:
    for number in range(limits.KEY_SLOTS - 2):
        await story.add(f"number {number}")
    with pytest.raises(UsageError, match="32 key slots"):
        await story.add("one too many")
    await change_passphrase(story.store, story.keys, "changed", story.world, CHEAP)
    assert await story.opens("changed")
    assert not await story.opens("first")
    assert len(await list_slots(story.store, story.keys)) == limits.KEY_SLOTS


async def test_a_changed_passphrase_keeps_its_label(story: Story) -> None:
    await change_passphrase(story.store, story.keys, "changed", story.world, CHEAP)
    labels = [slot.label for slot in await list_slots(story.store, story.keys)]
    assert sorted(labels) == ["mine", "recovery code"]
    assert await story.opens("changed")
    assert not await story.opens("first")


async def test_whoever_came_with_a_recovery_code_keeps_it(story: Story) -> None:
    found = await read_key_objects(story.store)
    keys = await unlock(story.store, found, story.recovery_code)
    await change_passphrase(story.store, keys, "remembered again", story.world, CHEAP)
    for secret in ("first", "remembered again", story.recovery_code):
        assert await story.opens(secret)


@pytest.mark.parametrize("verb", ["put", "delete"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_broken_off_while_changing_one_of_them_opens(
    story: Story, verb: str, moment: str
) -> None:
    story.store.queue(verb, Fault(**{moment: StoreError("killed")}))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="killed"):
        await change_passphrase(story.store, story.keys, "changed", story.world, CHEAP)
    story.store.assert_all_hit()
    opened = {secret for secret in ("first", "changed") if await story.opens(secret)}
    expected = {
        ("put", "before"): {"first"},
        ("put", "after"): {"first", "changed"},
        ("delete", "before"): {"first", "changed"},
        ("delete", "after"): {"changed"},
    }
    assert opened == expected[verb, moment]


async def test_nothing_secret_is_in_what_is_printed(story: Story, tmp_path: Path) -> None:
    text = repr(story.keys)
    assert repr(story.keys.master)[2:-1] not in text
    assert "epochs" not in text
    assert "block_id" not in text
