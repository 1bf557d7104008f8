"""The walk: the source's tree beside the one that its head has; what differs becomes the delta.

Straight-line code in one thread. Directories are walked depth first in order of their names' bytes,
so that neighbours in a tree are neighbours in packs. A directory's listing is complete before the
first of its entries is compared: what is not in it is gone.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from snapfs.jobs.ingest.contents import Item
from snapfs.jobs.ingest.delta import Delta
from snapfs.jobs.ingest.files import FileReader
from snapfs.jobs.ingest.links import LinkedFiles
from snapfs.jobs.ingest.merge import merge
from snapfs.jobs.ingest.options import IngestOptions
from snapfs.jobs.ingest.tally import Tally
from snapfs.jobs.progress import Progress
from snapfs.metadata.entries import ANCHOR, ROOT, join
from snapfs.metadata.local import PAGE, Confirmed, Known, Local, directory_key
from snapfs.metadata.tree import Node, Tree
from snapfs.model.attributes import Attributes
from snapfs.model.identity import Commit, DirectoryNumber
from snapfs.model.snapshot import Source
from snapfs.sources.attributes import attributes_of
from snapfs.sources.exclude import Excluder
from snapfs.sources.listing import Found, list_directory
from snapfs.sources.reading import Change
from snapfs.sources.roots import ancestors
from snapfs.sources.trouble import Report, finding_of

_SETTLED_NS = 60 * 10**9
"age that times must have for a state to be trusted: a store into a mapped page may move none"
_CONFIRM_AT_ONCE = 4096


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
    delta: Delta
    reader: FileReader
    excluder: Excluder
    report: Report
    progress: Progress
    tally: Tally
    spill: Path
    checkpoint: Callable[[], object]
    same_content: Callable[[Node, list[Item]], bool]
    began_ns: int = field(default_factory=time.time_ns)
    _confirmed: list[Confirmed] = field(default_factory=list)
    _todo: "list[_Directory]" = field(default_factory=list)

    def run(self) -> None:
        """Walk everything. The delta is complete when this returns, but for the last flush."""
        linked = LinkedFiles(self)
        anchor = self.baseline.source.anchor if self.baseline.source else None
        self._todo.append(_Directory(ANCHOR, anchor, None))
        above = frozenset(step for root in self.options.roots for step in ancestors(root))
        while self._todo:
            self._directory(self._todo.pop(), above, linked)
        linked.run()
        self.flush_confirmed()

    def flush_confirmed(self) -> None:
        """Note what was confirmed so far for the current run."""
        if self._confirmed:
            confirmed, self._confirmed = self._confirmed, []
            self.local.confirm(confirmed)

    # --- directories

    def _directory(
        self, directory: "_Directory", above: frozenset[bytes], linked: "LinkedFiles"
    ) -> None:
        """Compare one directory's entries; its subdirectories are left for later."""
        self.progress.current = directory.path
        key = directory_key(self.options.host, self.options.name, directory.path)
        below: list[_Directory] = []
        entry = _EntryWalk(self, directory, key, below, linked)
        try:
            for found, known in merge(self._found(directory, above), self._known(directory, key)):
                entry.compare(found, known)
        except OSError as error:
            # Not listed to its end: nothing of it is taken for gone. It stays as it was.
            self.report(finding_of(directory.path, error))
            self.tally.failed += 1
            return
        entry.end()
        self._todo.extend(reversed(below))

    def _found(self, directory: "_Directory", above: frozenset[bytes]) -> Iterator[list[Found]]:
        path = directory.path
        if path == ANCHOR:
            yield [Found(ROOT, os.stat(b"/"))]
        elif path in above and path not in self.options.roots:
            yield self._steps(path)
        elif directory.only is not None:
            yield [Found(name, os.lstat(join(path, name))) for name in sorted(directory.only)]
        else:
            yield from list_directory(path, report=self.report, spill=self.spill)

    def _steps(self, path: bytes) -> list[Found]:
        """The entries of a directory above roots: only those that lead to them."""
        prefix = path if path == ROOT else path + b"/"
        names = {
            root[len(prefix) :].partition(b"/")[0]
            for root in self.options.roots
            if root.startswith(prefix)
        }
        found = []
        for name in sorted(names):
            step = join(path, name)
            is_root = step in self.options.roots
            found.append(Found(name, os.lstat(step) if is_root else os.stat(step)))
        return found

    def _known(self, directory: "_Directory", key: int) -> Iterator[list[Known]]:
        if directory.number is None:
            return
        after = b""
        while page := self.local.known(directory.number, key, self.baseline.head, after=after):
            yield page
            if len(page) < PAGE:
                return
            after = page[-1].name

    # --- what the entries need

    def confirm(self, key: int, name: bytes, status: os.stat_result) -> None:
        """Note the state of an entry, if its times are old enough to be trusted next time."""
        if (
            self.options.dry_run
            or max(status.st_mtime_ns, status.st_ctime_ns) > self.began_ns - _SETTLED_NS
        ):
            return
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        self._confirmed.append(
            Confirmed(key, name, size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
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
        )

    def clear_below(self, number: DirectoryNumber, path: bytes) -> None:
        """End all entries below a directory that is gone, and count them."""
        gone = [(number, path)]
        while gone:
            directory, at = gone.pop()
            held = False
            for entry in self.tree.entries(directory, self.baseline.head):
                held = True
                if entry.child is not None:
                    gone.append((entry.child, join(at, entry.name)))
                else:
                    self.tally.removed += 1
            if held:
                self.delta.clear(at)
                self.checkpoint()


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory that is to be walked."""

    path: bytes
    number: DirectoryNumber | None
    "None: the head has no such directory"
    device: int | None
    "st_dev of the root that it belongs to"
    only: frozenset[bytes] | None = None
    "walk these names alone"


@dataclass(slots=True)
class _EntryWalk:
    """Compares the entries of one directory."""

    walk: Walk
    directory: _Directory
    key: int
    below: list[_Directory]
    linked: "LinkedFiles"
    gone: list[bytes] = field(default_factory=list)

    def compare(self, found: Found | None, known: Known | None) -> None:
        walk = self.walk
        if found is not None and self._is_excluded(found):
            found = None
        if found is None:
            if known is not None:
                self._removed(known)
            return
        mode = found.stat.st_mode
        if stat.S_ISDIR(mode):
            self._directory(found, known)
        elif found.stat.st_nlink > 1:
            self._replaces_directory(found.name, known)
            self.linked.add(self.directory.path, self.key, found, known)
        elif known is not None and known.child is None and walk.is_confirmed(known, found.stat):
            walk.tally.unchanged += 1
            walk.tally.bytes_total += found.stat.st_size if stat.S_ISREG(mode) else 0
            walk.progress.files += 1
        else:
            self._replaces_directory(found.name, known)
            self._changed(found, known if known is not None and known.child is None else None)
            walk.checkpoint()

    def end(self) -> None:
        if self.gone:
            self.walk.local.drop(self.key, self.gone)

    def _is_excluded(self, found: Found) -> bool:
        walk = self.walk
        path = join(self.directory.path, found.name)
        if path in walk.options.never:
            return True
        if not walk.excluder.active or self.directory.device is None:
            return False  # above the roots, and at them, patterns have no say
        mode = found.stat.st_mode
        size = found.stat.st_size if stat.S_ISREG(mode) else 0
        return walk.excluder.excludes(path, stat.S_ISDIR(mode), size)

    def _removed(self, known: Known) -> None:
        walk = self.walk
        walk.delta.remove(self.directory.path, known.name)
        self.gone.append(known.name)
        if known.child is None:
            walk.tally.removed += 1
        else:
            walk.clear_below(known.child, join(self.directory.path, known.name))

    def _replaces_directory(self, name: bytes, known: Known | None) -> None:
        """Something else stands where the head has a directory: that one's content is gone."""
        if known is not None and known.child is not None:
            self.walk.clear_below(known.child, join(self.directory.path, name))

    def _directory(self, found: Found, known: Known | None) -> None:
        walk, path = self.walk, join(self.directory.path, found.name)
        walk.tally.directories += 1
        held = known if known is not None and known.child is not None else None
        if held is None or not walk.is_confirmed(held, found.stat):
            try:
                attributes = attributes_of(path, found.stat, report=walk.report)
            except OSError as error:
                self._failed(path, error)
                return
            node = walk.tree.node(held.node) if held else None
            if node is None or node.attributes != attributes:
                position = walk.delta.add_node(attributes, [])
                is_new = held is None and self._former(found.name) is None
                walk.delta.set_entry(
                    self.directory.path, found.name, position, new_directory=is_new
                )
            walk.confirm(self.key, found.name, found.stat)
        self._descend(path, found, held)

    def _descend(self, path: bytes, found: Found, held: Known | None) -> None:
        walk = self.walk
        number = held.child if held else self._former(found.name)
        device = self.directory.device
        only: frozenset[bytes] | None = None
        if device is None and path in walk.options.roots:
            device = found.stat.st_dev
        elif device is not None and walk.excluder.leaves(found.stat.st_dev, device):
            only = frozenset()
        if device is not None and only is None:
            rule = walk.excluder.directory_rule(path)
            only = rule.names if rule else None
        self.below.append(_Directory(path, number, device, only))

    def _former(self, name: bytes) -> DirectoryNumber | None:
        """The number that a path has from an earlier time, when it was a directory before."""
        parent = self.directory.number
        return None if parent is None else self.walk.tree.child(parent, name)

    def _changed(self, found: Found, known: Known | None) -> None:
        """Read what is new or not confirmed; a delta only where it is not as the head has it."""
        walk, path = self.walk, join(self.directory.path, found.name)
        walk.progress.current = path
        items: list[Item] = []
        status, settled = found.stat, True
        try:
            if stat.S_ISREG(found.stat.st_mode):
                captured = walk.reader.capture(path, found.stat, nlink=1)
                attributes, items, status = captured.attributes, captured.items, captured.status
                settled = captured.change is Change.NONE
            else:
                attributes = attributes_of(path, found.stat, report=walk.report)
        except OSError as error:
            self._failed(path, error, known)
            return
        self._record(found.name, known, attributes, items)
        if settled:
            walk.confirm(self.key, found.name, status)

    def _record(
        self, name: bytes, known: Known | None, attributes: Attributes, items: list[Item]
    ) -> None:
        walk = self.walk
        node = walk.tree.node(known.node) if known else None
        if attributes.is_file:
            walk.tally.bytes_total += attributes.size
        walk.progress.files += 1
        if node and node.attributes == attributes and walk.same_content(node, items):
            walk.tally.unchanged += 1
            return
        if known:
            walk.tally.changed += 1
        else:
            walk.tally.new += 1
        position = walk.delta.add_node(attributes, items)
        walk.delta.set_entry(self.directory.path, name, position)

    def _failed(self, path: bytes, error: OSError, known: Known | None = None) -> None:
        """Unreadable: it stays as the head has it. Vanished: it is gone from there too."""
        walk = self.walk
        finding = finding_of(path, error)
        walk.report(finding)
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            if known is not None:
                self._removed(known)
        else:
            walk.tally.failed += 1
