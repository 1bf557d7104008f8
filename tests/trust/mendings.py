"""Killed: putting back what the store lost, and going on without it."""

from dataclasses import replace

from snapfs.formats import objects
from snapfs.model.identity import Commit
from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.jobs.checking import assert_sound
from tests.jobs.repairing import QUICK, repaired
from tests.trust.place import FIRST_HOST, SECOND_HOST, Place, Scene, goes_on, two_snapshots

_GIVE_UP = replace(QUICK, give_up=True)
_LOST = Commit(2)
"the record of the first snapshot"


async def _lost(place: Place) -> None:
    """A record is gone, and so are names of the snapshot behind it."""
    await two_snapshots(place)
    async with place.machine() as host:
        body = host.repository.replica.head(Commit(_LOST + 1)).body
        names = [objects.record(_LOST), objects.part(body.entries[0].name)]  # type: ignore[union-attr]
    for name in names:
        (place.store / name).unlink()


async def _put_back(place: Place, store: Store) -> None:
    assert (await repaired(store, place.states / FIRST_HOST, QUICK)).sound


async def _all_is_back(place: Place) -> None:
    await _put_back(place, ThreadedStore(Files(place.store)))
    await goes_on(place)


async def _give_up(place: Place, store: Store) -> None:
    assert (await repaired(store, place.states / SECOND_HOST, _GIVE_UP)).sound


async def _goes_on_without(place: Place) -> None:
    """Another repair ends it, and what is captured from then on is there."""
    store = ThreadedStore(Files(place.store))
    await _give_up(place, store)
    async with place.machine(host=SECOND_HOST) as host:
        await host.repository.catch_up_all()
        assert list(host.repository.snapshots.stream()) == []
        await host.capture()
        await assert_sound(host.repository)
        await host.kept.check(host.repository, below=place.tree)
    # The host that has seen what is given up would still have copies of it.
    assert (await repaired(store, place.states / FIRST_HOST, QUICK)).sound
    async with place.machine() as host:
        await host.capture()
        await assert_sound(host.repository)


SCENES = {
    "repair from copies": Scene(prepare=_lost, job=_put_back, check=_all_is_back),
    "repair that gives up": Scene(prepare=_lost, job=_give_up, check=_goes_on_without),
}
