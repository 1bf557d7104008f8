"""Killed: giving back, and taking away."""

import os
from pathlib import Path

from snapfs.formats import objects, records
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions
from snapfs.jobs.restore import RestoreOptions, restore
from snapfs.jobs.restore.directory import TEMPORARY
from snapfs.model.identity import Attempt
from snapfs.model.pruning import PrunePolicy
from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.jobs.checking import assert_sound
from tests.manifest import manifest_of_tree
from tests.trust.place import (
    FIRST_HOST,
    Place,
    Scene,
    change,
    goes_on,
    new_repository,
    two_snapshots,
)

_TIGHT = PrunePolicy(max_unused=0.0)

# --- restore


async def _restore(place: Place, store: Store) -> None:
    async with place.machine(store) as host, host.repository.reading() as reader:
        await host.repository.catch_up()
        *_, snapshot = host.repository.snapshots.stream()
        options = RestoreOptions(target=bytes(place.target), path=bytes(place.tree))
        report = await restore(host.repository, reader, snapshot, options, Progress())
        assert report.troubles == ()


async def _old_files_in_the_way(place: Place) -> None:
    await two_snapshots(place)
    for name in ("a/small1", "a/renamed", "b/larger"):
        (place.target / name).parent.mkdir(parents=True, exist_ok=True)
        (place.target / name).write_bytes(b"old content of the target")


async def _whole_files_alone(place: Place) -> None:
    """Under its own name each file is whole: as it was before, or as it shall be."""
    wanted = manifest_of_tree(place.tree)
    for path in sorted(place.target.rglob("*")) if place.target.exists() else ():
        name = bytes(path.relative_to(place.target))
        if path.is_file() and not path.is_symlink() and TEMPORARY not in name:
            data = path.read_bytes()
            assert data in (b"old content of the target", (place.tree / path_of(name)).read_bytes())
            assert name in wanted
    await _restore(place, ThreadedStore(Files(place.store)))
    # The second one also takes away what the first one left under temporary names.
    assert manifest_of_tree(place.target) == wanted
    await goes_on(place)


def path_of(name: bytes) -> Path:
    """A path of a manifest."""
    return Path(os.fsdecode(name))


# --- prune


async def _much_to_take(place: Place) -> None:
    """One of three snapshots is forgotten, so that packs are useless, or useless in part."""
    async with new_repository(place) as host:
        first = (await host.capture()).snapshot
        change(place.tree)
        await host.capture()
        (place.tree / "c" / "1").write_bytes(os.urandom(40_000))
        await host.capture()
        assert first is not None
        body = records.Forget((first.id,))
        await host.repository.publish(Attempt(os.urandom(16)), lambda: body, FIRST_HOST)
        del host.kept.manifests[first.number]


async def _condemned_already(place: Place) -> None:
    await _much_to_take(place)
    await _prune(place, ThreadedStore(Files(place.store)), wait_ns=DAY_NS)


async def _prune(place: Place, store: Store, *, wait_ns: int = 0) -> None:
    options = PruneOptions(
        host=FIRST_HOST,
        policy=_TIGHT,
        condemned_for_ns=wait_ns,
        forgotten_for_ns=0,
        orphaned_for_ns=0,
    )
    async with place.machine(store) as host:
        await prune(host.repository, options, Progress())


async def _condemn(place: Place, store: Store) -> None:
    await _prune(place, store, wait_ns=DAY_NS)


async def _pruned_in_the_end(place: Place) -> None:
    """All that the prune was to take goes with the next one, and nothing else."""
    await goes_on(place)
    # What the first run finds left over, it condemns; the second deletes what that one copied.
    for _ in range(2):
        await _prune(place, ThreadedStore(Files(place.store)))
    async with place.machine() as host:
        report = await assert_sound(host.repository)
        assert report.orphans is not None
        assert report.orphans.objects == 0
        await place.recall().check(host.repository, below=place.tree)
        used = host.repository.db.rows(
            "SELECT name FROM pack WHERE name NOT IN (SELECT name FROM fate)"
        )
        stored = [item.name async for item in host.repository.store.list(objects.PACKS)]
        assert stored == sorted(objects.pack(name) for (name,) in used)


SCENES = {
    "restore": Scene(
        prepare=_old_files_in_the_way, job=_restore, check=_whole_files_alone, names=True
    ),
    "prune that condemns": Scene(prepare=_much_to_take, job=_condemn, check=_pruned_in_the_end),
    "prune that deletes": Scene(prepare=_condemned_already, job=_prune, check=_pruned_in_the_end),
}
