"""Repair: the log as it lies in the store, and what is missing in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from snapfs.errors import FormatError, LogCutError, NewerFormatError, ObjectNotFoundError
from snapfs.formats import objects, records
from snapfs.formats.records import (
    AddsPacks,
    Base,
    Body,
    GiveUp,
    Head,
    Ingest,
    Init,
    Lost,
    New,
    Upgrade,
)
from snapfs.model.identity import NO_COMMIT, Commit
from snapfs.repository.keys import Keys
from snapfs.repository.levels import WRITES
from snapfs.repository.parallel import gather
from snapfs.stores.base import Store

_BATCH = 64
"records that are fetched at once"
_NOBODY = Commit(1)
"in a body that a stand-in is made of, for the record that announces it"


@dataclass(slots=True)
class Gaps:
    """What a pass over the log has found. Records are added in order, from the first."""

    keys: Keys
    last: Commit = NO_COMMIT
    "the last number under which the store has a record, or what is left of one"
    lost: dict[Commit, bytes | None] = field(default_factory=dict)
    """Records that others must stand in for, and what lies in their places: they are missing or
    damaged, or were announced to be given up and have no stand-in that was announced last."""
    hashes: dict[Commit, bytes] = field(default_factory=dict)
    "of lost records, as those that follow them say"
    before: dict[Commit, bytes] = field(default_factory=dict)
    "hashes of the records before lost ones, where these are there"
    bodies: dict[Commit, Lost] = field(default_factory=dict)
    "what stands in for a record already, and must be announced anew"
    announced: dict[Commit, Commit] = field(default_factory=dict)
    "the last GiveUp that names a record"
    base: Base | None = None
    "the newest that is there"
    base_number: Commit = NO_COMMIT
    sources: dict[Commit, tuple[str, str]] = field(default_factory=dict)
    "host and source of lost records on which ingests build"
    times: dict[Commit, int] = field(default_factory=dict)
    "when the record before a lost one was written, nanoseconds since 1970"
    hash: bytes | None = records.NO_HASH
    "of the last record; None if it is lost"
    _time: int = 0
    _standing_in: dict[Commit, Commit] = field(default_factory=dict)
    "records that others stand in for, and what announced these"

    @property
    def restated(self) -> list[Commit]:
        """The lost records that the newest base restates."""
        until = self.base.until if self.base else NO_COMMIT
        return sorted(number for number in self.lost if number <= until)

    def add(self, number: Commit, stored: bytes | None) -> None:
        """Add what lies under a number.

        Raises LogCutError where records that are there do not follow each other: nobody knows then
        which of them are to be believed. NewerFormatError.
        """
        head = decode(self.keys, number, stored)
        if head is None or stored is None:
            self._lose(number, stored)
            self.hash = None
        else:
            if self.hash is None:
                self.hashes[Commit(number - 1)] = head.previous
            elif head.previous != self.hash:
                raise LogCutError(
                    f"log record {number} does not follow record {number - 1}, which is another",
                    hint="the log was replaced, not lost: bring the objects below 'log' back from"
                    " a copy of the storage",
                )
            self.hash = records.chain_hash(head, stored)
            self._time = head.time
            self._note(number, head.body)
        self.last = number

    @property
    def outdated(self) -> list[Commit]:
        """Records that are there, and must not be: what stands in for them was not announced last,
        or nothing does, though they were given up."""
        named = {n: at for n, at in self.announced.items() if n not in self.lost}
        return sorted(
            number
            for number in {*named, *self._standing_in}
            if self._standing_in.get(number, NO_COMMIT) != named.get(number)
        )

    def lose(self, number: Commit, stored: bytes, head: Head) -> None:
        """Have one of those be lost: what takes its place says as much as is left to say."""
        self._lose(number, stored)
        self.hashes[number] = records.chain_hash(head, stored)
        self.before[number] = head.previous
        self.times[number] = head.time
        body = head.body
        if isinstance(body, Lost):
            self.bodies[number] = body
        elif isinstance(body, AddsPacks):
            self.bodies[number] = Lost(_NOBODY, body.new, body.blocks, body.packs)
        else:
            self.bodies[number] = Lost(_NOBODY, New())

    def _lose(self, number: Commit, stored: bytes | None) -> None:
        self.lost[number] = stored
        self.times[number] = self._time
        if self.hash is not None:
            self.before[number] = self.hash

    def _note(self, number: Commit, body: Body) -> None:
        match body:
            case GiveUp(lost=lost):
                self.announced.update((Commit(each), number) for each in lost)
            case Lost(announced=announced):
                self._standing_in[number] = announced
            case Ingest(source_head=before) if before in self.lost:
                self.sources[before] = (body.host, body.source)
            case Base():
                self.base, self.base_number = body, number
            case Init(write=features) | Upgrade(write=features) if set(features) - WRITES:
                raise NewerFormatError(
                    "writing to this repository needs a newer snapfs", hint="install it to repair"
                )


async def read_gaps(store: Store, keys: Keys) -> Gaps:
    """Read the whole log. Raises as `Gaps.add`, and StoreError."""
    gaps = Gaps(keys)
    last = await _last_record(store, keys)
    for begin in range(records.FIRST, last + 1, _BATCH):
        numbers = [Commit(at) for at in range(begin, min(begin + _BATCH, last + 1))]
        found = await gather(partial(_get, store, number) for number in numbers)
        for number, stored in zip(numbers, found, strict=True):
            gaps.add(number, stored)
    for number in gaps.outdated:
        stored = await _get(store, number)
        head = decode(keys, number, stored)
        if head is not None and stored is not None:
            gaps.lose(number, stored, head)
    return gaps


async def _last_record(store: Store, keys: Keys) -> Commit:
    """The last record that opens, or one that follows it without a gap.

    Anybody can put objects of any name into the store: what lies far behind is no record.
    """
    listed: list[Commit] = []
    async for item in store.list(objects.LOG):
        number = objects.record_number(item.name)
        if number is not None:
            listed.append(number)
    at = len(listed) - 1
    while at >= 0 and decode(keys, listed[at], await _get(store, listed[at])) is None:
        at -= 1
    return _contiguous_end(listed[max(at, 0) :])


def _contiguous_end(listed: Sequence[Commit]) -> Commit:
    end = listed[0] if listed else NO_COMMIT
    for number in listed[1:]:
        if number != end + 1:
            break
        end = number
    return end


def decode(keys: Keys, number: Commit, stored: bytes | None) -> Head | None:
    """The record in an object; None if it is none, or damaged. Raises NewerFormatError."""
    try:
        if stored is None:
            return None
        return records.decode(stored, number, keys.repository, keys.epochs)
    except FormatError:
        return None


async def _get(store: Store, number: Commit) -> bytes | None:
    try:
        return await store.get(objects.record(number))
    except ObjectNotFoundError:
        return None
