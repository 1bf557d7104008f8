"""The walk: the source's tree beside the one that its head has; what differs becomes the delta.

Straight-line code in one thread. Directories are walked depth first in order of their names' bytes,
so that neighbours in a tree are neighbours in packs. A directory's listing is complete before the
first of its entries is compared: what is not in it is gone. Listing runs a little ahead of
comparing, over the borders of directories: most of them hold few files.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from snapfs.jobs.ingest.comparing import Directory, EntryWalk
from snapfs.jobs.ingest.contents import Item
from snapfs.jobs.ingest.delta import Delta
from snapfs.jobs.ingest.files import FileReader
from snapfs.jobs.ingest.links import LinkedFiles
from snapfs.jobs.ingest.listahead import ListingHelper
from snapfs.jobs.ingest.merge import merge
from snapfs.jobs.ingest.options import IngestOptions
from snapfs.jobs.ingest.reach import reached
from snapfs.jobs.ingest.removal import clear_below
from snapfs.jobs.ingest.tally import Tally
from snapfs.jobs.ingest.todo import Todo
from snapfs.jobs.progress import Progress
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.local import PAGE, Confirmed, Known, Local, directory_key
from snapfs.metadata.names import ANCHOR, ROOT, join
from snapfs.metadata.tree import Node, Tree
from snapfs.model.finding import Finding, Trouble
from snapfs.model.identity import Commit, DirectoryNumber
from snapfs.model.snapshot import Source
from snapfs.sources.exclude import Excluder
from snapfs.sources.listing import Found, list_directory
from snapfs.sources.reading import State
from snapfs.sources.roots import ancestors
from snapfs.sources.trouble import Report, describe, finding_of

_SETTLED_NS = 60 * 10**9
"age that times must have for a state to be trusted: a store into a mapped page may move none"
_CONFIRM_AT_ONCE = 4096
_WAITING = 1024
"entries that wait to be compared"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the source's head is, in the replica. Changes with each commit of this ingest."""

    source: Source | None
    head: Commit


