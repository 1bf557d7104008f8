"""snapfs key: what opens the repository."""

import click
import msgspec

from snapfs.cli import output, render, settings
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, global_options
from snapfs.cli.passphrase import obtain_new
from snapfs.cli.session import Session, begin
from snapfs.formats.slots import SlotKind
from snapfs.jobs import keys
from snapfs.jobs.keys import SlotInfo
from snapfs.model import times
from snapfs.model.attributes import NANOSECONDS

_STILL_OPENS = (
    "Whoever kept a copy of the old key slot and knows its passphrase can still open the "
    "repository:\nonly keys that are made anew (rotation) end that."
)


class SlotJson(msgspec.Struct):
    """A key slot under --json."""

    id: str
    kind: str
    label: str
    created: str
    current: bool
    damaged: bool


class AddedJson(msgspec.Struct, omit_defaults=True):
    """A new key slot under --json."""

    id: str
    recovery_code: str | None = None


class RemovedJson(msgspec.Struct):
    """A removed key slot under --json."""

    removed: str


@click.group("key")
@global_options
def command() -> None:
    """List, add, remove and change what opens the repository.

    Each passphrase and each recovery code has a slot of its own. The new passphrase of 'add' and
    'passwd' is asked for twice, unless SNAPFS_NEW_PASSPHRASE or SNAPFS_NEW_PASSPHRASE_FILE gives
    it.
    """


@command.command("list")
@global_options
@click.pass_obj
def list_(given: Globals) -> None:
    """List the key slots; * marks the one that was just used."""
    session = begin(given)
    found = run(lambda: _list(session))
    if given.json:
        output.say_json([_json_of(slot) for slot in found])
        return
    titles = ("", "ID", "KIND", "CREATED", "LABEL")
    rows = [_row(slot) for slot in found]
    for line in render.table(titles, rows, bold=output.on_terminal()):
        output.say(line)


@command.command("add")
@click.option("--recovery", is_flag=True, help="Make a recovery code instead of a passphrase.")
@click.option("--label", help="What the key is called.")
@global_options
@click.pass_obj
def add(given: Globals, recovery: bool, label: str | None) -> None:
    """Let another passphrase, or a recovery code, open the repository."""
    session = begin(given)
    added = run(lambda: _add(session, recovery, label))
    if given.json:
        output.say_json(added)
        return
    output.say(f"added key {added.id}")
    if added.recovery_code is not None:
        output.say(f"\nRecovery code, shown only now:\n\n    {added.recovery_code}")


@command.command("remove")
@click.argument("id_", metavar="ID")
@click.option("--even-current", is_flag=True, help="ID may be the key that you use now.")
@global_options
@click.pass_obj
def remove(given: Globals, id_: str, even_current: bool) -> None:
    """Remove a key slot; the beginning of its ID will do."""
    session = begin(given)
    slot, has_code = run(lambda: _remove(session, id_, even_current))
    if given.json:
        output.say_json(RemovedJson(slot.id))
    else:
        output.say(f"removed key {slot.id} {slot.label}\n{_STILL_OPENS}")
        if not has_code:
            output.say("there is no recovery code: 'snapfs key add --recovery' makes one")


@command.command("passwd")
@global_options
@click.pass_obj
def passwd(given: Globals) -> None:
    """Change the passphrase that the repository was opened with.

    Opened with a recovery code, this adds a passphrase and the code stays.
    """
    session = begin(given)
    id_ = run(lambda: _passwd(session))
    if given.json:
        output.say_json(AddedJson(id_))
    else:
        output.say(f"the new passphrase is key {id_}\n{_STILL_OPENS}")


async def _list(session: Session) -> list[SlotInfo]:
    async with session.repository() as repository:
        return await keys.list_slots(repository.store, repository.keys)


async def _add(session: Session, recovery: bool, label: str | None) -> AddedJson:
    async with session.repository() as repository:
        store, opened, world = repository.store, repository.keys, repository.world
        if recovery:
            text = label or "recovery code"
            return AddedJson(*await keys.add_recovery_code(store, opened, text, world))
        secret = obtain_new(settings.new_passphrase(session.machine))
        text = label or "passphrase"
        return AddedJson(await keys.add_passphrase(store, opened, secret, text, world))


async def _remove(session: Session, id_: str, even_current: bool) -> tuple[SlotInfo, bool]:
    """The slot that was removed, and whether a recovery code is left."""
    async with session.repository() as repository:
        store, opened = repository.store, repository.keys
        removed = await keys.remove_slot(store, opened, id_, even_current=even_current)
        left = await keys.list_slots(store, opened)
        return removed, any(slot.kind == SlotKind.RECOVERY for slot in left)


async def _passwd(session: Session) -> str:
    async with session.repository() as repository:
        secret = obtain_new(settings.new_passphrase(session.machine))
        return await keys.change_passphrase(
            repository.store, repository.keys, secret, repository.world
        )


def _row(slot: SlotInfo) -> tuple[str, ...]:
    if slot.damaged:
        return ("", slot.id, "damaged", "", "")
    created = render.local_time(slot.created * NANOSECONDS)
    return ("*" if slot.current else "", slot.id, slot.kind, created, slot.label)


def _json_of(slot: SlotInfo) -> SlotJson:
    created = times.iso(slot.created * NANOSECONDS)
    return SlotJson(slot.id, slot.kind, slot.label, created, slot.current, slot.damaged)
