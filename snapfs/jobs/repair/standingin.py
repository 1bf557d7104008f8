"""Repair: records that nobody has any more are given up, and others stand in for them.

    GiveUp at the end of the log → stand-ins, in order → the log is whole

The GiveUp comes first. Machines that have seen what was lost stop at it, before they publish
anything that builds on that; machines that have not cannot get past the gap. So nobody writes
until all stand-ins are there, and they can be made of a log that does not grow meanwhile. After a
crash another repair goes on: what was announced is not put back any more, by nobody. A stand-in
names the GiveUp that announced it. If it is lost too, the next one is announced by another, at
which those stop who have seen the first.

What a lost record said is not known, but for its hash, which the next one repeats, and the blocks
that it brought: packs that no record names are listed by the first stand-in, so that what later
records rely on is found, and nothing that is still at its source has to be stored again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import trio

from snapfs import __version__
from snapfs.formats import objects, parts, records
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Body, GiveUp, Head, Init, Lost, New
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.check.rebuild import read_pack_row
from snapfs.jobs.repair.fitting import Fitting
from snapfs.jobs.repair.gaps import Gaps, read_gaps
from snapfs.jobs.repair.putback import PutBack
from snapfs.model.chunker import STANDARD
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.moving import upload_blocks
from snapfs.repository.repository import Repository

_PROGRAM = f"snapfs {__version__}"


def _to_announce(gaps: Gaps, begin: Commit) -> list[Commit]:
    """What nobody was told of since this repair began, when record `begin` was the last.

    What was told before may have been heeded: a stand-in was there, was seen, and is lost. The
    first record says nothing that the keys do not say again.
    """
    return [
        number
        for number in sorted(gaps.lost)
        if number != records.FIRST and gaps.announced.get(number, 0) <= begin
    ]


@dataclass(slots=True)
class StandIns:
    """Fills the gaps of one log."""

    repository: Repository
    examination: Examination
    back: PutBack
    host: str
    given_up: set[Commit] = field(default_factory=set)
    "records that were announced, or that others stand in for by now"

    async def fill(self) -> None:
        """Give up what is lost of the log, or part of it: another look says whether that was all.

        May be broken off anywhere, and run on two machines. Raises LogCutError where the log was
        replaced, NewerFormatError, DamagedError where a base would not fit, StoreError, LocalError.
        """
        gaps = await self._read()
        begin = gaps.last
        while to_announce := _to_announce(gaps, begin):
            if gaps.restated:
                await self._restated(gaps)  # nothing is announced that cannot be done
            await self._announce(gaps, to_announce)
            gaps = await self._read()
        if gaps.restated:
            await self._put_all(gaps, await self._restated(gaps))
        elif gaps.lost:
            await self._put_all(gaps, await self._unknown(gaps))

    async def _read(self) -> Gaps:
        return await read_gaps(self.repository.store, self.repository.keys)

    async def _announce(self, gaps: Gaps, lost: Sequence[Commit]) -> None:
        """Publish the GiveUp, unless another record comes first."""
        number = Commit(gaps.last + 1)
        previous = gaps.hash or self._any_hash(gaps.last)
        attempt = Attempt(self._random(16))
        now = self.repository.world.now_ns()
        head = Head(previous, attempt, self.host, now, _PROGRAM, GiveUp(lost=tuple(lost)))
        if await self.repository.log.put(number, self._sealed(number, head), attempt):
            self.given_up.update(lost)

    async def _restated(self, gaps: Gaps) -> dict[Commit, Body]:
        """What stands in for records that a base restates. Those behind it are for another pass:
        which packs are named is known only of a log that is whole up to there."""
        assert gaps.base is not None
        hashes = self._hashes(gaps)

        def head(number: Commit, body: Body) -> Head:
            return self._head(gaps, hashes, number, body)

        return await Fitting(self.repository, gaps, gaps.base, self._init(), head).find()

    async def _unknown(self, gaps: Gaps) -> dict[Commit, Body]:
        """What stands in for records of which nobody knows more than what stood in for them."""
        rows = await self._unnamed_packs()
        bodies: dict[Commit, Body] = {}
        for number in sorted(gaps.lost):
            if number == records.FIRST:
                bodies[number] = self._init()
            elif number in gaps.bodies:
                bodies[number] = gaps.bodies[number]
            else:
                bodies[number], rows = await self._lost(rows), []
        return bodies

    async def _lost(self, rows: Sequence[PackRow]) -> Lost:
        """What stands in for a record, with these packs, which are durable; and so are its parts
        when this returns."""
        refs: tuple[PartRef, ...] = ()
        new = New()
        if rows:
            refs, new = await upload_blocks(self.repository.parts, rows, ())
        return Lost(records.FIRST, new, refs, tuple(row.name for row in rows))

    async def _unnamed_packs(self) -> list[PackRow]:
        """The packs that no record names and none has given up, as far as they can be read."""
        names = await trio.to_thread.run_sync(self.examination.unnamed_packs)
        store, keys = self.repository.store, self.repository.keys
        rows = [await read_pack_row(store, keys, name) for name in names]
        return [row for row in rows if row is not None]

    def _init(self) -> Init:
        """The first record once more. How contents are cut is for writers only: any way is right,
        and this is the one that new repositories have."""
        chunker = (STANDARD.name, STANDARD.minimum, STANDARD.average, STANDARD.maximum)
        return Init(self.repository.keys.repository, objects.ring(1), chunker)

    async def _put_all(self, gaps: Gaps, bodies: Mapping[Commit, Body]) -> None:
        """Put the stand-ins in order, as long as nobody else does."""
        hashes = self._hashes(gaps)
        for number in sorted(bodies):
            data = self._sealed(number, self._head(gaps, hashes, number, bodies[number]))
            if not await self.back.replace(objects.record(number), gaps.lost[number], data):
                return
            self.given_up.add(number)

    def _hashes(self, gaps: Gaps) -> dict[Commit, bytes]:
        """The hash of each lost record."""
        return {number: gaps.hashes.get(number) or self._any_hash(number) for number in gaps.lost}

    def _any_hash(self, number: Commit) -> bytes:
        """What is taken for the hash of a record that another lost one follows: nobody knows it,
        and all repairs must take the same."""
        name = objects.record(number).encode()
        return parts.digest(b"snapfs lost record" + self.repository.keys.repository + name)

    def _head(self, gaps: Gaps, hashes: Mapping[Commit, bytes], number: Commit, body: Body) -> Head:
        """A stand-in for this record."""
        previous = gaps.before.get(number) or hashes[Commit(number - 1)]
        if isinstance(body, Lost):
            announced = gaps.announced.get(number, Commit(gaps.last + 1))
            body = msgspec.structs.replace(body, announced=announced)
        now, attempt = self.repository.world.now_ns(), Attempt(self._random(16))
        return Head(previous, attempt, self.host, now, _PROGRAM, body, hashes[number])

    def _sealed(self, number: Commit, head: Head) -> bytes:
        keys = self.repository.keys
        return records.encode(head, number, keys.repository, keys.epochs, self._random)

    def _random(self, count: int) -> bytes:
        return self.repository.world.random(count)
