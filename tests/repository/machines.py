"""Several machines on one store, and what is compared between them."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from snapfs.formats import objects, records
from snapfs.formats.records import Body, Tag
from snapfs.metadata.compare import differences
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.base import Store
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, built

NOTHING = Tag((), (), ())
"a record that changes nothing"


def attempt() -> Attempt:
    return Attempt(os.urandom(16))


async def publish(repository: Repository, body: Body, mine: Attempt | None = None) -> Commit:
    return await repository.publish(mine or attempt(), lambda: body, "web")


@asynccontextmanager
async def machines(store: Store, directory: Path, count: int) -> AsyncIterator[list[Repository]]:
    """This many machines, each with a state of its own, on one repository."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(built(store, directory / f"machine {number}"))
            for number in range(count)
        ]


@asynccontextmanager
async def replayed(store: Store, directory: Path) -> AsyncIterator[Repository]:
    """A machine that has lost its state."""
    directories = Directories(directory / "state", directory / "cache")
    async with open_view(store, directories, KEYS, World()) as repository:
        await repository.catch_up_all()
        yield repository


async def assert_replay_equal(repository: Repository, directory: Path) -> None:
    await repository.catch_up_all()
    fresh = directory / f"replay {os.urandom(4).hex()}"
    async with replayed(repository.store, fresh) as other:
        assert differences(repository.replica.db, other.replica.db) == []


def log_of(store: MemoryStore) -> dict[int, records.Head]:
    """All records by number."""
    found = {}
    for name, data in store.objects.items():
        number = objects.record_number(name)
        if number is not None:
            found[number] = records.decode(data, number, KEYS.repository, KEYS.epochs)
    return dict(sorted(found.items()))
