"""Killed: creating a repository, and changing who can open it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from snapfs.errors import RepositoryExistsError, WrongPassphraseError
from snapfs.formats import objects, records
from snapfs.jobs import keys
from snapfs.jobs.ingest.job import ingest
from snapfs.jobs.ingest.options import IngestOptions
from snapfs.jobs.init import InitOptions, init
from snapfs.jobs.progress import Progress
from snapfs.repository.repository import Repository, open_repository
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.formats.samples import CHEAP
from tests.jobs.checking import assert_sound
from tests.manifest import manifest_of_snapshot, manifest_of_tree
from tests.trust.place import Place, Scene, populate

_OLD, _NEW = "the old passphrase", "the new passphrase"
_LABEL = "to be removed"


async def _tree_alone(place: Place) -> None:
    populate(place.tree)


async def _init(place: Place, store: Store) -> None:
    await init(store, InitOptions(_OLD, "host", derivation=CHEAP), World())


@asynccontextmanager
async def _opened(
    place: Place, passphrase: str, store: Store | None = None
) -> AsyncIterator[Repository]:
    directories = Directories(place.states / "state", place.states / "cache")
    store = store or ThreadedStore(Files(place.store))
    async with open_repository(store, directories, lambda: passphrase) as repository:
        yield repository


async def _works(place: Place, passphrase: str) -> None:
    """Opened with it, the repository takes a snapshot, gives it back, and is sound."""
    async with _opened(place, passphrase) as repository:
        options = IngestOptions("host", "source", (bytes(place.tree),))
        report = await ingest(repository, options, Progress())
        assert report.snapshot is not None
        async with repository.reading() as reader:
            found = await manifest_of_snapshot(
                repository, reader, report.snapshot, below=place.tree
            )
        assert found == manifest_of_tree(place.tree)
        await assert_sound(repository)


async def _created(place: Place) -> None:
    with suppress(RepositoryExistsError):  # the kill came after the first record
        await _init(place, ThreadedStore(Files(place.store)))
    listed = [item.name async for item in ThreadedStore(Files(place.store)).list(objects.LOG)]
    assert listed == [objects.record(records.FIRST)]
    await _works(place, _OLD)


async def _old_alone(place: Place) -> None:
    populate(place.tree)
    await _init(place, ThreadedStore(Files(place.store)))
    async with _opened(place, _OLD) as repository:
        await keys.add_passphrase(
            repository.store, repository.keys, _LABEL, _LABEL, World(), derivation=CHEAP
        )
    await _works(place, _OLD)


async def _add(place: Place, store: Store) -> None:
    async with _opened(place, _OLD, store) as repository:
        await keys.add_passphrase(store, repository.keys, _NEW, "new", World(), derivation=CHEAP)


async def _change(place: Place, store: Store) -> None:
    async with _opened(place, _OLD, store) as repository:
        await keys.change_passphrase(store, repository.keys, _NEW, World(), derivation=CHEAP)


async def _remove(place: Place, store: Store) -> None:
    async with _opened(place, _OLD, store) as repository:
        (doomed,) = [
            slot.id for slot in await keys.list_slots(store, repository.keys)
            if slot.label == _LABEL
        ]  # fmt: skip
        await keys.remove_slot(store, repository.keys, doomed)


async def _opens(place: Place, passphrase: str) -> bool:
    try:
        async with _opened(place, passphrase):
            return True
    except WrongPassphraseError:
        return False


async def _old_opens(place: Place) -> None:
    await _works(place, _OLD)
    await _add(place, ThreadedStore(Files(place.store)))
    await _works(place, _NEW)


async def _old_or_new_opens(place: Place) -> None:
    if await _opens(place, _OLD):
        await _change(place, ThreadedStore(Files(place.store)))
    assert not await _opens(place, _OLD)
    await _works(place, _NEW)


async def _others_open(place: Place) -> None:
    if await _opens(place, _LABEL):
        await _remove(place, ThreadedStore(Files(place.store)))
    assert not await _opens(place, _LABEL)
    await _works(place, _OLD)


SCENES = {
    "init": Scene(prepare=_tree_alone, job=_init, check=_created),
    "key add": Scene(prepare=_old_alone, job=_add, check=_old_opens),
    "key passwd": Scene(prepare=_old_alone, job=_change, check=_old_or_new_opens),
    "key remove": Scene(prepare=_old_alone, job=_remove, check=_others_open),
}
