"""Walking a snapshot's tree: directories are made on the way, the rest is handed out in batches.

The walk is a plain generator that runs in a thread, with a database connection of its own. A batch
follows the order of paths, in which the blocks of small files lie side by side.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from snapfs.jobs.restore import groups
from snapfs.jobs.restore.decide import Verdict, is_safe_name, judge
from snapfs.jobs.restore.directory import Directories, OpenDirectory, remove_temporaries
from snapfs.jobs.restore.options import Overwrite, RestoreOptions
from snapfs.jobs.restore.owners import OwnerMap
from snapfs.jobs.restore.report import Tally
from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model.attributes import Attributes
from snapfs.model.content import Content
from snapfs.model.finding import Finding, Trouble
from snapfs.model.identity import Commit, NodeNumber
from snapfs.sources.attributes import attributes_of

_BATCH_ENTRIES = 256
_BATCH_DIRECTORIES = 32
"each is a descriptor that stays open"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """An entry that is not a directory, to be made; holds its directory until it is released."""

    directory: OpenDirectory
    name: bytes
    node: NodeNumber
    wanted: Attributes
    content: Content
    same: bool
    "what is there is what would be made"

    @property
    def path(self) -> bytes:
        """Absolute, for findings."""
        return self.directory.join(self.name)

    @property
    def is_large(self) -> bool:
        """Whether its content is more than one group."""
        return not groups.is_small(self.content)


@dataclass(slots=True)
class Batch:
    """Tasks that are done together: one large file, or many small entries."""

    tasks: list[Task] = field(default_factory=list)
    size: int = 0
    directories: set[OpenDirectory] = field(default_factory=set)

    def add(self, task: Task) -> None:
        """Take one more task."""
        self.tasks.append(task)
        self.size += groups.data_length(task.content)
        self.directories.add(task.directory)

    def has_room(self, task: Task) -> bool:
        """Whether a task may still go with these."""
        return (
            len(self.tasks) < _BATCH_ENTRIES
            and self.size + groups.data_length(task.content) <= groups.LIMIT
            and (task.directory in self.directories or len(self.directories) < _BATCH_DIRECTORIES)
        )


@dataclass(slots=True, eq=False)
class _Level:
    """A directory that is being walked."""

    directory: OpenDirectory
    number: int
    entries: Iterator[Entry]


class Walk:
    """One walk through what lies at a path of a snapshot."""

    def __init__(
        self, tree: Tree, commit: Commit, directories: Directories, owners: OwnerMap,
        options: RestoreOptions, tally: Tally,
    ) -> None:  # fmt: skip
        self._tree = tree
        self._commit = commit
        self._directories = directories
        self._owners = owners
        self._options = options
        self._tally = tally
        self._is_root = os.geteuid() == 0

    def batches(self, top: Entry, target: OpenDirectory) -> Iterator[Batch]:
        """What is to be made below the target, which is released in the end.

        Raises LocalError where the target is full or read-only, ViewDamagedError.
        """
        batch = Batch()
        for task in self._tasks(top, target):
            if task.is_large:
                large = Batch()
                large.add(task)
                yield large
                continue
            if not batch.has_room(task):
                yield batch
                batch = Batch()
            batch.add(task)
        if batch.tasks:
            yield batch

    def _tasks(self, top: Entry, target: OpenDirectory) -> Iterator[Task]:
        if target.descriptor >= 0 and not target.fresh and not self._options.dry_run:
            remove_temporaries(target.descriptor)
        if top.child is None:
            yield from self._task(target, top)
            self._directories.release(target)
            return
        levels = [_Level(target, top.child, self._tree.entries(top.child, self._commit))]
        active = {int(top.child)}
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop()
                active.discard(level.number)
                self._directories.release(level.directory)
            elif not entry.node.attributes.is_directory:
                yield from self._task(level.directory, entry)
            elif deeper := self._enter(level.directory, entry, active):
                levels.append(deeper)
                active.add(deeper.number)

    def _enter(self, parent: OpenDirectory, entry: Entry, active: set[int]) -> _Level | None:
        # Neither can come from a log that was checked; a replica on this disk may be damaged.
        if not is_safe_name(entry.name) or entry.child is None or entry.child in active:
            self._refuse(parent, entry.name)
            return None
        wanted = self.wanted(entry.node)
        directory = self._directories.enter(parent, entry.name, wanted)
        if directory is None:
            return None
        entries = self._tree.entries(entry.child, self._commit)
        return _Level(directory, entry.child, entries)

    def _task(self, directory: OpenDirectory, entry: Entry) -> Iterator[Task]:
        if not is_safe_name(entry.name) or entry.child is not None:
            self._refuse(directory, entry.name)
            return
        wanted = self.wanted(entry.node)
        verdict = self._verdict(directory, entry.name, wanted)
        # One of several names may be as it should and yet be another inode: that is seen later.
        if verdict is Verdict.KEEP or (verdict is Verdict.SAME and wanted.nlink == 1):
            self._tally.skipped(wanted)
            return
        self._directories.hold(directory)
        yield Task(
            directory, entry.name, entry.node.number, wanted, entry.node.content(),
            verdict is Verdict.SAME,
        )  # fmt: skip

    def wanted(self, node: Node) -> Attributes:
        """The attributes that a node gets here."""
        attributes = node.attributes
        uid, gid = self._owners.user(attributes.uid), self._owners.group(attributes.gid)
        if (uid, gid) == (attributes.uid, attributes.gid):
            return attributes
        return replace(attributes, uid=uid, gid=gid)

    def _verdict(self, directory: OpenDirectory, name: bytes, wanted: Attributes) -> Verdict:
        overwrite = self._options.overwrite
        if overwrite is Overwrite.ALWAYS or directory.fresh or directory.descriptor < 0:
            return Verdict.REPLACE
        try:
            status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
            existing = attributes_of(
                b"/proc/self/fd/%d/%s" % (directory.descriptor, name),
                status,
                report=_ignore,
                nlink=status.st_nlink,
            )
        except OSError:
            return Verdict.REPLACE  # it is not there; if it is, making it meets the same error
        return judge(overwrite, wanted, existing, owners=self._is_root)

    def _refuse(self, directory: OpenDirectory, name: bytes) -> None:
        # Not joined: a name with a leading slash would look as if it were a path of its own.
        path = directory.path + b"/" + name
        self._tally.found(Trouble.REFUSED, path, "is an entry that cannot be in a directory")


def _ignore(finding: Finding) -> None:
    """What cannot be read of an existing file makes it differ, and no more."""
