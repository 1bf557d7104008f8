"""Fetching segments: single flight, neighbours in one request, opened in threads, cached.

Ten readers of one segment make one request. A flight belongs to the fetcher, not to the reader who
asked first: that one may be cancelled, the others go on.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from snapfs.errors import FormatError, ObjectTooShortError, SnapfsError
from snapfs.formats import objects, packs
from snapfs.formats.seal import ObjectKeys
from snapfs.metadata.blockindex import SegmentPlace
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import Tasks, together
from snapfs.repository.segmentcache import DiskCache, MemoryCache, PlainSegment
from snapfs.stores.base import Store

RUN_BYTES = 4 * 1024 * 1024
"sealed bytes of neighbouring segments that one request fetches"
_AT_ONCE = 8
"requests at the same time"
_KEYS_KEPT = 4096
"packs whose opened keys are kept"


@dataclass(slots=True)
class _Flight:
    """A segment on its way."""

    done: trio.Event = field(default_factory=trio.Event)
    segment: PlainSegment | None = None
    failure: SnapfsError | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A segment that is asked for, by its number, and where it lies."""

    number: int
    place: SegmentPlace


class SegmentFetcher:
    """Segments by number. Made by `open_fetcher`, which owns its tasks."""

    def __init__(
        self, store: Store, keys: Keys, memory: MemoryCache, disk: DiskCache | None,
        tasks: Tasks,
    ) -> None:  # fmt: skip
        self._store = store
        self._keys = keys
        self._memory = memory
        self._disk = disk
        self._tasks = tasks
        self._flights: dict[int, _Flight] = {}
        self._slots = trio.CapacityLimiter(_AT_ONCE)
        self._opened: dict[bytes, ObjectKeys] = {}

    def cached(self, number: int) -> PlainSegment | None:
        """The segment, if it is at hand."""
        return self._memory.get(number)

    def has(self, number: int) -> bool:
        """Whether the segment is at hand or on its way."""
        return number in self._flights or self._memory.holds(number)

    def start(self, wanted: Iterable[Wanted]) -> None:
        """Begin to fetch those that are neither here nor on their way. Does not wait."""
        missing = [
            item
            for item in {item.number: item for item in wanted}.values()
            if item.number not in self._flights and self._memory.get(item.number) is None
        ]
        for run in runs(missing):
            for item in run:
                self._flights[item.number] = _Flight()
            self._tasks.start(partial(self._fly, run))

    async def get(self, wanted: Wanted) -> PlainSegment:
        """The segment, fetched if need be.

        Raises ObjectNotFoundError where its pack is not there, FormatError where it is damaged,
        StoreError.
        """
        held = self._memory.get(wanted.number)
        if held is not None:
            return held
        self.start([wanted])
        flight = self._flights[wanted.number]
        await flight.done.wait()
        if flight.failure is not None:
            raise flight.failure
        assert flight.segment is not None
        return flight.segment

    async def _fly(self, run: list[Wanted]) -> None:
        """Fetch neighbouring segments and land each flight, whatever happens."""
        try:
            async with self._slots:
                await self._fetch(run)
        finally:
            for item in run:
                flight = self._flights.pop(item.number)
                if flight.segment is None and flight.failure is None:
                    flight.failure = FormatError("the reading of a segment was broken off")
                flight.done.set()

    async def _fetch(self, run: list[Wanted]) -> None:
        if self._disk is not None:
            run = [item for item in run if not await self._from_disk(item)]
        for part in runs(run):
            try:
                await self._fetch_run(part)
            except ObjectTooShortError:
                # The pack is cut: what lies before the cut is still to be had.
                for item in part:
                    await self._fetch_cut(item)

    async def _fetch_run(self, run: list[Wanted]) -> None:
        try:
            sealed = await self._request(run)
        except ObjectTooShortError:
            raise
        except SnapfsError as error:
            for item in run:
                self._flights[item.number].failure = error
            return
        await trio.to_thread.run_sync(self._open_run, run, sealed)
        self._keep(run)

    async def _fetch_cut(self, item: Wanted) -> None:
        try:
            await self._fetch_run([item])
        except ObjectTooShortError as error:
            self._flights[item.number].failure = FormatError(f"a pack is cut short: {error}")

    async def _request(self, run: list[Wanted]) -> bytes:
        first, last = run[0].place, run[-1].place
        length = last.offset + last.stored - first.offset
        return await self._store.get(objects.pack(first.pack), start=first.offset, length=length)

    async def _from_disk(self, item: Wanted) -> bool:
        assert self._disk is not None
        disk = self._disk
        sealed = await trio.to_thread.run_sync(disk.get, item.place)
        if sealed is None:
            return False
        await trio.to_thread.run_sync(self._open_run, [item], sealed, False)
        flight = self._flights[item.number]
        if flight.failure is not None:
            await trio.to_thread.run_sync(disk.drop, item.place)
            flight.failure = None
            return False
        self._keep([item])
        return True

    def _open_run(self, run: list[Wanted], sealed: bytes, to_disk: bool = True) -> None:
        """Open the segments of a run; in a thread. Damage stays with the segment that has it."""
        view = memoryview(sealed)
        for item in run:
            begin = item.place.offset - run[0].place.offset
            piece = view[begin : begin + item.place.stored]
            flight = self._flights[item.number]
            try:
                plain = packs.open_segment(self._pack_keys(item.place), item.place.place, piece)
                flight.segment = PlainSegment(plain)
            except SnapfsError as error:
                flight.failure = error
                continue
            if to_disk and self._disk is not None:
                self._disk.put(item.place, bytes(piece))

    def _keep(self, run: list[Wanted]) -> None:
        for item in run:
            segment = self._flights[item.number].segment
            if segment is not None:
                self._memory.put(item.number, segment)

    def _pack_keys(self, place: SegmentPlace) -> ObjectKeys:
        opened = self._opened.get(place.pack)
        if opened is None:
            if len(self._opened) >= _KEYS_KEPT:
                self._opened.clear()
            opened = packs.open_keys(
                place.header, self._keys.repository, place.pack, self._keys.epochs
            )
            self._opened[place.pack] = opened
        return opened


@asynccontextmanager
async def open_fetcher(
    store: Store, keys: Keys, *, memory_bytes: int, disk: DiskCache | None
) -> AsyncIterator[SegmentFetcher]:
    """A fetcher whose tasks end with the block; what is still on its way then is given up."""
    async with together() as tasks:
        yield SegmentFetcher(store, keys, MemoryCache(memory_bytes), disk, tasks)
        tasks.cancel()


def runs(wanted: list[Wanted]) -> list[list[Wanted]]:
    """Group segments that stand one behind the other in a pack, each group at most RUN_BYTES."""
    grouped: list[list[Wanted]] = []
    size = 0
    for item in sorted(wanted, key=lambda item: (item.place.pack, item.place.offset)):
        last = grouped[-1][-1].place if grouped else None
        follows = (
            last is not None
            and last.pack == item.place.pack
            and last.offset + last.stored == item.place.offset
        )
        if follows and size + item.place.stored <= RUN_BYTES:
            grouped[-1].append(item)
            size += item.place.stored
        else:
            grouped.append([item])
            size = item.place.stored
    return grouped
