"""Repair: stand-ins for records that a base restates, made so that the base fits again.

A base gives rows by the numbers that they have. Whoever begins with it must have come to the same
numbers by the heads before, of which some are lost. The base says which numbers were next, how all
sources stood, and which commits brought what it restates. So what each lost record was is guessed,
and tried: heads are replayed up to what the base restates, and must come to what it says.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product

import msgspec
import trio

from snapfs.errors import DamagedError, FormatError, LogCutError
from snapfs.formats import objects, records
from snapfs.formats.bases import EntryBase
from snapfs.formats.records import Base, BaseTree, Body, Head, Init, Lost, New
from snapfs.jobs.repair.gaps import Gaps
from snapfs.metadata.bases import given, trees
from snapfs.metadata.database import Database
from snapfs.metadata.heads import Published
from snapfs.metadata.replica import Piece, Replica
from snapfs.model.identity import Commit
from snapfs.repository.parallel import gather
from snapfs.repository.repository import Repository
from snapfs.repository.scratch import scratch

_BATCH = 64
"records that are fetched at once"
_GUESSES = 30
"that are tried at most"
_TAKERS = 8
"lost records of which one after the other is tried as the one that took what is missing"


@dataclass(slots=True)
class _Restated:
    """What a base restates of one source."""

    lost: set[Commit] = field(default_factory=set)
    "lost records that brought entries of it"
    nodes: "array[int]" = field(default_factory=lambda: array("q"))
    "their numbers"


@dataclass(frozen=True, slots=True)
class Fitting:
    """Finds what the lost records up to a base's `until` were and took."""

    repository: Repository
    gaps: Gaps
    base: Base
    first: Init
    "the first record, in case it is among them"
    make_head: Callable[[Commit, Body], Head]

    async def find(self) -> dict[Commit, Body]:
        """The bodies of the stand-ins. Raises DamagedError where none fits, StoreError."""
        if self.base.given != New():
            restated = await self._read_base()
            for bodies in islice(self._guesses(restated), _GUESSES):
                found = await self._with_numbers(bodies, restated)
                if found is not None:
                    return found
        raise DamagedError(
            f"the log cannot go on without record {min(self.gaps.restated)}: what base "
            f"{self.gaps.base_number} restates would not fit",
            hint="bring it back from another machine, or from a copy of the storage; what comes "
            "before it can be read until then",
        )

    async def _read_base(self) -> dict[int, _Restated]:
        """What the base restates, by source. Raises DamagedError where its parts are lost."""
        found: dict[int, _Restated] = {}
        for source in self.base.sources:
            restated = found.setdefault(source.source, _Restated())
            for at, ref in enumerate(source.parts):
                piece = Piece(source.source, self.gaps.base_number, at, ref, base=True)
                part = await self.repository.parts.fetch_base(piece)
                assert isinstance(part, EntryBase)
                restated.nodes.extend(row.number for row in part.nodes)
                firsts = {Commit(row.first) for row in part.entries}
                restated.lost |= firsts & self.gaps.lost.keys()
        return found

    def _guesses(self, restated: Mapping[int, _Restated]) -> Iterator[dict[Commit, Body]]:
        """What the lost records may have been, but for the numbers that they took."""
        numbers = self.gaps.restated
        for bodies in product(*(self._options(number, restated) for number in numbers)):
            yield dict(zip(numbers, bodies, strict=True))

    def _options(self, number: Commit, restated: Mapping[int, _Restated]) -> list[Body]:
        if number == records.FIRST:
            return [self.first]
        if number in self.gaps.bodies:
            return [self.gaps.bodies[number]]
        names = {tree.source: (tree.host, tree.name) for tree in self.base.trees}
        for source, found in restated.items():
            if number in found.lost:
                return [self._commit(number, *names[source])]
        heads = {Commit(tree.head): (tree.host, tree.name) for tree in self.base.trees}
        source_names = self.gaps.sources.get(number) or heads.get(number)
        nothing = Lost(records.FIRST, New())
        if source_names is None:
            return [nothing]
        host, source_name = source_names
        anew = Lost(records.FIRST, New(), host=host, source=source_name, anew=True)
        return [self._commit(number, host, source_name), anew, nothing]

    def _commit(self, number: Commit, host: str, source: str) -> Lost:
        progress = {tree.head for tree in self.base.trees if not tree.complete}
        return Lost(
            records.FIRST,
            New(),
            host=host,
            source=source,
            complete=number in self.base.wanted and number not in progress,
            time=self.gaps.times.get(number, 0),
        )

    async def _with_numbers(
        self, bodies: Mapping[Commit, Body], restated: Mapping[int, _Restated]
    ) -> dict[Commit, Body] | None:
        """The same, one of them with the numbers that are missing; None where nothing fits."""
        found, _, _ = await self._replayed(bodies, {})
        missing = _difference(self.base.given, found)
        if missing is None:
            return None
        if missing == New():
            return dict(bodies) if await self._fits(bodies, restated) else None
        takers = [n for n in bodies if n != records.FIRST and n not in self.gaps.bodies]
        for taker in takers[: -_TAKERS - 1 : -1]:
            body = bodies[taker]
            assert isinstance(body, Lost)
            tried = {**bodies, taker: msgspec.structs.replace(body, new=missing)}
            if await self._fits(tried, restated):
                return tried
        return None

    async def _fits(self, bodies: Mapping[Commit, Body], restated: Mapping[int, _Restated]) -> bool:
        found = await self._replayed(bodies, restated)
        return found == (self.base.given, self.base.trees, True)

    async def _replayed(
        self, bodies: Mapping[Commit, Body], restated: Mapping[int, _Restated]
    ) -> tuple[New, tuple[BaseTree, ...], bool]:
        """The next numbers and the sources, as heads give them with these stand-ins, and whether
        each restated node was brought by a commit of its source."""
        with scratch(self.repository.state) as folder:
            replica = await trio.to_thread.run_sync(Replica.open_temporary, folder / "heads.db")
            with replica.db:
                for begin in range(records.FIRST, self.base.until + 1, _BATCH):
                    numbers = range(begin, min(begin + _BATCH, self.base.until + 1))
                    published = await gather(
                        partial(self._published, Commit(number), bodies) for number in numbers
                    )
                    try:
                        await trio.to_thread.run_sync(replica.apply_heads, published)
                    except (FormatError, LogCutError):
                        return New(), (), False
                fit = all(_is_own(replica.db, source, each) for source, each in restated.items())
                return given(replica.db, self.base.until), trees(replica.db), fit

    async def _published(self, number: Commit, bodies: Mapping[Commit, Body]) -> Published:
        if number in bodies:
            head = self.make_head(number, bodies[number])
            return Published(number, records.chain_hash(head, b""), head)
        keys = self.repository.keys
        stored = await self.repository.store.get(objects.record(number))
        head = records.decode(stored, number, keys.repository, keys.epochs)
        return Published(number, records.chain_hash(head, stored), head)


def _is_own(db: Database, source: int, restated: _Restated) -> bool:
    """Whether all these nodes have numbers that commits of the source took."""
    ranges = db.rows(
        "SELECT l.nodes, coalesce(n.nodes, 1 << 62) FROM log l LEFT JOIN log n"
        " ON n.number = l.number + 1 WHERE l.source = ? ORDER BY l.number",
        (source,),
    )
    begins, ends = [begin for begin, _ in ranges], [end for _, end in ranges]
    places = ((number, bisect_right(begins, number) - 1) for number in restated.nodes)
    return all(at >= 0 and number < ends[at] for number, at in places)


def _difference(more: New, less: New) -> New | None:
    """How many numbers of each kind are missing; None where some are too many."""
    counts = [getattr(more, kind) - getattr(less, kind) for kind in New.__struct_fields__]
    return New(*counts) if min(counts) >= 0 else None
