"""Two machines with one store, for the tests of prune and of compaction."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from snapfs.stores.memory import MemoryStore
from tests.jobs.checking import put_keys
from tests.jobs.ingesting import TINY, Machine, machine


@asynccontextmanager
async def two_hosts(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine, MemoryStore]]:
    """Two machines with trees of their own. Blocks are tiny, so that contents are long."""
    store = MemoryStore(now=time.time)
    await put_keys(store)
    async with (
        machine(store, tmp_path / "a", tmp_path / "tree a", chunker=TINY) as one,
        machine(store, tmp_path / "b", tmp_path / "tree b", host="other", chunker=TINY) as other,
    ):
        one.tree.mkdir()
        other.tree.mkdir()
        yield one, other, store
