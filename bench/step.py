"""One step of the measurement of growth, in a process of its own: what it takes is its own.

`python -m bench.step FOLDER STEP` works on FOLDER/tree and FOLDER/repository, and writes the
requests that it made to FOLDER/requests.json.
"""

import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio

from bench.changing import ChangingTree
from bench.counting import Counting, Requests
from snapfs.cli import memory
from snapfs.jobs.check import CheckOptions, check
from snapfs.jobs.ingest.job import ingest
from snapfs.jobs.ingest.options import IngestOptions
from snapfs.jobs.init import InitOptions, init
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import PruneOptions
from snapfs.jobs.restore import RestoreOptions, restore
from snapfs.repository.repository import Repository, open_repository
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.sources.roots import plan_roots
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore

HOST, NAME, PASSPHRASE = "growth", "tree", "for measuring only"
TREE, STORE, STATE, REQUESTS = "tree", "repository", "state", "requests.json"


def main() -> None:
    folder, step = Path(sys.argv[1]), sys.argv[2]
    memory.use_memory_well()
    requests = trio.run(_run, folder, step)
    (folder / REQUESTS).write_bytes(requests)


async def _run(folder: Path, step: str) -> bytes:
    if step == "init":
        within = ThreadedStore(Files.create(folder / STORE))
        await init(within, InitOptions(PASSPHRASE, HOST), World())
        return msgspec.json.encode(None)
    store = Counting(ThreadedStore(Files(folder / STORE)))
    state = folder / STATE
    if step == "replay":
        state = folder / "state-new"
        shutil.rmtree(state, ignore_errors=True)
    directories = Directories(state, folder / "cache")
    async with open_repository(store, directories, lambda: PASSPHRASE) as repository:
        await _STEPS[step](repository, folder)
    return msgspec.json.encode(store.requests)


async def live(folder: Path, tree: ChangingTree, days: int) -> None:
    """So many days, each with a snapshot at its end; in this process, and not measured."""
    store = ThreadedStore(Files(folder / STORE))
    directories = Directories(folder / STATE, folder / "cache")
    async with open_repository(store, directories, lambda: PASSPHRASE) as repository:
        for _ in range(days):
            tree.live()
            await _ingest(repository, folder)


async def _ingest(repository: Repository, folder: Path) -> None:
    roots = plan_roots([os.fsencode(folder / TREE)], b"/")
    options = IngestOptions(host=HOST, name=NAME, roots=roots)
    report = await ingest(repository, options, Progress())
    assert not report.findings.listed, report.findings.listed


async def _replay(repository: Repository, folder: Path) -> None:
    await repository.catch_up_all()


async def _look(repository: Repository, folder: Path) -> None:
    """What a mount does every minute; opening is not counted."""
    assert isinstance(repository.store, Counting)
    repository.store.requests = Requests()
    await repository.catch_up_all()


async def _check(repository: Repository, folder: Path) -> None:
    report = await check(repository, CheckOptions(), Progress())
    assert report.sound, report.problems


async def _prune(repository: Repository, folder: Path) -> None:
    await prune(repository, PruneOptions(host=HOST), Progress())


async def _restore(repository: Repository, folder: Path) -> None:
    await repository.catch_up_all()
    (snapshot, *_) = reversed(list(repository.snapshots.stream()))
    target = folder / "restored"
    options = RestoreOptions(target=os.fsencode(target), path=os.fsencode(folder / TREE))
    async with repository.reading() as reader:
        report = await restore(repository, reader, snapshot, options, Progress())
    shutil.rmtree(target)
    assert not report.findings, report.findings


_STEPS: dict[str, Callable[[Repository, Path], Awaitable[None]]] = {
    "ingest": _ingest,
    "replay": _replay,
    "look": _look,
    "check": _check,
    "prune": _prune,
    "restore": _restore,
}

if __name__ == "__main__":
    main()
