"""Creating a repository: marker → key slots → ring → first record, which makes it one.

Interrupted before the first record, nothing can have been stored: another `init` with the same
passphrase goes on where it stopped. Of two that run at once, the ring decides: it is put if absent.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass, field

from snapfs import __version__
from snapfs.errors import (
    FormatError,
    NoRepositoryError,
    ObjectExistsError,
    ObjectNotFoundError,
    RepositoryExistsError,
    StoreError,
    WrongPassphraseError,
)
from snapfs.formats import marker, objects, records, ring, slots
from snapfs.formats.records import Head, Init
from snapfs.formats.ring import Ring
from snapfs.formats.slots import Derivation, SlotKind
from snapfs.jobs.keys import new_slot_id
from snapfs.model.chunker import STANDARD, Chunker
from snapfs.model.identity import RepositoryId
from snapfs.repository.keys import KeyObjects, read_key_objects
from snapfs.repository.repository import World
from snapfs.stores.base import Store
from snapfs.stores.probe import honours_put_if_absent

_RING = objects.ring(1)


@dataclass(frozen=True, slots=True)
class InitOptions:
    """How a repository is created."""

    passphrase: str
    host: str
    label: str = "first"
    single_writer: bool = False
    "accept a store that does not honour put-if-absent"
    chunker: Chunker = STANDARD
    derivation: Derivation = field(default_factory=Derivation)


@dataclass(frozen=True, slots=True)
class Created:
    """A new repository."""

    repository: RepositoryId
    recovery_code: str
    "to be shown once; it is stored nowhere"


async def init(store: Store, options: InitOptions, world: World) -> Created:
    """Create a repository in `store`.

    Raises RepositoryExistsError where there is one, WrongPassphraseError where an interrupted
    creation was begun with another passphrase, StoreError, also where the store does not honour
    put-if-absent.
    """
    if await _first_record(store):
        raise RepositoryExistsError(
            f"{store.url}: there is a repository here already",
            hint="'snapfs ingest' stores into it; give another place to create a new one",
        )
    if not options.single_writer and not await honours_put_if_absent(store, secrets.token_hex(8)):
        raise StoreError(
            f"{store.url}: this store overwrites what a conditional put should have left alone",
            hint="two hosts could overwrite each other's commits. With --single-writer it may be "
            "used, as long as one host alone ever writes to it",
        )
    found = await _marked(store, world)
    master = await _slot(store, found, options, world)
    code = slots.generate_code(world.random)
    await _put_slot(store, found, master, code, SlotKind.RECOVERY, "recovery code", options, world)
    opened = await _ring(store, found.repository, master, world)
    await _publish_first(store, found.repository, opened, options, world)
    return Created(found.repository, code)


async def _first_record(store: Store) -> bool:
    try:
        await store.get(objects.record(records.FIRST))
    except ObjectNotFoundError:
        return False
    return True


async def _marked(store: Store, world: World) -> KeyObjects:
    """Put the marker, or find the one of an interrupted creation."""
    try:
        return await read_key_objects(store)
    except NoRepositoryError:
        pass
    data = marker.encode(RepositoryId(world.random(16)))
    with suppress(ObjectExistsError):  # another was faster; both go on at the same repository
        await store.put(objects.MARKER, data, if_absent=True)
    return await read_key_objects(store)


async def _slot(store: Store, found: KeyObjects, options: InitOptions, world: World) -> bytes:
    """The master key: a new one in a new slot, or that of an interrupted creation."""
    for slot in found.slots:
        master = slots.open_slot(slot.slot, options.passphrase, found.marker)
        if master is not None:
            return master
    if found.slots:
        raise WrongPassphraseError(
            f"{store.url}: a creation was begun here with another passphrase, and interrupted",
            hint="give the same passphrase; or, as nothing is stored in it yet, remove "
            "what is there and begin anew",
        )
    master = world.random(32)
    await _put_slot(
        store, found, master, options.passphrase, SlotKind.PASSPHRASE, options.label, options, world
    )
    return master


async def _put_slot(
    store: Store, found: KeyObjects, master: bytes, secret: str, kind: SlotKind, label: str,
    options: InitOptions, world: World,
) -> None:  # fmt: skip
    data = slots.create(
        master,
        secret,
        found.marker,
        kind=kind,
        label=label,
        created=world.now_ns() // 10**9,
        derivation=options.derivation,
        random=world.random,
    )
    await store.put(objects.slot(new_slot_id(world)), data, if_absent=True)


async def _ring(store: Store, repository: RepositoryId, master: bytes, world: World) -> Ring:
    """Put the ring, or open the one of an interrupted creation."""
    generated = ring.generate(world.random)
    data = ring.encode(generated, repository, _RING, master, world.random)
    try:
        await store.put(_RING, data, if_absent=True)
    except ObjectExistsError:
        try:
            return ring.decode(await store.get(_RING), repository, _RING, master)
        except FormatError as error:
            raise RepositoryExistsError(
                f"{store.url}: another 'snapfs init' got here first",
                hint="use the repository that it made, or another place",
            ) from error
    return generated


async def _publish_first(
    store: Store, repository: RepositoryId, opened: Ring, options: InitOptions, world: World
) -> None:
    """Put the first record AFTER all that opening the repository needs is durable."""
    chunker = options.chunker
    body = Init(
        repository=repository,
        ring=_RING,
        chunker=(chunker.name, chunker.minimum, chunker.average, chunker.maximum),
    )
    head = Head(
        records.NO_HASH,
        world.random(16),
        options.host,
        world.now_ns(),
        f"snapfs {__version__}",
        body,
    )
    data = records.encode(head, records.FIRST, repository, opened.epoch_keys(), world.random)
    try:
        await store.put(objects.record(records.FIRST), data, if_absent=True)
    except ObjectExistsError:
        stored = await store.get(objects.record(records.FIRST))
        records.decode(stored, records.FIRST, repository, opened.epoch_keys())
