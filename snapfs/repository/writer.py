"""Writing packs: segments are compressed in parallel, packed in order, verified, and uploaded.

Segments come in one after the other; their blocks' positions follow that order. Memory is bounded:
`add` waits while too many segments or packs are on their way.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from snapfs.errors import DamagedError, FormatError
from snapfs.formats import objects, packs
from snapfs.formats.packs import Packed, PackRow
from snapfs.model.identity import PackName
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import Tasks, together
from snapfs.repository.world import World
from snapfs.stores.base import Store

AT_ONCE = 4
"segments that are best handed over at once: each time costs some switches between threads"
_COMPRESSING = 2
"batches of segments that wait for compression, are in it, or wait for those before them"
_UPLOADING = 3
"packs that are being sealed, verified and uploaded"


@dataclass(frozen=True, slots=True)
class Segment:
    """New blocks, one after the other."""

    plain: bytes
    keys: bytes
    lengths: tuple[int, ...]


@dataclass(slots=True)
class _Slot:
    """A place in the order, filled once its segments are compressed."""

    ready: trio.Event = field(default_factory=trio.Event)
    packed: list[Packed] = field(default_factory=list)


class PackWriter:
    """Turns segments into packs. Made by `open_writer`, which owns its tasks."""

    def __init__(self, store: Store, keys: Keys, world: World, level: int, tasks: Tasks) -> None:
        self._store = store
        self._keys = keys
        self._world = world
        self._level = level
        self._tasks = tasks
        self._uploading = trio.Semaphore(_UPLOADING)
        self._slots: deque[_Slot] = deque()
        self._building = trio.CapacityLimiter(1)
        self._current: deque[Packed] = deque()
        self._stored = self._blocks = 0
        "bytes and blocks of the current pack"
        self._rows: dict[int, PackRow] = {}
        self._begun = 0
        self._progress = trio.Condition()
        self.stored_bytes = 0
        "bytes of packs that are durable in the store"

    async def add(self, *segments: Segment) -> None:
        """Take the next segments, at most AT_ONCE; waits while memory is full.

        Raises what a failed upload raised.
        """
        while len(self._slots) >= _COMPRESSING:
            await self._collect_first()
        slot = _Slot()
        self._slots.append(slot)
        self._tasks.start(lambda: self._compress(segments, slot))

    async def flush(self) -> list[PackRow]:
        """End the current pack; the rows of all packs since the last flush, in order.

        When this returns, all of them are durable in the store: a record may name them.
        """
        while self._slots:
            await self._collect_first()
        await self._close_pack()
        async with self._progress:
            while len(self._rows) < self._begun:
                await self._progress.wait()
        rows = [self._rows[at] for at in range(self._begun)]
        self._rows, self._begun = {}, 0
        return rows

    async def _compress(self, segments: Sequence[Segment], slot: _Slot) -> None:
        slot.packed = await trio.to_thread.run_sync(_compressed, segments, self._level)
        slot.ready.set()

    async def _collect_first(self) -> None:
        """Move the first batch into the current pack, once it is compressed."""
        slot = self._slots.popleft()
        await slot.ready.wait()
        for packed in slot.packed:
            self._current.append(packed)
            self._stored += packed.stored
            self._blocks += len(packed.lengths)
            if self._stored >= packs.TARGET or self._blocks >= packs.PACK_BLOCKS:
                await self._close_pack()

    async def _close_pack(self) -> None:
        if not self._current:
            return
        segments, self._current = self._current, deque()
        self._stored = self._blocks = 0
        await self._uploading.acquire()
        at, self._begun = self._begun, self._begun + 1
        self._tasks.start(lambda: self._finish_pack(at, segments))

    async def _finish_pack(self, at: int, segments: deque[Packed]) -> None:
        # One pack at a time is sealed and verified: each takes its size in memory once more.
        row, data = await trio.to_thread.run_sync(self._build, segments, limiter=self._building)
        await self._store.put(objects.pack(row.name), data)
        # The row is handed out only AFTER the pack is durable: records name rows.
        self._rows[at] = row
        self.stored_bytes += len(data)
        self._uploading.release()
        async with self._progress:
            self._progress.notify_all()

    def _build(self, segments: deque[Packed]) -> tuple[PackRow, bytes]:
        """Seal a pack and read it back, before it leaves this machine."""
        keys = self._keys
        name = PackName(self._world.random(16))
        row, data = packs.build(
            name, _drain(segments), keys.repository, keys.epochs, self._world.random
        )
        try:
            packs.verify(data, row, keys.repository, keys.epochs, keys.block_id)
        except FormatError as error:
            raise DamagedError(
                f"data changed in memory between reading and sealing ({error}); "
                "nothing of it was stored",
                hint="this machine's memory or processor is unreliable: test it before going on",
            ) from error
        return row, data


@asynccontextmanager
async def open_writer(
    store: Store, keys: Keys, world: World, *, level: int
) -> AsyncIterator[PackWriter]:
    """A writer whose tasks end with the block. Packs that no record names are left to a prune."""
    async with together() as tasks:
        yield PackWriter(store, keys, world, level, tasks)


def _compressed(segments: Sequence[Segment], level: int) -> list[Packed]:
    return [packs.pack_segment(one.plain, one.keys, one.lengths, level) for one in segments]


def _drain(segments: deque[Packed]) -> Iterator[Packed]:
    """Each segment in order, and no longer held once it has been taken."""
    while segments:
        yield segments.popleft()
