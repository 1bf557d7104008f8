"""A process in the race of ingests against a prune that waits for nothing.

    python -m tests.trust.racer FOLDER STORE NUMBER

Number 0 forgets and prunes, and reads what is left; all others capture their trees. These have few
files, of contents that soon come back: then nothing else needs them any more, and they are found in
packs that are just being taken away. Everybody pauses before records and parts, so that others come
between a look and what it leads to.
It goes on until it is killed.
"""

import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import trio

from snapfs.errors import DeltaVoidError
from snapfs.formats import objects
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions
from snapfs.model.pruning import PrunePolicy
from snapfs.stores.base import Store
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.faulty import FaultyStore
from tests.trust.worker import Worker

PRUNER = 0
_KEPT = 3
"snapshots that are not forgotten"
_FILES, _CONTENTS = 6, 40
"in a tree, and of all that there are to choose from"
_CAPTURES, _PRUNES = 0.15, 0.05
"seconds of their longest pauses"
_BETWEEN = 0.8
"seconds of the longest pause between prunes: without any, hardly an ingest would come through"


class PausingStore(FaultyStore):
    """Waits for a random time before it puts a record or a part."""

    def __init__(self, store: Store, chance: Random, longest: float) -> None:
        super().__init__(store)
        self._chance = chance
        self._longest = longest

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        if not name.startswith(objects.PACKS):
            await trio.sleep(self._longest * self._chance.random())
        await super().put(name, data, if_absent=if_absent)


async def capture(worker: Worker) -> None:
    """Fill the tree anew, take a snapshot of it, and read that as soon as it is there."""
    _fill(worker.folder / f"tree{worker.number}", worker.chance)
    async with worker.open() as host:
        # Prunes that never wait may void scan after scan. Then it is for the next run to succeed.
        with contextlib.suppress(DeltaVoidError):
            await worker.ingest(host)
        await host.repository.catch_up_all()
        own = [one for one in host.repository.snapshots.stream() if one.source.host == host.host]
        for snapshot in own[-1:]:
            await worker.read(host, snapshot)


def _fill(tree: Path, chance: Random) -> None:
    tree.mkdir(exist_ok=True)
    for path in tree.iterdir():
        path.unlink()
    for seed in chance.sample(range(_CONTENTS), _FILES):
        content = Random(seed)
        (tree / f"f{seed}").write_bytes(content.randbytes(content.choice((2000, 60_000, 300_000))))


async def take_away(worker: Worker) -> None:
    """Forget all but few snapshots, whichever, and prune; then read those that are left."""
    async with worker.open() as host:
        await host.repository.catch_up_all()
        snapshots = list(host.repository.snapshots.stream())
        worker.chance.shuffle(snapshots)
        for snapshot in snapshots[_KEPT:]:
            await worker.forget(host, snapshot)
        # Half of the prunes leave what they condemn to the next, for ingests to rescue.
        wait, orphaned = worker.chance.choice((0, DAY_NS)), worker.chance.choice((0, DAY_NS))
        options = PruneOptions(
            host=host.host, policy=PrunePolicy(max_unused=0.0), condemned_for_ns=wait,
            forgotten_for_ns=0, orphaned_for_ns=orphaned,
        )  # fmt: skip
        await prune(host.repository, options, Progress())
        await host.repository.catch_up_all()
        for snapshot in snapshots[:_KEPT]:
            await worker.read(host, snapshot)
    await trio.sleep(_BETWEEN * worker.chance.random())


async def _race(folder: Path, place: Path, number: int) -> None:
    chance = Random()
    act: Callable[[Worker], Awaitable[None]] = capture
    longest = _CAPTURES
    if number == PRUNER:
        act, longest = take_away, _PRUNES
    store = PausingStore(ThreadedStore(Files(place)), chance, longest)
    worker = Worker(folder, number, store, chance)
    while True:
        await act(worker)


if __name__ == "__main__":
    # Scans that others made void are told, and counted.
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, place, number = sys.argv[1:]
    trio.run(_race, Path(folder), Path(place), int(number))
