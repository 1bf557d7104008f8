"""Check: the log. Every record is there, opens, and follows the one before it.

Records are applied to the replay up to the first that cannot be. Those behind are still opened, for
what they name is not to be taken for orphans.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import trio

from snapfs.errors import (
    FormatError,
    LogCutError,
    NewerFormatError,
    ObjectNotFoundError,
    SnapfsError,
    SourceMovedError,
    ViewDamagedError,
)
from snapfs.formats import objects, records
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Base, GiveUp, Head, Ingest, Init, Mend, Upgrade
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata import standins
from snapfs.metadata.heads import Published
from snapfs.model.identity import Commit
from snapfs.repository import levels
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.stores.base import Store

_BATCH = 64
"records that are fetched at once"
_HINT = (
    "'snapfs repair' puts it back, on a machine that has used the repository since; else bring it"
    " back from a copy of the storage"
)
_OPEN_HINT = (
    "'snapfs repair' on a machine that has seen the log as it was puts back what is missing; if "
    "there is none, 'snapfs repair --give-up' goes on"
)
_UNFIT = (LogCutError, FormatError, SourceMovedError, ViewDamagedError)
"what applying a record raises where it contradicts those before it"


@dataclass(slots=True)
class Unreached:
    """Complete snapshots of one source behind a break of the log."""

    first: bytes
    last: bytes
    count: int


class LogWalk:
    """Reads the log once, from its beginning, and fills the replay's heads."""

    def __init__(self, store: Store, keys: Keys, scratch: Scratch) -> None:
        self._store = store
        self._keys = keys
        self._scratch = scratch
        self._next = records.FIRST
        self._before = (Commit(0), records.NO_HASH)
        "number and hash of the last record that opened"
        self.broken: Commit | None = None
        "the first record that is missing, damaged or does not follow"
        self.open: Commit | None = None
        "a record that stands in for one that was not given up"
        self.unreached: dict[tuple[str, str], Unreached] = {}
        self.records = 0
        "that open"
        self.hosts: dict[str, Commit] = {}
        "who has written records, and the last one of each"

    @property
    def last(self) -> Commit:
        """The last record that was looked at."""
        return Commit(self._next - 1)

    async def follow(self, until: Commit | None = None) -> None:
        """Read on, to the record `until` or to the end. Raises StoreError."""
        numbers: list[Commit] = []
        async for item in self._store.list(objects.LOG, after=objects.record(self.last)):
            number = objects.record_number(item.name)
            if number is None:
                continue
            if until is not None and number > until:
                break
            await self._fill_gap(number, numbers)
            numbers.append(number)
            if len(numbers) >= _BATCH:
                await self._read(numbers)
                numbers = []
        await self._read(numbers)

    def report_open(self) -> None:
        """Report where another record stands in for a lost one that nothing gives up."""
        if self.broken is None:
            self.open = standins.first_open(self._scratch.db)
        if self.open is not None:
            detail = "stands in for a lost record, and no record gives that up"
            self._scratch.report(ProblemKind.LOG, objects.record(self.open), detail, _OPEN_HINT)

    async def note_leaving(self) -> None:
        """Learn what records since then have given up: a prune may run beside this check."""
        async for head in self._behind():
            self._scratch.note_leaving(head)

    async def replacements(self) -> dict[tuple[int, int], PartRef]:
        """What records behind the last one that was looked at put in the place of lost parts."""
        found: dict[tuple[int, int], PartRef] = {}
        async for head in self._behind():
            if isinstance(head.body, Mend):
                found.update({(each.record, each.index): each.part for each in head.body.parts})
        return found

    async def turns_behind(self) -> bool:
        """Whether behind the last record that was looked at comes one because of which parts before
        it are not applied: a base, or one that gives up what they say."""
        async with aclosing(self._behind()) as heads:
            async for head in heads:
                if isinstance(head.body, Base | GiveUp):
                    return True
        return False

    async def _behind(self) -> AsyncGenerator[Head, None]:
        """The records behind the last one that was looked at, as far as they open."""
        number = Commit(self.last + 1)
        while (stored := await self._get(number)) is not None:
            try:
                head = self._decode(number, stored)
            except (FormatError, NewerFormatError):
                return
            yield head
            number = Commit(number + 1)

    async def _fill_gap(self, listed: Commit, numbers: list[Commit]) -> None:
        """Add what the listing left out before `listed`; report what is not there indeed."""
        while self._next < listed:
            if await self._get(self._next) is None:
                self._break(self._next, f"is missing, though record {listed} is there")
                break
            numbers.append(self._next)
            self._next = Commit(self._next + 1)
        self._next = Commit(listed + 1)

    async def _read(self, numbers: list[Commit]) -> None:
        fetched = await gather(partial(self._get, number) for number in numbers)
        await trio.to_thread.run_sync(self._take, numbers, fetched)

    def _take(self, numbers: list[Commit], fetched: list[bytes | None]) -> None:
        """Check a batch, note what it names, and apply it as far as it is sound."""
        opened: list[Published] = []
        for number, stored in zip(numbers, fetched, strict=True):
            published = self._open(number, stored)
            if published is None:
                continue
            opened.append(published)
            if isinstance(published.head.body, Init | Upgrade):
                # The level that it states comes before what needs that level.
                self._keep(opened)
                levels.check_read(self._scratch.replica.fact)
                opened = []
        self._keep(opened)

    def _keep(self, opened: list[Published]) -> None:
        self.records += len(opened)
        with self._scratch.db.writing():
            for published in opened:
                self._scratch.note_head(published.number, published.head)
                self.hosts[published.head.host] = published.number
        sound: list[Published] = []
        for published in opened:
            if self.broken is None or published.number < self.broken:
                sound.append(published)
            else:
                self._pass_over(published.head)
        self._apply(sound)

    def _open(self, number: Commit, stored: bytes | None) -> Published | None:
        if stored is None:
            self._break(number, "is missing, though it was listed")
            return None
        try:
            head = self._decode(number, stored)
        except (FormatError, NewerFormatError) as error:
            self._break(number, error.what)
            return None
        before, self._before = self._before, (number, records.chain_hash(head, stored))
        if before[0] == number - 1 and before[1] != head.previous:
            self._break(number, f"does not follow record {before[0]}, which is another")
        return Published(number, self._before[1], head)

    def _apply(self, sound: list[Published]) -> None:
        try:
            self._scratch.replica.apply_heads(sound)
        except _UNFIT as error:
            if len(sound) > 1:
                for published in sound:
                    self._apply([published])
            elif self.broken is None or sound[0].number < self.broken:
                self._refuse(sound[0], error)
            else:
                self._pass_over(sound[0].head)

    def _refuse(self, published: Published, error: SnapfsError) -> None:
        self._break(published.number, error.what)
        self._pass_over(published.head)

    def _pass_over(self, head: Head) -> None:
        if isinstance(head.body, Ingest) and head.body.complete:
            source = (head.body.host, head.body.source)
            seen = self.unreached.setdefault(source, Unreached(head.attempt, head.attempt, 0))
            seen.last = head.attempt
            seen.count += 1

    def _break(self, number: Commit, detail: str) -> None:
        self.broken = number if self.broken is None else min(number, self.broken)
        self._scratch.report(ProblemKind.LOG, objects.record(number), detail, _HINT)

    def _decode(self, number: Commit, stored: bytes) -> Head:
        return records.decode(stored, number, self._keys.repository, self._keys.epochs)

    async def _get(self, number: Commit) -> bytes | None:
        try:
            return await self._store.get(objects.record(number))
        except ObjectNotFoundError:
            return None
