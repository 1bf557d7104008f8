"""Where two jobs are at work at once: the repository, the hosts, and what must hold in the end.

The repository has three snapshots that are wanted, and one that is forgotten, whose blocks a prune
takes away and an ingest finds again. For a repair one pack is damaged, so that it has work to do.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from snapfs.formats import objects
from snapfs.formats.records import Ingest
from snapfs.jobs.check import CheckReport
from snapfs.jobs.forget import chosen, forget
from snapfs.repository.repository import open_keys
from snapfs.repository.state import Directories
from snapfs.stores.base import Store
from snapfs.stores.memory import MemoryStore
from tests.faulty import FaultyStore
from tests.jobs.checking import checked, put_keys
from tests.jobs.ingesting import Machine, machine
from tests.manifest import Manifest, manifest_of_tree

TO_READ = 1
"place, among the wanted snapshots, of the one that is read"
_FILES = 6
_SIZES = (500, 70_000, 400_000)
"of the files"
_IN_HEADER = 30
"a byte in the header of a pack"


class PacedStore(FaultyStore):
    """A store whose calls take turns with those of others, in any order."""

    def __init__(self, store: Store, chance: Random) -> None:
        super().__init__(store)
        self._chance = chance

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        await self._wait()
        return await super().get(name, start=start, length=length)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._wait()
        await super().put(name, data, if_absent=if_absent)

    async def delete(self, name: str) -> None:
        await self._wait()
        await super().delete(name)

    async def _wait(self) -> None:
        await trio.sleep(self._chance.choice((0, 0, 0, 0.001, 0.003)))


@dataclass(frozen=True, slots=True)
class Begun:
    """The repository as each pair finds it."""

    objects: dict[str, bytes]
    tree: Path
    "as it was in the forgotten snapshot"
    manifests: dict[int, Manifest]
    "of the three wanted snapshots, in their order"
    pack: str
    "of the forgotten snapshot: the one after it needs a part of what is in there"

    @property
    def to_read(self) -> int:
        """The snapshot after the forgotten one, whose blocks are moved."""
        return sorted(self.manifests)[TO_READ]

    @property
    def to_forget(self) -> int:
        """The newest of the wanted ones."""
        return max(self.manifests)


@dataclass(slots=True)
class Scene:
    """One pair at work."""

    begun: Begun
    folder: Path
    chance: Random
    one_machine: bool
    "both use one state, as processes of one machine do; else each has its own, empty at first"
    late: float = 0.0
    "seconds that each of the two waits at most before it begins, and before it reads"
    store: MemoryStore = field(default_factory=MemoryStore)
    forgotten: set[int] = field(default_factory=set)
    passphrases: list[str] = field(default_factory=list)
    "that must open the repository in the end"
    _damaged: bool = False

    def __post_init__(self) -> None:
        self.store.objects.update(self.begun.objects)

    def host(self, who: int) -> AbstractAsyncContextManager[Machine]:
        """A host that captures the tree as a source of its own, or as that of the snapshots."""
        store = PacedStore(self.store, self.chance)
        return machine(store, self.state(who), self.begun.tree, host=f"host{who}")

    def state(self, who: int) -> Path:
        return self.folder / ("state" if self.one_machine else f"state{who}")

    async def pause(self) -> None:
        await trio.sleep(self.late * self.chance.random())

    def damage(self) -> None:
        """Spoil the header of a pack that is needed in part. No block is lost by that."""
        data = bytearray(self.store.objects[self.begun.pack])
        data[_IN_HEADER] ^= 1
        self.store.objects[self.begun.pack] = bytes(data)
        self._damaged = True

    def only_what_was_damaged(self, report: CheckReport) -> bool:
        """Whether a check finds the damaged pack at most, as long as nobody has repaired it."""
        harmless = {self.begun.pack} if self._damaged else set()
        return {problem.object for problem in report.problems} <= harmless and not report.affected

    async def verify(self) -> None:
        """As a new host sees it: every snapshot is there and what it was, and all is sound."""
        async with machine(self.store, self.folder / "verifier", self.begun.tree) as host:
            await host.repository.catch_up_all()
            found = {one.number: one for one in host.repository.snapshots.stream()}
            assert found.keys() >= self.begun.manifests.keys() - self.forgotten
            now = manifest_of_tree(self.begun.tree)
            for number, snapshot in found.items():
                assert await host.stored(snapshot) == self.begun.manifests.get(number, now)
            report = await checked(host.repository)
            assert report.sound, report.problems
        for number, passphrase in enumerate(self.passphrases):
            place = self.folder / f"opened{number}"
            await open_keys(self.store, Directories(place, place), lambda secret=passphrase: secret)


async def begin(folder: Path) -> Begun:
    """Four snapshots of one tree, of which the second is forgotten."""
    store, tree, chance = MemoryStore(), folder / "tree", Random(1)
    await put_keys(store)
    tree.mkdir()
    async with machine(store, folder / "state", tree, host="host0") as host:
        for number in range(4):
            _fill(tree, chance, all_but=number)
            report = await host.capture()
            if number == 1:
                assert report.snapshot is not None
                second, kept = report.snapshot, {p: p.read_bytes() for p in tree.iterdir()}
        await forget(host.repository, chosen([second.id]), host="host0")
        head = host.repository.replica.head(second.number).body
        assert isinstance(head, Ingest)
    for path, data in kept.items():
        path.write_bytes(data)
    manifests = host.kept.manifests
    del manifests[second.number]
    return Begun(dict(store.objects), tree, manifests, objects.pack(head.packs[0]))


def _fill(tree: Path, chance: Random, *, all_but: int) -> None:
    """Write all files anew but one, so that no two snapshots are without a common block."""
    for number in range(_FILES):
        if number != all_but:
            (tree / f"f{number}").write_bytes(chance.randbytes(_SIZES[number % len(_SIZES)]))
    (tree / "same").write_bytes(b"the same in all of them" * 1000)
