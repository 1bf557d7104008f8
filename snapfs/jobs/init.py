"""Creating a repository: marker → key slots → ring → first record, which makes it one.

Interrupted before the first record, nothing can have been stored: another `init` with the same
passphrase goes on where it stopped. Of two that run at once, the ring decides: it is put if absent,
and who comes second takes his key slots back.
"""

import secrets
from dataclasses import dataclass, field
from functools import partial

import trio

from snapfs import __version__
from snapfs.errors import (
    FormatError,
    NoRepositoryError,
    ObjectExistsError,
    ObjectNotFoundError,
    PutConflictError,
    RepositoryExistsError,
    StoreError,
    StoreUnavailableError,
    WrongPassphraseError,
)
from snapfs.formats import marker, objects, records, ring, slots
from snapfs.formats.records import Head, Init
from snapfs.formats.ring import Ring
from snapfs.formats.slots import Derivation, KeySlot, SlotKind
from snapfs.jobs.keys import new_slot_id
from snapfs.model.chunker import STANDARD, Chunker
from snapfs.model.identity import RepositoryId
from snapfs.repository.keys import KeyObjects, open_ring, read_key_objects
from snapfs.repository.world import World
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
    if await _has_records(store):
        raise RepositoryExistsError(
            f"{store.url}: there is a repository here already",
            hint="'snapfs ingest' stores into it; give another place to create a new one. If its "
            "recovery code was never shown, 'snapfs key add --recovery' makes another",
        )
    if not options.single_writer and not await honours_put_if_absent(store, secrets.token_hex(8)):
        raise StoreError(
            f"{store.url}: this store overwrites what a conditional put should have left alone",
            hint="two hosts could overwrite each other's commits. With --single-writer it may be "
            "used, as long as one host alone ever writes to it",
        )
    creation = _Creation(store, options, world, await _marked(store, world))
    master = await creation.master()
    code = slots.generate_code(world.random)
    await creation.put_slot(master, code, SlotKind.RECOVERY, "recovery code")
    opened = await creation.ring(master)
    await creation.publish_first(opened)
    return Created(creation.found.repository, code)


async def _has_records(store: Store) -> bool:
    async for _ in store.list(objects.LOG):
        return True
    return await _find(store, objects.record(records.FIRST)) is not None  # a listing may lag


async def _marked(store: Store, world: World) -> KeyObjects:
    """Put the marker, or find the one of an interrupted creation."""
    try:
        return await read_key_objects(store)
    except NoRepositoryError:
        # Where another is faster, both go on at the same repository.
        await _create(store, objects.MARKER, marker.encode(RepositoryId(world.random(16))))
    return await read_key_objects(store)


@dataclass(slots=True)
class _Creation:
    """A creation whose marker is there."""

    store: Store
    options: InitOptions
    world: World
    found: KeyObjects
    _put: list[str] = field(default_factory=list)
    "key slots that this run has put"

    async def master(self) -> bytes:
        """The master key: a new one in a new slot, or that of an interrupted creation."""
        masters = [master for slot in self.found.slots if (master := await self._open(slot.slot))]
        if masters:
            return await self._with_ring(masters)
        if self.found.slots:
            raise WrongPassphraseError(
                f"{self.store.url}: a creation was begun here with another passphrase, and "
                "interrupted",
                hint="give the same passphrase; or, as nothing is stored in it yet, remove "
                "what is there and begin anew",
            )
        master = self.world.random(32)
        passphrase, label = self.options.passphrase, self.options.label
        await self.put_slot(master, passphrase, SlotKind.PASSPHRASE, label)
        return master

    async def _open(self, slot: KeySlot) -> bytes | None:
        return await trio.to_thread.run_sync(
            slots.open_slot, slot, self.options.passphrase, self.found.marker
        )

    async def _with_ring(self, masters: list[bytes]) -> bytes:
        """Of several creations with this passphrase, the one that got as far as the ring."""
        for master in masters:
            try:
                await open_ring(self.store, self.found, master)
            except FormatError:
                continue
            return master
        return masters[0]

    async def put_slot(self, master: bytes, secret: str, kind: SlotKind, label: str) -> None:
        create = partial(
            slots.create,
            master,
            secret,
            self.found.marker,
            kind=kind,
            label=label,
            created=self.world.now_ns() // 10**9,
            derivation=self.options.derivation,
            random=self.world.random,
        )
        name = objects.slot(new_slot_id(self.world))
        await _create(self.store, name, await trio.to_thread.run_sync(create))
        self._put.append(name)

    async def ring(self, master: bytes) -> Ring:
        """Put the ring, or open the one of an interrupted creation."""
        repository = self.found.repository
        generated = ring.generate(self.world.random)
        data = ring.encode(generated, repository, _RING, master, self.world.random)
        try:
            return ring.decode(await _create(self.store, _RING, data), repository, _RING, master)
        except FormatError as error:
            for name in self._put:
                await self.store.delete(name)
            raise RepositoryExistsError(
                f"{self.store.url}: another 'snapfs init' got here first",
                hint="use the repository that it made, or another place",
            ) from error

    async def publish_first(self, opened: Ring) -> None:
        """Put the first record AFTER all that opening the repository needs is durable."""
        repository, keys = self.found.repository, opened.epoch_keys()
        head = Head(
            records.NO_HASH,
            self.world.random(16),
            self.options.host,
            self.world.now_ns(),
            f"snapfs {__version__}",
            _body(repository, self.options.chunker),
        )
        data = records.encode(head, records.FIRST, repository, keys, self.world.random)
        stored = await _create(self.store, objects.record(records.FIRST), data)
        records.decode(stored, records.FIRST, repository, keys)


def _body(repository: RepositoryId, chunker: Chunker) -> Init:
    sizes = (chunker.name, chunker.minimum, chunker.average, chunker.maximum)
    return Init(repository=repository, ring=_RING, chunker=sizes)


async def _create(store: Store, name: str, data: bytes) -> bytes:
    """Put an object where there is none of its name; what is there then.

    Raises StoreError, where the put had no effect or that cannot be learned.
    """
    try:
        await store.put(name, data, if_absent=True)
    except (ObjectExistsError, PutConflictError, StoreUnavailableError):
        stored = await _find(store, name)
        if stored is None:
            raise
        return stored
    return data


async def _find(store: Store, name: str) -> bytes | None:
    try:
        return await store.get(name)
    except ObjectNotFoundError:
        return None
