"""Several hosts and one store, in which what can go wrong does: the world of the random tests."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from snapfs.errors import DeltaVoidError, ObjectExistsError, StoreError
from snapfs.formats import objects, records
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions
from snapfs.jobs.tag import tag
from snapfs.model.identity import Attempt
from snapfs.model.pruning import PrunePolicy
from snapfs.model.snapshot import Snapshot
from snapfs.stores.base import Listed, Store
from snapfs.stores.memory import MemoryStore
from snapfs.stores.paging import Pages
from snapfs.stores.retrying import Retrying
from tests.faulty import Fault, FaultyStore, Verb
from tests.jobs.checking import assert_sound, put_keys
from tests.jobs.ingesting import LATER, Machine, machine
from tests.manifest import Manifest, check_sound, manifest_of_tree

HOSTS = 3
SHARED = HOSTS
"the tree that all hosts capture as one source, beside each host's own"
Faults = Sequence[tuple[Verb, Fault]]


class SlowStore:
    """A store in memory whose listings lag, and where a put may arrive long after its writer left.

    `late` counts down the puts until one is held back; `arrive` lets all of them arrive.
    """

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.lag = 0
        "of how many puts listings do not know"
        self.late = 0
        self.pace: Random | None = None
        "by which calls take turns, where several hosts act at once"
        self._waiting: list[tuple[str, bytes, bool]] = []

    @property
    def url(self) -> str:
        return self.memory.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        await self._take_time()
        return await self.memory.get(name, start=start, length=length)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._take_time()
        self.late -= 1
        if self.late == 0:
            self._waiting.append((name, data, if_absent))
            raise StoreError("the line is dead")
        await self.memory.put(name, data, if_absent=if_absent)

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        unknown = set([*self.memory.objects][-self.lag :]) if self.lag else set()
        found = self.memory.list(prefix, after=after)

        async def next_page() -> Sequence[Listed]:
            # Page by page, and not from a generator: a listing may be left half-way.
            async for item in found:
                if item.name not in unknown:
                    return (item,)
            return ()

        return Pages(next_page)

    async def delete(self, name: str) -> None:
        await self._take_time()
        await self.memory.delete(name)

    async def sweep(self, *, before: float) -> int:
        await self._take_time()
        return await self.memory.sweep(before=before)

    async def aclose(self) -> None:
        """Nothing to release."""

    async def arrive(self) -> None:
        """Let the puts that were held back take effect."""
        for name, data, if_absent in self._waiting:
            try:
                await self.memory.put(name, data, if_absent=if_absent)
            except ObjectExistsError:
                continue
        self._waiting.clear()

    async def _take_time(self) -> None:
        if self.pace is not None:
            await trio.sleep(self.pace.choice((0, 0, 0.001, 0.01)))


class StoppingStore(FaultyStore):
    """Waits before the first record is put, and says so."""

    def __init__(self, store: Store, reached: trio.Event, go_on: trio.Event) -> None:
        super().__init__(store)
        self._reached, self._go_on = reached, go_on

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        if name.startswith(objects.LOG) and not self._reached.is_set():
            self._reached.set()
            await self._go_on.wait()
        await super().put(name, data, if_absent=if_absent)


@dataclass(slots=True)
class Expected:
    """What snapshots must hold, by the tag that each of them gets."""

    manifests: dict[str, tuple[Path, Manifest]] = field(default_factory=dict)
    "of all that were begun"
    made: set[str] = field(default_factory=set)
    "those that must be there"
    forgotten: set[str] = field(default_factory=set)
    "those that may be gone"

    def begin(self, tree: Path) -> str:
        """The tag of a new snapshot of a tree."""
        label = f"t{len(self.manifests)}"
        self.manifests[label] = tree, manifest_of_tree(tree)
        return label

    def begin_again(self, label: str) -> None:
        """The tree has changed before its snapshot was committed."""
        tree, _ = self.manifests[label]
        self.manifests[label] = tree, manifest_of_tree(tree)


def label_of(snapshot: Snapshot) -> str:
    """The tag by which a snapshot is expected."""
    (label,) = (tag for tag in snapshot.tags if tag[0] == "t")
    return label


@dataclass(slots=True)
class Hosts:
    """The hosts. Each action opens a repository, as a command does; it may end in StoreError."""

    folder: Path
    store: SlowStore = field(default_factory=SlowStore)
    expected: Expected = field(default_factory=Expected)
    ahead_ns: list[int] = field(default_factory=lambda: [LATER] * HOSTS)
    "each host's clock"
    crowded: bool = False
    "several act at once, so that one may have to give way"
    struck: int = 0
    "faults so far"
    ticks: int = 0

    async def create(self) -> None:
        """An empty repository, and a little in each tree."""
        await put_keys(self.store)
        for number in range(HOSTS + 1):
            self.tree(number).mkdir()
            self.write(number, "same", 0, 200_000)
            self.write(number, f"own{number}", number, 1000)
        async with self.machine(0):
            pass

    def tree(self, number: int) -> Path:
        """A host's own tree, or the shared one."""
        return self.folder / f"tree{number}"

    def state(self, host: int) -> Path:
        """What a host may lose."""
        return self.folder / f"host{host}"

    def write(self, tree: int, name: str, seed: int, size: int) -> None:
        """Write one of few contents, so that they come back when nothing else has them any more.

        The file's time is one that no other has: two writes within a tick look alike.
        """
        path = self.tree(tree) / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(Random(seed).randbytes(size))
        self.ticks += 1
        os.utime(path, ns=(0, 1_700_000_000 * 10**9 + self.ticks))

    def machine(
        self, host: int, store: Store | None = None, *, tree: int | None = None
    ) -> AbstractAsyncContextManager[Machine]:
        """A host that captures its own tree, or another."""
        tree = host if tree is None else tree
        names = ("all", "shared") if tree == SHARED else (f"host{host}", "own")
        return machine(
            store or self.store, self.state(host), self.tree(tree), host=names[0], name=names[1],
            ahead_ns=self.ahead_ns[host],
        )  # fmt: skip

    async def attempt(
        self, host: int, faults: Faults, action: Callable[[Machine], Awaitable[None]], *,
        tree: int | None = None,
    ) -> bool:  # fmt: skip
        """Do something on a host while faults strike; whether it came to its end."""
        faulty = FaultyStore(self.store)
        for verb, fault in faults:
            faulty.queue(verb, fault)
        # Half of the hosts are patient.
        store = Retrying(faulty, sleep=_at_once) if host % 2 else faulty
        try:
            async with self.machine(host, store, tree=tree) as opened:
                await action(opened)
        except StoreError:
            return False
        except DeltaVoidError:
            if not self.crowded:
                raise
            return False
        finally:
            self.struck += len(faults) - len(faulty._queued)
        return True

    async def ingest(
        self, host: int, faults: Faults = (), *, tree: int | None = None, steps: bool = False
    ) -> None:
        """Capture a tree, in one commit or in many."""
        label = self.expected.begin(self.tree(host if tree is None else tree))

        async def action(opened: Machine) -> None:
            rows = 2 if steps else 1000
            report = await opened.ingest(tags=(label,), progress_rows=rows)
            assert report.findings.listed == []

        if await self.attempt(host, faults, action, tree=tree):
            self.expected.made.add(label)

    async def overtake(self, slow: int, fast: int, name: str, seed: int) -> None:
        """A host is about to commit the shared tree when that changes and another commits it.

        What the slow one then commits is the tree as it is by now.
        """
        label = self.expected.begin(self.tree(SHARED))
        reached, go_on = trio.Event(), trio.Event()
        stopping = StoppingStore(self.store, reached, go_on)

        async def capture() -> None:
            async with self.machine(slow, stopping, tree=SHARED) as opened:
                await opened.ingest(tags=(label,))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture)
            await reached.wait()
            self.write(SHARED, name, seed, 1000)
            self.expected.begin_again(label)
            await self.ingest(fast, tree=SHARED)
            go_on.set()
        self.expected.made.add(label)

    async def catch_up(self, host: int, faults: Faults = ()) -> None:
        """Bring everything of a host's view to the head of the log."""
        await self.attempt(host, faults, lambda opened: opened.repository.catch_up_all())

    async def label(self, host: int, faults: Faults = ()) -> None:
        """Give the newest snapshot another tag."""

        async def action(opened: Machine) -> None:
            await opened.repository.catch_up()
            snapshots = list(opened.repository.snapshots.stream())[-1:]
            await tag(opened.repository, snapshots, ["extra"], [], opened.host)

        await self.attempt(host, faults, action)

    async def forget(self, host: int, which: int, faults: Faults = ()) -> None:
        """Forget one of the snapshots."""

        async def action(opened: Machine) -> None:
            await opened.repository.catch_up()
            snapshots = list(opened.repository.snapshots.stream())
            if snapshots:
                chosen = snapshots[which % len(snapshots)]
                self.expected.forgotten.add(label_of(chosen))
                body = records.Forget((chosen.id,))
                attempt = Attempt(os.urandom(16))
                await opened.repository.publish(attempt, lambda: body, opened.host)

        await self.attempt(host, faults, action)

    async def prune(self, host: int, faults: Faults = (), *, wait: bool = False) -> None:
        """Take away what nothing needs, at once or in two runs."""
        options = PruneOptions(
            host=f"host{host}",
            policy=PrunePolicy(max_unused=0.0),
            condemned_for_ns=DAY_NS if wait else 0,
            forgotten_for_ns=0,
            orphaned_for_ns=0,
        )

        async def action(opened: Machine) -> None:
            await prune(opened.repository, options, Progress())

        await self.attempt(host, faults, action)

    def lose_state(self, host: int) -> None:
        """The host's disk is new."""
        shutil.rmtree(self.state(host), ignore_errors=True)

    def keep_state(self, host: int) -> None:
        """The host's disk is copied, for `older_state`."""
        copy = self.folder / f"copy{host}"
        shutil.rmtree(copy, ignore_errors=True)
        if self.state(host).exists():
            shutil.copytree(self.state(host), copy)

    def older_state(self, host: int) -> None:
        """The host's disk is as it was when it was copied."""
        if (self.folder / f"copy{host}").exists():
            self.lose_state(host)
            shutil.copytree(self.folder / f"copy{host}", self.state(host))

    async def verify(self) -> int:
        """On every host every snapshot is what was captured, and all is sound; how many there are.

        That is so whatever has become of puts that are under way, and after one more ingest.
        """
        await self.store.arrive()
        self.store.lag = self.store.late = 0
        for host in range(HOSTS):
            await self.ingest(host)
        for host in range(HOSTS):
            async with self.machine(host) as opened:
                await opened.repository.catch_up_all()
                count = await self._compare(opened)
        async with self.machine(0) as opened:
            await check_sound(opened.repository)
            await assert_sound(opened.repository)
        return count

    async def _compare(self, host: Machine) -> int:
        snapshots = list(host.repository.snapshots.stream())
        for snapshot in snapshots:
            tree, manifest = self.expected.manifests[label_of(snapshot)]
            assert await host.stored(snapshot, below=tree) == manifest
        labels = {label_of(snapshot) for snapshot in snapshots}
        assert labels >= self.expected.made - self.expected.forgotten
        return len(snapshots)


async def _at_once(seconds: float) -> None:
    """A pause that is none."""
