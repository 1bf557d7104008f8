"""Committing a delta: packs → parts → log record → database, and nothing in another order.

What was uploaded for a delta that turned out void stays: its blocks are named by the record of the
next one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from snapfs.errors import DeltaVoidError, UploadVoidError
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart, EntryPart, PartRef
from snapfs.formats.records import Ingest, New, Summary
from snapfs.jobs.ingest.options import IngestOptions
from snapfs.metadata.moved import blocks_seen, moved_to
from snapfs.model.identity import NO_COMMIT, Attempt, Commit
from snapfs.repository.moving import moves_of, moving_parts
from snapfs.repository.parallel import Tasks, gather
from snapfs.repository.repository import Repository
from snapfs.repository.writer import PackWriter

_PART_BLOCKS = 20_000
"blocks of one block part: about a megabyte"
_SENDING = 2
"entry parts that are on their way; as objects in memory each takes some megabytes"

First = tuple[int, int, int]


@dataclass(slots=True)
class _Uploaded:
    """What is durable in the store and named by no record yet."""

    parts: list[PartRef] = field(default_factory=list)
    packs: list[bytes] = field(default_factory=list)
    blocks: int = 0
    segments: int = 0

    @property
    def position(self) -> First:
        return (self.blocks, self.segments, len(self.packs))

    def with_packs(self, rows: list[PackRow]) -> "_Uploaded":
        """This and so many packs more, before the part that lists them."""
        lengths = [len(segment.lengths) for row in rows for segment in row.segments]
        return _Uploaded(
            self.parts,
            [*self.packs, *(row.name for row in rows)],
            self.blocks + sum(lengths),
            self.segments + len(lengths),
        )


class Committer:
    """Commits the deltas of one ingest. Lives on the event loop; the walk waits for it."""

    def __init__(
        self, repository: Repository, writer: PackWriter, tasks: Tasks, options: IngestOptions,
        time_ns: int,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._tasks = tasks
        self._writer = writer
        self._options = options
        self._time_ns = time_ns
        self._uploaded = _Uploaded()
        self._entries: dict[int, PartRef] = {}
        "by their order: uploads end in another"
        self._begun = 0
        "entry parts that were handed over"
        self._sending = trio.Semaphore(_SENDING)
        self._sent = trio.Condition()
        self._seen = blocks_seen(repository.db)
        self._moved: set[bytes] = set()
        "packs to which records up to the one seen may have moved blocks that are relied on"
        self.head = self._source_head()

    async def add_entries(self, part: EntryPart, first: First) -> None:
        """Begin to upload the next part of the delta; waits while enough are on their way.

        The walk goes on meanwhile: far from the store it would stand still for a part of its time.
        """
        await self._sending.acquire()
        at, self._begun = self._begun, self._begun + 1
        self._tasks.start(partial(self._send, self._entries, at, part, first))

    async def _send(
        self, entries: dict[int, PartRef], at: int, part: EntryPart, first: First
    ) -> None:
        entries[at] = await self._repository.parts.upload(part, first)
        self._sending.release()
        async with self._sent:
            self._sent.notify_all()

    def begin_delta(self, *, uploads_void: bool) -> None:
        """Throw the delta's parts away, and begin again at the source's head.

        What is still on its way counts for the old delta. Blocks stay, unless what was uploaded is
        being deleted.
        """
        self._entries, self._begun = {}, 0
        if uploads_void:
            self._uploaded = _Uploaded()
        self._seen = blocks_seen(self._repository.db)
        self._moved.clear()
        self._repository.parts.drop_own()
        self.head = self._source_head()

    async def commit(
        self,
        attempt: Attempt,
        *,
        complete: bool,
        counts: New,
        relied: set[int],
        moved: list[tuple[int, int]],
        summarise: Callable[[], Summary],
    ) -> Commit:
        """Make the delta a commit. Its last part has been added, its last segment handed over.

        `counts` has the delta's nodes, lists and directories; `relied` the packs that hold the
        known blocks which it refers to; `moved` the damaged copies that new blocks replace.
        `summarise` is asked when all that is new is stored.

        Raises DeltaVoidError where it cannot follow on what others have committed, StoreError.
        """
        # Packs are durable when flush returns, parts when their uploads do. Only THEN the record.
        await self._upload_block_parts(await self._writer.flush())
        await self._upload_moves(moved)
        await self._entries_sent()
        summary = summarise()

        def body() -> Ingest:
            return self._body(complete, counts, relied, summary)

        number = await self._repository.publish(attempt, body, self._options.host)
        self._uploaded, self._entries, self._begun = _Uploaded(), {}, 0
        self.head = number
        # The record is in the log: it is a commit, whatever happens to this machine's view of it.
        await self._repository.catch_up([self.source_number()])
        return number

    def source_number(self) -> int:
        """The number of the source, once it has a commit."""
        source = self._repository.snapshots.source(self._options.host, self._options.name)
        assert source is not None
        return source.number

    def _source_head(self) -> Commit:
        source = self._repository.snapshots.source(self._options.host, self._options.name)
        return source.head if source else NO_COMMIT

    def _body(self, complete: bool, counts: New, relied: set[int], summary: Summary) -> Ingest:
        options, uploaded = self._options, self._uploaded
        rescued = self._rescued(relied)
        return Ingest(
            host=options.host,
            source=options.name,
            source_head=self.head,
            complete=complete,
            time=self._time_ns,
            new=New(
                packs=len(uploaded.packs),
                segments=uploaded.segments,
                blocks=uploaded.blocks,
                nodes=counts.nodes,
                lists=counts.lists,
                directories=counts.directories,
            ),
            blocks=tuple(uploaded.parts),
            entries=self._entry_parts(),
            packs=tuple(uploaded.packs),
            rescued=rescued,
            paths=options.roots,
            tags=options.tags if complete else (),
            summary=summary,
        )

    def _rescued(self, relied: set[int]) -> tuple[bytes, ...]:
        """What the record must rescue. DeltaVoidError where something is beyond rescue."""
        blocks = self._repository.blocks
        parts = [ref.name for ref in (*self._uploaded.parts, *self._entry_parts())]
        own = blocks.fates(set(), [*self._uploaded.packs, *parts])
        if own.doomed:
            raise UploadVoidError("what was uploaded for this delta is being deleted")
        self._follow_moves(relied)
        others = blocks.fates(relied, self._moved)
        if others.doomed:
            raise DeltaVoidError(
                f"{len(others.doomed)} packs that the delta relies on are being deleted"
            )
        return own.condemned + others.condemned

    def _follow_moves(self, relied: set[int]) -> None:
        """Rely on where blocks have been moved since they were looked up, too.

        Beyond a commit, as `relied` is: what a long file has referred to is not looked up again.
        """
        db = self._repository.db
        self._moved |= moved_to(db, relied, self._moved, self._seen)
        self._seen = self._repository.replica.tip().number

    def _entry_parts(self) -> tuple[PartRef, ...]:
        return tuple(self._entries[at] for at in range(self._begun))

    async def _entries_sent(self) -> None:
        async with self._sent:
            while len(self._entries) < self._begun:
                await self._sent.wait()

    async def _upload_block_parts(self, rows: list[PackRow]) -> None:
        uploads, uploaded = [], self._uploaded
        for group in _groups(rows):
            part = BlockPart(tuple(group), ())
            uploads.append(partial(self._repository.parts.upload, part, uploaded.position))
            uploaded = uploaded.with_packs(group)
        uploaded.parts.extend(await gather(uploads))
        self._uploaded = uploaded

    async def _upload_moves(self, moved: list[tuple[int, int]]) -> None:
        for part in moving_parts(moves_of(self._repository.blocks, moved)):
            uploaded = self._uploaded
            uploaded.parts.append(await self._repository.parts.upload(part, uploaded.position))


def _groups(rows: list[PackRow]) -> list[list[PackRow]]:
    """The packs, cut into parts of bounded size."""
    groups: list[list[PackRow]] = []
    size = _PART_BLOCKS
    for row in rows:
        if size >= _PART_BLOCKS:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += sum(len(segment.lengths) for segment in row.segments)
    return groups