@dataclass(slots=True)
class Walk:
    """One pass over the source. `checkpoint` is called between entries and may commit progress."""

    options: IngestOptions
    local: Local
    tree: Tree
    baseline: Baseline
    damaged: NumberSet
    "numbers of nodes whose content holds damaged blocks: their files are read, changed or not"
    delta: Delta
    reader: FileReader
    listing: ListingHelper | None
    excluder: Excluder
    report: Report
    progress: Progress
    tally: Tally
    spill: Path
    checkpoint: Callable[[], object]
    same_content: Callable[[Node, list[Item]], bool]
    began_ns: int
    "when this pass began, before anything was read"
    check_cancelled: Callable[[], None]
    "raises where the ingest is to end; called once for each directory"
    never_names: frozenset[bytes] = field(init=False)
    "of what is never captured, so that few paths need be looked at"
    _confirmed: list[Confirmed] = field(default_factory=list)
    _todo: Todo = field(default_factory=Todo)
    _waiting: deque[tuple[EntryWalk, Found | None, Known | None]] = field(default_factory=deque)
    "what is to be compared, in its order; None for both is behind the last entry of a directory"

    def __post_init__(self) -> None:
        self.never_names = frozenset(path.rpartition(b"/")[2] for path in self.options.never)

    def run(self) -> None:
        """Walk everything. The delta is complete when this returns, but for the last flush."""
        linked = LinkedFiles(self)
        anchor = self.baseline.source.anchor if self.baseline.source else None
        self._todo.add(Directory(ANCHOR, anchor, None))
        above = frozenset(step for root in self.options.roots for step in ancestors(root))
        try:
            while self._todo:
                self._directory(self._todo.pop(), above, linked)
                self.check_cancelled()
                if not self._todo:
                    self._compare_all()  # where a directory may be that was none when it was listed
        finally:
            self.reader.forget()
        linked.run()
        self.flush_confirmed()

    def compare_later(self, entries: EntryWalk, found: Found | None, known: Known | None) -> None:
        """Have a name compared when it is its turn."""
        self._waiting.append((entries, found, known))
        if len(self._waiting) > _WAITING:
            self._compare_next()

    def expect(self, at: bytes, status: os.stat_result, *, lasting: bool) -> None:
        """Have a file made ready that will be compared; others are, until there is room for it."""
        while not self.reader.expect(at, status, lasting=lasting) and self._waiting:
            self._compare_next()

    def descend(self, directory: Directory) -> None:
        """Walk a directory too that was none when it was listed."""
        self._todo.add(directory)

    def _compare_all(self) -> None:
        while self._waiting:
            self._compare_next()

    def _compare_next(self) -> None:
        entries, found, known = self._waiting.popleft()
        if found is None and known is None:
            entries.end()
        else:
            entries.compare(found, known)

    def flush_confirmed(self) -> None:
        """Note what was confirmed so far for the current run."""
        if self._confirmed:
            confirmed, self._confirmed = self._confirmed, []
            self.local.confirm(confirmed)

    # --- directories

    def _directory(
        self, directory: Directory, above: frozenset[bytes], linked: "LinkedFiles"
    ) -> None:
        """List one directory; its entries are compared later, and its subdirectories listed."""
        self.progress.current = directory.path
        key = directory_key(self.options.host, self.options.name, directory.path)
        below: list[Directory] = []
        with ExitStack() as stack:
            try:
                at = stack.enter_context(reached(directory.path))
            except OSError as error:
                self._not_listed(directory, error)
                return
            entries = EntryWalk(self, directory, key, at, below, linked)
            names = merge(self._found(entries, above), self._known(directory, key))
            entries.take_all(self._as_listed(directory, names))
            self.compare_later(entries, None, None)
            if at != directory.path:
                self._compare_all()  # what it is reached by is gone with the block
        self._todo.add(*below)
        if self.listing is not None:
            self.listing.coming(directory.path, self._todo.soon())

    def _as_listed(
        self, directory: Directory, names: Iterator[tuple[Found | None, Known | None]]
    ) -> Iterator[tuple[Found | None, Known | None]]:
        try:
            yield from names
        except OSError as error:
            # Not listed to its end: nothing of it is taken for gone. It stays as it was.
            self._not_listed(directory, error)

    def _not_listed(self, directory: Directory, error: OSError) -> None:
        self.report(finding_of(directory.path, error))
        self.tally.failed += 1

    def _found(self, entries: EntryWalk, above: frozenset[bytes]) -> Iterator[list[Found]]:
        directory = entries.directory
        path = directory.path
        if path == ANCHOR:
            yield [Found(ROOT, os.stat(b"/"))]
        elif path in above and path not in self.options.roots:
            yield self._look(entries, self._steps(path))
        elif directory.only is not None:
            yield self._look(entries, directory.only)
        else:
            pages = list_directory(entries.at, report=entries.cannot_look, spill=self.spill)
            yield from pages if self.listing is None else self.listing.watch(pages)

    def _steps(self, path: bytes) -> set[bytes]:
        """The names in a directory above roots that lead to them."""
        prefix = path if path == ROOT else path + b"/"
        return {
            root[len(prefix) :].partition(b"/")[0]
            for root in self.options.roots
            if root.startswith(prefix)
        }

    def _look(self, entries: EntryWalk, names: Iterable[bytes]) -> list[Found]:
        """Look at chosen entries. On the way to a root links are followed, at its end not."""
        directory = entries.directory
        found = []
        for name in sorted(names):
            path = join(directory.path, name)
            follow = directory.device is None and path not in self.options.roots
            try:
                status = os.stat(join(entries.at, name), follow_symlinks=follow)
            except OSError as error:
                # It was there when the ingest was told of it, or just now: that is no deletion.
                entries.cannot_look(Finding(Trouble.UNREADABLE, path, describe(error)))
            else:
                found.append(Found(name, status))
        return found

    def _known(self, directory: Directory, key: int) -> Iterator[list[Known]]:
        if directory.number is None:
            return
        after = b""
        while page := self.local.known(directory.number, key, self.baseline.head, after=after):
            yield page
            if len(page) < PAGE:
                return
            after = page[-1].name

    # --- what the entries need

    def confirm(self, key: int, name: bytes, state: State) -> None:
        """Note the state of an entry, if its times are old enough to be trusted next time."""
        if (
            self.options.dry_run
            or max(state.st_mtime_ns, state.st_ctime_ns) > self.began_ns - _SETTLED_NS
        ):
            return
        size = state.st_size if stat.S_ISREG(state.st_mode) else 0
        self._confirmed.append(
            Confirmed(key, name, size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        )
        if len(self._confirmed) >= _CONFIRM_AT_ONCE:
            self.flush_confirmed()

    def is_confirmed(self, known: Known, status: os.stat_result) -> bool:
        """Whether an entry is in the very state in which it was found to be as the head has it."""
        return (
            known.inode == status.st_ino
            and known.ctime_ns == status.st_ctime_ns
            and known.mtime_ns == status.st_mtime_ns
            and (known.size == status.st_size or not stat.S_ISREG(status.st_mode))
            and not self.options.force
            and known.node not in self.damaged
        )

    def clear(self, number: DirectoryNumber, path: bytes) -> None:
        """End all entries below a directory that is gone, and count them."""
        host, name = self.options.host, self.options.name
        self.tally.removed += clear_below(
            self.tree, self.baseline.head, self.delta, number, path,
            ended=lambda at: self.local.drop_all([directory_key(host, name, at)]),
        )  # fmt: skip
