"""One ingest's capture: the parts of the walk put together, run in a thread, committed on the way.

Every call from the thread to the event loop waits for its answer, so the two never work on the
same thing at once.
"""

import os
import stat
import sys
import time
from dataclasses import dataclass, field

import trio

from snapfs.formats.parts import EntryPart
from snapfs.formats.records import New, Summary
from snapfs.jobs.ingest.blocks import BlockSink
from snapfs.jobs.ingest.commit import Committer, First
from snapfs.jobs.ingest.contents import Item
from snapfs.jobs.ingest.delta import Delta
from snapfs.jobs.ingest.files import Captured, FileReader
from snapfs.jobs.ingest.listahead import ListingHelper
from snapfs.jobs.ingest.lookahead import LookAhead, ReadingHelper
from snapfs.jobs.ingest.options import Findings, IngestOptions
from snapfs.jobs.ingest.reach import about
from snapfs.jobs.ingest.removal import clear_below
from snapfs.jobs.ingest.tally import Tally
from snapfs.jobs.ingest.walk import Baseline, Walk
from snapfs.jobs.progress import Progress
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.local import Local
from snapfs.metadata.names import ANCHOR, ROOT, join
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.suspects import nodes_with_suspects
from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model.attributes import Attributes
from snapfs.model.content import Hole, Listed, Stored
from snapfs.model.finding import Finding
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.repository import Repository
from snapfs.repository.writer import PackWriter, Segment
from snapfs.sources.attributes import attributes_of
from snapfs.sources.cutting import Cutter
from snapfs.sources.exclude import Excluder
from snapfs.sources.reading import Change
from snapfs.sources.trouble import Report


