"""A store that shows an older log, or another: who has seen more says so, and writes nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from snapfs.errors import LogCutError
from snapfs.formats import objects
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import PruneOptions
from snapfs.jobs.tag import tag
from snapfs.model.identity import Commit
from snapfs.repository.repository import open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS
from tests.jobs.checking import checked, put_keys
from tests.jobs.ingesting import Machine, machine
from tests.trust.place import change, populate

Objects = dict[str, bytes]


async def _ingest(host: Machine) -> None:
    await host.ingest()


async def _catch_up(host: Machine) -> None:
    await host.repository.catch_up_all()


async def _tag(host: Machine) -> None:
    snapshots = list(host.repository.snapshots.stream())
    await tag(host.repository, snapshots, ["new"], [], host.host)


async def _prune(host: Machine) -> None:
    await prune(
        host.repository,
        PruneOptions(host="host", condemned_for_ns=0, forgotten_for_ns=0, orphaned_for_ns=0),
        Progress(),
    )


_JOBS = [_ingest, _catch_up, _tag, _prune]


def _shortened(store: MemoryStore, old: Objects) -> None:
    """The storage was put back to what it was."""
    store.objects.clear()
    store.objects.update(old)


def _last_gone(store: MemoryStore, old: Objects) -> None:
    del store.objects[max(_records(store))]


def _middle_gone(store: MemoryStore, old: Objects) -> None:
    """The record that the host has seen last is gone; later ones are there."""
    last = max(_records(store))
    store.objects[objects.record(Commit(len(_records(store)) + 1))] = store.objects[last]
    del store.objects[last]


def _records(store: MemoryStore) -> list[str]:
    return [name for name in store.objects if name.startswith(objects.LOG)]


@pytest.mark.parametrize("damage", [_shortened, _last_gone, _middle_gone])
@pytest.mark.parametrize("job", _JOBS)
async def test_every_host_that_saw_more_stops(
    job: Callable[[Machine], Awaitable[None]],
    damage: Callable[[MemoryStore, Objects], None],
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    await put_keys(store)
    tree = tmp_path / "tree"
    populate(tree)
    async with machine(store, tmp_path / "first", tree) as host:
        await host.capture()
        old = dict(store.objects)
        change(tree)
        await host.capture()
        last = host.repository.replica.tip().number
    async with machine(store, tmp_path / "second", tree) as other:
        await other.repository.catch_up_all()
    damage(store, old)
    for name in ("first", "second"):
        await _stops(store, tmp_path / name, tree, job, last)


async def test_a_log_that_went_on_otherwise(tmp_path: Path) -> None:
    """Whoever wrote into the older log is right there; whoever knew the longer one is not."""
    store = MemoryStore()
    await put_keys(store)
    tree = tmp_path / "tree"
    populate(tree)
    async with machine(store, tmp_path / "first", tree) as host:
        await host.capture()
        old = dict(store.objects)
        await host.capture()
        last = host.repository.replica.tip().number
    _shortened(store, old)
    async with machine(store, tmp_path / "third", tree) as late:
        for _ in range(3):
            await late.capture()
        await late.check()
    for job in _JOBS:
        await _stops(store, tmp_path / "first", tree, job, last)
    async with machine(store, tmp_path / "third", tree) as late:
        await late.capture()


async def test_a_check_says_so_and_does_not_blame_the_data(tmp_path: Path) -> None:
    store = MemoryStore()
    await put_keys(store)
    tree = tmp_path / "tree"
    populate(tree)
    async with machine(store, tmp_path / "first", tree) as host:
        await host.capture()
        old = dict(store.objects)
        await host.capture()
    _shortened(store, old)
    async with _opened(store, tmp_path / "first", tree) as host:
        report = await checked(host.repository)
    assert {problem.kind for problem in report.problems} <= {ProblemKind.LOG, ProblemKind.DATABASE}
    assert not report.sound


@asynccontextmanager
async def _opened(store: MemoryStore, folder: Path, tree: Path) -> AsyncIterator[Machine]:
    """A host as it starts: it has not looked at the log yet."""
    directories = Directories(folder / "state", folder / "cache")
    async with open_view(store, directories, KEYS, World()) as repository:
        yield Machine(repository, tree)


async def _stops(
    store: MemoryStore, folder: Path, tree: Path, job: Callable[[Machine], Awaitable[None]],
    last: Commit,
) -> None:  # fmt: skip
    before = dict(store.objects)
    with pytest.raises(LogCutError, match=f"record {last}"):
        async with _opened(store, folder, tree) as host:
            await job(host)
    assert store.objects == before
