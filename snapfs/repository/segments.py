"""Fetching segments: single flight, neighbours in one request, opened in threads, cached.

Ten readers of one segment make one request. A flight belongs to the fetcher, not to the reader who
asked first: that one may be cancelled, the others go on.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import trio

from snapfs.errors import FormatError, ObjectTooShortError, SnapfsError
from snapfs.formats import objects, packs
from snapfs.formats.seal import ObjectKeys
from snapfs.metadata.blockindex import SegmentPlace
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import Tasks, together
from snapfs.repository.segmentcache import DiskCache, MemoryCache, PlainSegment
from snapfs.stores.base import Store

RUN_BYTES = 8 * 1024 * 1024
"sealed bytes of neighbouring segments that one request fetches"
_AT_ONCE = 8
"requests at the same time"
_KEYS_KEPT = 4096
"packs whose opened keys are kept"

_Sealed = tuple[SegmentPlace, memoryview]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A segment that is asked for, by its number, and where it lies."""

    number: int
    place: SegmentPlace


@dataclass(slots=True)
class _Flight:
    """A segment on its way."""

    number: int
    place: SegmentPlace
    done: trio.Event = field(default_factory=trio.Event)
    segment: PlainSegment | None = None
    failure: SnapfsError | None = None


class SegmentFetcher:
    """Segments by number. Made by `open_fetcher`, which owns its tasks."""

    def __init__(
        self, store: Store, keys: Keys, memory: MemoryCache, disk: DiskCache | None,
        tasks: Tasks, *, fills_disk: bool,
    ) -> None:  # fmt: skip
        self._store = store
        self._keys = keys
        self._memory = memory
        self.memory_bytes = memory.limit
        self._disk = disk
        self._fills_disk = fills_disk
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
            flights = [_Flight(item.number, item.place) for item in run]
            self._flights.update((flight.number, flight) for flight in flights)
            self._tasks.start(partial(self._fly, flights))

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

    async def _fly(self, flights: list[_Flight]) -> None:
        """Fetch neighbouring segments and land each flight, whatever happens."""
        try:
            async with self._slots:
                await self._fetch(flights)
        finally:
            for flight in flights:
                if flight.segment is None and flight.failure is None:
                    flight.failure = FormatError("the reading of a segment was broken off")
            self._land(flights)

    def _land(self, flights: list[_Flight]) -> None:
        """Tell those who wait. Who has landed is left alone: another may be on the same way."""
        for flight in flights:
            if flight.done.is_set():
                continue
            if flight.segment is not None:
                self._memory.put(flight.number, flight.segment)
            del self._flights[flight.number]
            flight.done.set()

    async def _fetch(self, flights: list[_Flight]) -> None:
        if self._disk is not None:
            flights = [flight for flight in flights if not await self._from_disk(flight)]
        for run in runs(flights):
            try:
                await self._fetch_run(run)
            except ObjectTooShortError:
                # The pack is cut: what lies before the cut is still to be had.
                for flight in run:
                    await self._fetch_cut(flight)

    async def _fetch_run(self, run: list[_Flight]) -> None:
        try:
            sealed = await self._request(run)
        except ObjectTooShortError:
            raise
        except SnapfsError as error:
            for flight in run:
                flight.failure = error
            return
        opened = await trio.to_thread.run_sync(self._open_run, run, sealed)
        self._land(run)
        if self._disk is not None and self._fills_disk:
            # After those who wait were told: it takes as long as opening does.
            await trio.to_thread.run_sync(_to_disk, self._disk, opened)

    async def _fetch_cut(self, flight: _Flight) -> None:
        try:
            await self._fetch_run([flight])
        except ObjectTooShortError as error:
            flight.failure = FormatError(f"a pack is cut short: {error}")

    async def _request(self, run: list[_Flight]) -> bytes:
        first, last = run[0].place, run[-1].place
        length = last.offset + last.stored - first.offset
        return await self._store.get(objects.pack(first.pack), start=first.offset, length=length)

    async def _from_disk(self, flight: _Flight) -> bool:
        assert self._disk is not None
        sealed = await trio.to_thread.run_sync(self._disk.get, flight.place)
        if sealed is None:
            return False
        await trio.to_thread.run_sync(self._open_run, [flight], sealed)
        if flight.failure is not None:
            await trio.to_thread.run_sync(self._disk.drop, flight.place)
            flight.failure = None
            return False
        self._land([flight])
        return True

    def _open_run(self, run: list[_Flight], sealed: bytes) -> list[_Sealed]:
        """Open the segments of a run; in a thread. Damage stays with the segment that has it.

        Returns those that were whole.
        """
        whole = []
        view = memoryview(sealed)
        for flight in run:
            place = flight.place
            begin = place.offset - run[0].place.offset
            piece = view[begin : begin + place.stored]
            try:
                plain = packs.open_segment(self._pack_keys(place), place.place, piece)
            except SnapfsError as error:
                flight.failure = error
            else:
                flight.segment = PlainSegment(plain)
                whole.append((place, piece))
        return whole

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
    store: Store,
    keys: Keys,
    *,
    memory_bytes: int,
    disk: DiskCache | None,
    fills_disk: bool = False,
) -> AsyncIterator[SegmentFetcher]:
    """A fetcher whose tasks end with the block; what is still on its way then is given up."""
    async with together() as tasks:
        memory = MemoryCache(memory_bytes)
        yield SegmentFetcher(store, keys, memory, disk, tasks, fills_disk=fills_disk)
        tasks.cancel()


def _to_disk(disk: DiskCache, segments: list[_Sealed]) -> None:
    for place, sealed in segments:
        disk.put(place, sealed)


class _Placed(Protocol):
    @property
    def place(self) -> SegmentPlace: ...


T = TypeVar("T", bound=_Placed)


def runs(wanted: Sequence[T]) -> list[list[T]]:
    """Group segments that stand one behind the other in a pack, each group at most RUN_BYTES."""
    grouped: list[list[T]] = []
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
