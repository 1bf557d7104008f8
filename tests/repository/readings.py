"""A repository with one file, and a reader of it, whose requests are counted."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from snapfs.model.content import Content
from snapfs.model.identity import Commit
from snapfs.repository.reader import ContentReader
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, Thing, built
from tests.faulty import FaultyStore

BLOCK = 1000
SEGMENT = 4 * BLOCK


@dataclass
class Reading:
    """A repository with one file /f, and a reader."""

    memory: MemoryStore
    store: FaultyStore
    repository: Repository
    reader: ContentReader
    content: Content

    @property
    def requests(self) -> int:
        return len(self.store.calls)

    async def read(self, offset: int, length: int) -> bytes:
        return await self.reader.open(self.content).read(offset, length)

    async def rest(self) -> None:
        """Until nothing is fetched, or written to the disk cache, any more."""
        while self.reader._fetcher._slots.borrowed_tokens:  # noqa: ASYNC110
            await trio.sleep(0.001)


@asynccontextmanager
async def reading(
    directory: Path, thing: Thing, *, memory_bytes: int = 10**8, disk_bytes: int = 0,
    block: int = BLOCK, fills_disk: bool = True,
) -> AsyncIterator[Reading]:  # fmt: skip
    memory = MemoryStore()
    store = FaultyStore(memory)
    async with built(store, directory) as repository:
        builder = Builder(repository, block_size=block, segment_size=4 * block)
        number = await builder.commit({"/f": thing})
        content = content_of(repository, number)
        async with repository.reading(
            memory_bytes=memory_bytes, disk_bytes=disk_bytes, fills_disk=fills_disk
        ) as reader:
            store.calls.clear()
            yield Reading(memory, store, repository, reader, content)


def content_of(repository: Repository, number: Commit) -> Content:
    anchor = repository.snapshots.sources()[0].anchor
    entry = repository.tree.resolve(anchor, number, b"/f")
    assert entry is not None
    return entry.node.content()


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def plain(thing: Thing) -> bytes:
    return b"".join(item if isinstance(item, bytes) else bytes(item) for item in thing.content)
