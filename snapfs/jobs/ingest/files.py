"""Reading one file into blocks: its content as items, and how it behaved meanwhile."""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from snapfs.jobs.ingest.blocks import BlockSink
from snapfs.jobs.ingest.contents import ContentBuilder, EmitList, Item, hole
from snapfs.jobs.ingest.lookahead import LookAhead
from snapfs.jobs.ingest.messages import Read
from snapfs.jobs.progress import Progress
from snapfs.model.attributes import Attributes
from snapfs.model.content import Hole
from snapfs.model.finding import Finding, Trouble
from snapfs.model.identity import BlockKey
from snapfs.sources.attributes import attributes_of_open
from snapfs.sources.cutting import Cutter, Readable
from snapfs.sources.reading import Change, File, Run, State, open_file
from snapfs.sources.trouble import Report

_AT_ONCE = 4 * 1024 * 1024
"bytes up to which a run is read before it is cut; a longer one streams through a buffer"


class _Opened(NamedTuple):
    """A State that was told by another process."""

    st_mode: int
    st_dev: int
    st_ino: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


class Captured(NamedTuple):
    """A file as it was read."""

    attributes: Attributes
    items: list[Item]
    state: State
    "as it was when it was opened, if it did not change since"
    change: Change


class FileReader:
    """Reads files for one ingest."""

    def __init__(
        self, sink: BlockSink, cutter: Cutter, emit_list: EmitList, progress: Progress,
        report: Report, checkpoint: Callable[[], bool], ahead: LookAhead,
    ) -> None:  # fmt: skip
        self._sink = sink
        self._cutter = cutter
        self._emit_list = emit_list
        self._progress = progress
        self._report = report
        self._checkpoint = checkpoint
        "may commit progress, within a long file too; tells whether it did"
        self.bytes_read = 0
        self._ahead = ahead

    def capture(
        self, path: bytes, seen: os.stat_result, *, nlink: int, at: bytes | None = None
    ) -> Captured:
        """Read the regular file at `path`, which lstat saw as `seen`; `at` is how to reach it.

        Raises OSError where it cannot be read; blocks that were taken in until then stay.
        """
        at = at or path
        read = self._ahead.take(at)
        if read is not None:
            return self._taken(path, seen, *read)
        with open_file(at, seen, descriptor=self._ahead.take_open(at)) as file:
            items = self._small(file) if self._is_small(file) else self._large(file)
            attributes = attributes_of_open(
                file.descriptor, path, file.stat, size=_length(items), report=self._report,
                nlink=nlink,
            )  # fmt: skip
            outcome = file.outcome()
        self._judge(path, outcome.change)
        return Captured(attributes, items, file.stat, outcome.change)

    def expect(self, at: bytes, status: os.stat_result, *, lasting: bool) -> bool:
        """Make ready what will be captured soon, as `LookAhead.expect`."""
        return self._ahead.expect(at, status, lasting=lasting)

    def forget(self) -> None:
        """Let go of what was made ready and not captured."""
        self._ahead.forget()

    def stream(self, source: Readable) -> list[Item]:
        """Read a stream to its end."""
        content = ContentBuilder(self._emit_list)
        self._add(content, self._cutter.cut_stream(source))
        return content.finish()

    def _taken(self, path: bytes, seen: os.stat_result, read: Read, content: bytes) -> Captured:
        """A file that was read ahead."""
        attributes = read.attributes
        items = []
        if content:
            self._count(len(content))
            items.append(self._sink.add(content, BlockKey(read.key)))
        self._judge(path, read.change)
        state = _Opened(
            attributes.mode, seen.st_dev, seen.st_ino,
            attributes.size, attributes.mtime_ns, read.ctime_ns,
        )  # fmt: skip
        return Captured(attributes, items, state, read.change)

    def _is_small(self, file: File) -> bool:
        """Whether it is one block whatever is in it: the chunker would not cut it."""
        return file.small and file.stat.st_size <= self._cutter.chunker.minimum

    def _small(self, file: File) -> list[Item]:
        data = file.read_small()
        if not data:
            return []
        self._count(len(data))
        return [self._sink.add(data)]

    def _large(self, file: File) -> list[Item]:
        content = ContentBuilder(self._emit_list)
        for extent in file.extents():
            if isinstance(extent, Hole):
                content.add(hole(extent.length))
            else:
                self._add(content, self._blocks(extent))
        return content.finish()

    def _blocks(self, run: Run) -> Iterable[memoryview]:
        if run.data.length <= _AT_ONCE:
            return self._cutter.cut(run.read())
        return self._cutter.cut_stream(run)

    def _add(self, content: ContentBuilder, blocks: Iterable[memoryview]) -> None:
        for block in blocks:
            content.add(self._sink.add(block))
            self._count(len(block))
            if self._checkpoint():
                content.committed(self._sink.rely)

    def _count(self, length: int) -> None:
        self.bytes_read += length
        self._progress.bytes += length

    def _judge(self, path: bytes, change: Change) -> None:
        """One that only grew was read as it was at one moment; the others may be torn."""
        if change in (Change.SHRANK, Change.ALTERED):
            self._report(Finding(Trouble.CHANGED, path, change.value))


def _length(items: list[Item]) -> int:
    return items[0].length if len(items) == 1 else sum(item.length for item in items)
