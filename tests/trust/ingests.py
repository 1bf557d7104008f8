"""Killed: what adds to the log and what follows it."""

from snapfs.jobs.tag import tag
from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.trust.place import (
    FIRST_HOST,
    SECOND_HOST,
    Place,
    Scene,
    change,
    goes_on,
    new_repository,
    snapshots_hold,
    two_snapshots,
)


async def _nothing_yet(place: Place) -> None:
    async with new_repository(place):
        pass


async def _one_snapshot(place: Place) -> None:
    async with new_repository(place) as host:
        await host.capture()
    change(place.tree)


async def _ingest(place: Place, store: Store) -> None:
    async with place.machine(store) as host:
        await host.ingest()


async def _ingest_by_steps(place: Place, store: Store) -> None:
    """Progress is committed again and again."""
    async with place.machine(store) as host:
        await host.ingest(progress_rows=8)


async def _another_host_behind(place: Place) -> None:
    async with new_repository(place) as host, place.machine(host=SECOND_HOST) as other:
        await host.capture()
        await other.repository.catch_up_all()
        change(place.tree)
        await host.capture(progress_rows=8)


async def _catch_up(place: Place, store: Store) -> None:
    async with place.machine(store, SECOND_HOST) as host:
        await host.repository.catch_up_all()


async def _both_go_on(place: Place) -> None:
    await goes_on(place, SECOND_HOST)
    async with place.machine() as host:
        await snapshots_hold(place, host)
        await host.capture()


async def _tag(place: Place, store: Store) -> None:
    async with place.machine(store) as host:
        await host.repository.catch_up()
        snapshots = list(host.repository.snapshots.stream())
        await tag(host.repository, snapshots, ["new"], ["second"], FIRST_HOST)


async def _tagged_or_not(place: Place) -> None:
    async with place.machine() as host:
        await host.repository.catch_up()
        found = [snapshot.tags for snapshot in host.repository.snapshots.stream()]
        # All of it is one record.
        assert found in ([(), ("second",)], [("new",), ("new",)])
    await _tag(place, ThreadedStore(Files(place.store)))
    await goes_on(place)


SCENES = {
    "first ingest": Scene(prepare=_nothing_yet, job=_ingest, check=goes_on),
    "second ingest": Scene(prepare=_one_snapshot, job=_ingest, check=goes_on),
    "ingest with progress": Scene(prepare=_one_snapshot, job=_ingest_by_steps, check=goes_on),
    "catching up": Scene(prepare=_another_host_behind, job=_catch_up, check=_both_go_on),
    "a new host": Scene(prepare=two_snapshots, job=_catch_up, check=_both_go_on),
    "tag": Scene(prepare=two_snapshots, job=_tag, check=_tagged_or_not),
}
