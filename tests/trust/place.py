"""Where a job is killed, and what must hold afterwards whatever the job was."""

import os
import pickle
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.jobs.checking import assert_sound, put_keys
from tests.jobs.ingesting import Machine, machine
from tests.manifest import Kept, manifest_of_tree

FIRST_HOST, SECOND_HOST = "first", "second"


@dataclass(frozen=True, slots=True)
class Place:
    """Store, states of hosts, the tree that they capture, and the target of a restore."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    @property
    def target(self) -> Path:
        return self.root / "target"

    @property
    def states(self) -> Path:
        return self.root / "states"

    def machine(
        self, store: Store | None = None, host: str = FIRST_HOST
    ) -> AbstractAsyncContextManager[Machine]:
        """A host with its state here, whose store may be another than the plain one."""
        store = store or ThreadedStore(Files(self.store))
        return machine(store, self.states / host, self.tree, host=host)

    def remember(self, kept: Kept) -> None:
        """Note snapshots and their manifests, for `recall` in another process."""
        (self.root / "kept").write_bytes(pickle.dumps(kept.manifests))

    def recall(self) -> Kept:
        """The snapshots that were made before the job."""
        path = self.root / "kept"
        return Kept(pickle.loads(path.read_bytes()) if path.exists() else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A job that is killed."""

    prepare: Callable[[Place], Awaitable[None]]
    job: Callable[[Place, Store], Awaitable[None]]
    "run with the store that may end the process"
    check: Callable[[Place], Awaitable[None]]
    "raises AssertionError where something is not as it must be after the job was killed"
    names: bool = False
    "writing files and naming them are moments as well"


def populate(tree: Path) -> None:
    """A small tree with some of everything, and blocks for several packs."""
    for folder in ("a/deep", "b", "gone"):
        (tree / folder).mkdir(parents=True)
    for number in range(6):
        (tree / "a" / f"small{number}").write_bytes(b"%d" % number * (number + 1) * 50)
        (tree / "gone" / f"{number}").write_bytes(b"soon gone %d" % number)
    for name, size in (("a/large", 300_000), ("b/larger", 500_000), ("gone/huge", 200_000)):
        (tree / name).write_bytes(os.urandom(size))
    os.link(tree / "a" / "small1", tree / "b" / "linked")
    os.symlink("nowhere", tree / "a" / "deep" / "link")


def change(tree: Path) -> None:
    """Additions, changes, removals, a rename, and a name less for an inode."""
    shutil.rmtree(tree / "gone")
    (tree / "a" / "large").rename(tree / "a" / "renamed")
    (tree / "a" / "small2").write_bytes(b"changed")
    (tree / "b" / "linked").unlink()
    (tree / "c").mkdir()
    for number in range(6):
        (tree / "c" / f"{number}").write_bytes(os.urandom(40_000))
    with open(tree / "b" / "larger", "ab") as file:
        file.write(os.urandom(100_000))


@asynccontextmanager
async def new_repository(place: Place) -> AsyncIterator[Machine]:
    """A host, the tree as it is at first, and an empty repository. Its snapshots are remembered."""
    populate(place.tree)
    await put_keys(ThreadedStore(Files(place.store)))
    async with place.machine() as host:
        yield host
        place.remember(host.kept)


async def two_snapshots(place: Place) -> None:
    """A repository with the tree as it was at first, and as it is."""
    async with new_repository(place) as host:
        await host.capture()
        change(place.tree)
        await host.capture(tags=("second",))


async def snapshots_hold(place: Place, host: Machine) -> None:
    """Every snapshot reads byte for byte: those from before, and one that the job completed."""
    await host.repository.catch_up_all()
    known = place.recall()
    await known.check(host.repository, below=place.tree)
    now = manifest_of_tree(place.tree)
    for snapshot in host.repository.snapshots.stream():
        if snapshot.number not in known.manifests:
            assert await host.stored(snapshot) == now


async def goes_on(place: Place, host_name: str = FIRST_HOST) -> None:
    """All snapshots hold, the next run completes, and a check finds nothing."""
    async with place.machine(host=host_name) as host:
        await snapshots_hold(place, host)
        host.kept = place.recall()
        await host.capture()
        await host.kept.check(host.repository, below=host.tree)
        await assert_sound(host.repository)