@dataclass(slots=True)
class Capture:
    """The state of an ingest in its thread. Blocks outlive a delta that is thrown away."""

    repository: Repository
    options: IngestOptions
    committer: Committer
    writer: PackWriter
    local: Local
    progress: Progress
    findings: Findings
    time_ns: int
    reading: ReadingHelper | None
    listing: ListingHelper | None
    tally: Tally = field(default_factory=Tally)
    sink: BlockSink = field(init=False)
    delta: Delta = field(init=False)
    tree: Tree = field(init=False)
    _reader: FileReader = field(init=False)
    _walk: Walk | None = None
    _attempt: Attempt = field(init=False)
    _committed_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        keys = self.repository.keys
        # Look-ups of the thread use the thread's own connection.
        self.tree = Tree(self.local.db)
        index = BlockIndex(self.local.db)
        self.sink = BlockSink(index, keys.block_id, self._emit_segments)
        self.delta = Delta(
            block_id_key=keys.block_id, known_list=self._knows_list, emit=self._emit_part
        )
        cutter = Cutter(keys.gear_seed, self.repository.chunker())
        self._reader = FileReader(
            self.sink, cutter, self.delta.add_list, self.progress, self._report, self._checkpoint,
            LookAhead(self.reading, small=cutter.chunker.minimum),
        )  # fmt: skip

    def run(self) -> Commit | None:
        """Capture everything and commit it; None for a dry run.

        Raises DeltaVoidError where the delta cannot follow on what others have committed; then
        `begin_again` and another run. StoreError, LocalError, DamagedError end it.
        """
        if not self.options.dry_run:
            self._begin_commit()
        if self.options.stream_name is not None:
            self._stream(self.options.stream_name)
        else:
            self._walk = self._new_walk()
            self._walk.run()
        return None if self.options.dry_run else self._commit(complete=True)

    @property
    def bytes_read(self) -> int:
        """Plain bytes read from the source so far."""
        return self._reader.bytes_read

    def begin_again(self, *, uploads_void: bool) -> None:
        """Throw the delta away, and what has been counted of it; the blocks too if they are void.

        To be called on the event loop, while no thread is capturing.
        """
        self.delta.committed()
        self.sink.relied.clear()
        self.findings.clear()
        if uploads_void:
            self.sink.committed()
        self.sink.look_again()
        self.tally = Tally()
        self.progress.files = self.progress.bytes = 0
        self.committer.begin_delta(uploads_void=uploads_void)

    def _new_walk(self) -> Walk:
        dry = self.options.dry_run
        return Walk(
            options=self.options,
            local=self.local,
            tree=self.tree,
            baseline=self._baseline(),
            damaged=nodes_with_suspects(self.local.db),
            delta=self.delta,
            reader=_Preview(self._report) if dry else self._reader,
            listing=self.listing,
            excluder=Excluder(self.options.exclusions),
            report=self._report,
            progress=self.progress,
            tally=self.tally,
            spill=self.repository.state.directory,
            checkpoint=self._checkpoint,
            same_content=(lambda node, items: True) if dry else self._same_content,
            began_ns=self.repository.world.now_ns(),
            check_cancelled=trio.from_thread.check_cancelled,
        )

    def _baseline(self) -> Baseline:
        source = Snapshots(self.local.db).source(self.options.host, self.options.name)
        return Baseline(source, self.committer.head)

    # --- committing

    def _checkpoint(self) -> bool:
        """Commit progress, where enough has come together since the last commit; whether it did."""
        options, sink = self.options, self.sink
        due = (
            sink.new_blocks >= options.progress_blocks
            or sink.new_bytes >= options.progress_bytes
            or self.delta.rows >= options.progress_rows
            or time.monotonic() - self._committed_at >= options.progress_seconds
        )
        if not due or options.dry_run or (self.delta.is_empty and not sink.new_blocks):
            return False
        self._commit(complete=False)
        self._begin_commit()
        return True

    def _begin_commit(self) -> None:
        self._attempt = Attempt(self.repository.world.random(16))
        self.local.begin_run(self._attempt)

    def _commit(self, *, complete: bool) -> Commit:
        self.progress.doing = "committing"
        if self._walk is not None:
            self._walk.flush_confirmed()
        self.sink.flush()
        self.delta.flush()
        number: Commit = trio.from_thread.run(self._commit_on_loop, complete)
        self.local.committed(number)
        self.sink.committed()
        self.delta.committed()
        self._committed_at = time.monotonic()
        if self._walk is not None:
            self._walk.baseline = self._baseline()
        self.progress.doing = "ingesting"
        return number

    async def _commit_on_loop(self, complete: bool) -> Commit:
        delta, sink = self.delta, self.sink
        counts = New(nodes=delta.nodes, lists=delta.lists, directories=delta.directories)
        return await self.committer.commit(
            self._attempt,
            complete=complete,
            counts=counts,
            relied=sink.relied,
            moved=sink.take_moved(),
            summarise=self._summary,
        )

    def _summary(self) -> Summary:
        return self.tally.summary(
            bytes_read=self._reader.bytes_read,
            bytes_new=self.sink.total_new_bytes,
            bytes_stored=self.writer.stored_bytes,
        )

    def _emit_segments(self, segments: list[Segment]) -> None:
        if self.options.dry_run:
            return
        trio.from_thread.run(self.writer.add, *segments)
        self.progress.stored_bytes = self.writer.stored_bytes

    def _emit_part(self, part: EntryPart, first: First) -> None:
        if not self.options.dry_run:
            trio.from_thread.run(self.committer.add_entries, part, first)

    # --- answers

    def _report(self, finding: Finding) -> None:
        self.findings.add(finding)
        self.progress.findings = self.findings.total

    def _knows_list(self, key: bytes) -> bool:
        source = self._baseline().source
        if source is None:
            return False
        packs = self.tree.packs_of_list(source.number, key)
        if packs is None:
            return False
        self.sink.relied |= packs
        return True

    def _same_content(self, node: Node, items: list[Item]) -> bool:
        """Whether a node's content is these items, by their keys."""
        content = node.content()
        if len(content) != len(items):
            return False
        return all(
            item.length == extent.length and item.key == self._key(extent)
            for item, extent in zip(items, content, strict=True)
        )

    def _key(self, extent: Stored | Hole | Listed) -> bytes | None:
        match extent:
            case Hole():
                return b""
            case Stored(number=number):
                return BlockIndex(self.local.db).key(number)
            case Listed(number=number):
                return self.tree.list_key(number)

    # --- streams

    def _stream(self, name: bytes) -> None:
        """Capture standard input as the one file of the source's tree."""
        items = self._reader.stream(_StandardInput())
        size = sum(item.length for item in items)
        baseline = self._baseline()
        root = None
        if baseline.source:
            root = self.tree.resolve(baseline.source.anchor, baseline.head, ROOT)
        position = self.delta.add_node(self._own_attributes(stat.S_IFDIR | 0o755), [])
        known = baseline.source and self.tree.child(baseline.source.anchor, ROOT)
        self.delta.set_entry(ANCHOR, ROOT, position, new_directory=known is None)
        if root and root.child is not None:
            for entry in self.tree.entries(root.child, baseline.head):
                self._replace(entry, baseline.head, gone=entry.name != name)
        attributes = self._own_attributes(stat.S_IFREG | 0o600, size)
        self.delta.set_entry(ROOT, name, self.delta.add_node(attributes, items))
        self.tally.new += 1
        self.tally.directories += 1
        self.tally.bytes_total += size
        self.progress.files += 1

    def _replace(self, entry: Entry, head: Commit, *, gone: bool) -> None:
        """End what the source's tree had beside, or under the name of, the stream."""
        if gone:
            self.delta.remove(ROOT, entry.name)
        if entry.child is not None:
            path = join(ROOT, entry.name)
            self.tally.removed += clear_below(self.tree, head, self.delta, entry.child, path)
        elif gone:
            self.tally.removed += 1

    def _own_attributes(self, mode: int, size: int = 0) -> Attributes:
        return Attributes(mode, os.getuid(), os.getgid(), self.time_ns, size=size)


class _StandardInput:
    """Standard input, as the cutter reads it."""

    def readinto(self, buffer: memoryview, /) -> int:
        return os.readv(sys.stdin.fileno(), [buffer])


class _Preview(FileReader):
    """Stands in for a reader where nothing is to be read: a file is what its lstat says."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def expect(self, at: bytes, status: os.stat_result, *, lasting: bool) -> bool:
        """Nothing is opened."""
        return True

    def forget(self) -> None:
        """Nothing was."""

    def capture(
        self, path: bytes, seen: os.stat_result, *, nlink: int, at: bytes | None = None
    ) -> Captured:
        report = about(self._report, path)
        attributes = attributes_of(at or path, seen, report=report, nlink=nlink)
        return Captured(attributes, [], seen, Change.NONE)
