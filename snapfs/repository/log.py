"""The commit log in the store: catching up with it, and publishing a record exactly once.

Records are numbered without gaps and published by put-if-absent, so all hosts agree on one order.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import trio

from snapfs.errors import (
    FormatError,
    LogCutError,
    LogGapError,
    NewerFormatError,
    NoRepositoryError,
    ObjectExistsError,
    ObjectNotFoundError,
    PutConflictError,
    RepositoryExistsError,
    StoreUnavailableError,
)
from snapfs.formats import objects, parts, records
from snapfs.formats.records import Body, Head, Init, Upgrade
from snapfs.metadata.heads import Published
from snapfs.metadata.position import Tip
from snapfs.metadata.replica import Replica
from snapfs.model.identity import NO_COMMIT, Attempt, Commit
from snapfs.repository import levels
from snapfs.repository.kept import Kept
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.stores.base import Store

log = logging.getLogger(__name__)

_BATCH = 64
"records that are fetched at once and applied in one transaction"
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 5.0
_TRIES = 40
"of a put whose outcome stays unknown: some minutes"


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes records."""

    host: str
    program: str


class Log:
    """The log of one repository, beside the replica that follows it."""

    def __init__(
        self, store: Store, keys: Keys, replica: Replica, *, now: Callable[[], int],
        random_bytes: Callable[[int], bytes], kept: Kept | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._keys = keys
        self._replica = replica
        self._now = now
        self._random = random_bytes
        self._kept = kept
        self._lock = trio.Lock()

    async def catch_up(self, until: Commit | None = None) -> Tip:
        """Apply the heads of all records that the store has beyond the replica's tip.

        None beyond `until`, a record that is known to be there.

        Raises LogCutError where the log is not a continuation of what this replica knows: its own
        last record is missing or another, LogGapError where a record before others is lost, or one
        is damaged. NewerFormatError where the log says that this program cannot read on. Nothing
        that lies behind is applied then; what lies before is.
        """
        async with self._lock:
            while True:
                levels.check_read(self._replica.fact)
                if until is not None and self._replica.tip().number >= until:
                    return self._replica.tip()
                if await self._advance(until):
                    return self._replica.tip()

    async def publish(
        self, attempt: Attempt, make_body: Callable[[], Body], author: Author
    ) -> Commit:
        """Append a record with this body and return its number, once the replica has its head.

        Whatever the record relies on is durable in the store BEFORE this is called: the put below
        is the commit. The body is made anew for each number that is tried, after all records
        before it are known; it may raise, where it cannot follow on them.

        Raises DeltaVoidError where the body cannot follow on the log (see `heads.check_body`),
        FormatError where no program could read it,
        StoreUnavailableError where it could not be learned whether the put took effect:
        publishing the same attempt again finds out, and makes no second record.
        """
        delay = _FIRST_DELAY
        while True:
            tip = await self.catch_up()
            known = self._replica.attempt(attempt)
            if known is not None:
                return known
            levels.check_write(self._replica.fact)
            body = self._body(make_body, tip)
            number = Commit(tip.number + 1)
            head = Head(tip.hash, attempt, author.host, self._now(), author.program, body)
            data = records.encode(
                head, number, self._keys.repository, self._keys.epochs, self._random
            )
            if await self.put(number, data, attempt):
                await self.catch_up()
                return number
            log.info("record %d went to another host; trying the next number", number)
            await trio.sleep(random.uniform(0, delay))
            delay = min(2 * delay, _LONGEST_DELAY)

    def _body(self, make_body: Callable[[], Body], tip: Tip) -> Body:
        body = make_body()
        if tip.number == NO_COMMIT and not isinstance(body, Init):
            raise NoRepositoryError(
                f"{self._store.url}: the creation of this repository was interrupted",
                hint="run 'snapfs init' with the same passphrase: it goes on where it stopped",
            )
        if tip.number != NO_COMMIT and isinstance(body, Init):
            raise RepositoryExistsError(f"{self._store.url}: the log has begun already")
        self._replica.check_body(body)
        return body

    async def _advance(self, until: Commit | None) -> bool:
        """One round of catching up; true at the head of the log."""
        tip = self._replica.tip()
        found = await self._look(tip)
        self._check_own(tip, found.own)
        if found.following is None:
            if found.listed and min(found.listed) > tip.number + 1:
                await self._check_gap(Commit(tip.number + 1), min(found.listed))
            return not found.listed
        numbers = _contiguous(Commit(tip.number + 1), found.listed)
        if until is not None:
            numbers = numbers[: until - tip.number]
        await self._apply(numbers[:_BATCH], found.following)
        return False

    async def _look(self, tip: Tip) -> "_Found":
        """Own last record, the next one, and the listing behind it: one round of requests.

        The listing finds gaps and saves asking number by number; the gets decide, because a
        listing may lag.
        """
        found = _Found()

        async def own() -> None:
            if tip.number != NO_COMMIT:
                found.own = await self._get(tip.number)

        async def following() -> None:
            found.following = await self._get(Commit(tip.number + 1))

        async def listing() -> None:
            found.listed = await self._list_behind(tip.number)

        await gather((own, following, listing))
        return found

    async def _list_behind(self, number: Commit) -> list[Commit]:
        listed: list[Commit] = []
        async for item in self._store.list(objects.LOG, after=objects.record(number)):
            found = objects.record_number(item.name)
            if found is not None:
                listed.append(found)
            if len(listed) == _BATCH:
                break
        return listed

    def _check_own(self, tip: Tip, own: bytes | None) -> None:
        if tip.number == NO_COMMIT:
            return
        if own is None or not self._is_known(tip, own):
            state = "is missing" if own is None else "is another than the one"
            raise LogCutError(
                f"{self._store.url}: the log was cut or replaced: record {tip.number}, which this "
                f"machine has seen, {state}",
                hint="nothing was written. If an old state of the storage was restored, bring the "
                "newer one back; if only records were lost, 'snapfs repair' puts them back",
            )

    def _is_known(self, tip: Tip, own: bytes) -> bool:
        """Whether this is the last record that is known, or stands in for it."""
        if parts.digest(own) == tip.hash:
            return True
        try:
            return records.chain_hash(self._decode(tip.number, own), own) == tip.hash
        except (LogGapError, NewerFormatError):
            return False

    async def _check_gap(self, missing: Commit, present: Commit) -> None:
        if await self._get(missing) is None:
            if missing == records.FIRST and self._replica.tip().number == NO_COMMIT:
                detail = "its first record is missing"
            else:
                detail = f"record {missing} is missing, though record {present} is there"
            raise LogGapError(
                f"{self._store.url}: the log has a gap: {detail}",
                hint="nothing was written; run 'snapfs check', and 'snapfs repair' if it says so",
            )

    async def _apply(self, numbers: list[Commit], first: bytes) -> None:
        others = await gather(partial(self._get, number) for number in numbers[1:])
        published: list[Published] = []
        sound: dict[str, bytes] = {}
        for number, stored in zip(numbers, [first, *others], strict=True):
            if stored is None:
                break  # listed, and not there yet: the next round looks again
            try:
                head = self._decode(number, stored)
            except LogGapError:
                if not published:
                    raise
                break  # the next round meets it first
            sound[objects.record(number)] = stored
            published.append(Published(number, records.chain_hash(head, stored), head))
            if isinstance(head.body, Init | Upgrade):
                break  # the level that it states comes before what needs that level
        if self._kept is not None:
            await self._kept.keep(sound)
        await trio.to_thread.run_sync(self._replica.apply_heads, published)

    def _decode(self, number: Commit, stored: bytes) -> Head:
        try:
            return records.decode(stored, number, self._keys.repository, self._keys.epochs)
        except FormatError as error:
            raise LogGapError(
                f"{self._store.url}: a record of the log is damaged: {error}",
                hint="nothing was written; run 'snapfs check', and 'snapfs repair' if it says so",
            ) from error

    async def _get(self, number: Commit) -> bytes | None:
        try:
            return await self._store.get(objects.record(number))
        except ObjectNotFoundError:
            return None

    async def put(self, number: Commit, data: bytes, attempt: Attempt) -> bool:
        """Put a record, and find out whether it won its number. `publish` is what calls this,
        and a repair where the log cannot be followed up to its end.

        Bytes once sent for a number stay the same until the number is known to be another's:
        a put that is still under way somewhere can then only do what we wanted.
        """
        delay = _FIRST_DELAY
        for _ in range(_TRIES):
            failure: Exception
            try:
                await self._store.put(objects.record(number), data, if_absent=True)
                return True
            except (ObjectExistsError, PutConflictError, StoreUnavailableError) as error:
                failure = error
            stored = await self._get(number)
            if stored is not None:
                return stored == data or self._is_mine(number, stored, attempt)
            log.info("record %d: %s; putting it again", number, failure)
            await trio.sleep(random.uniform(delay / 2, delay))
            delay = min(2 * delay, _LONGEST_DELAY)
        raise StoreUnavailableError(
            f"{self._store.url}: could not learn whether record {number} was written",
            hint="nothing is lost: the next run finds out and goes on",
        )

    def _is_mine(self, number: Commit, stored: bytes, attempt: Attempt) -> bool:
        return self._decode(number, stored).attempt == attempt


class _Found:
    """What one look at the log has found."""

    def __init__(self) -> None:
        self.own: bytes | None = None
        self.following: bytes | None = None
        self.listed: list[Commit] = []


def _contiguous(first: Commit, listed: list[Commit]) -> list[Commit]:
    """The run of numbers from `first` that the listing confirms; `first` itself is known to be."""
    numbers = [first]
    for number in listed:
        if number == numbers[-1] + 1:
            numbers.append(number)
    return numbers
