"""Walking a snapshot's tree: directories are made on the way, the rest is handed out in batches.

The walk is a plain generator that runs in a thread, with a database connection of its own. A batch
follows the order of paths, in which the blocks of small files lie side by side.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from snapfs.jobs.restore import groups
from snapfs.jobs.restore.choice import Choice, Inside, Item
from snapfs.jobs.restore.decide import Verdict, is_safe_name, judge
from snapfs.jobs.restore.directory import Directories, OpenDirectory, remove_temporaries
from snapfs.jobs.restore.options import Overwrite, RestoreOptions
from snapfs.jobs.restore.owners import OwnerMap
from snapfs.jobs.restore.removal import Removal
from snapfs.jobs.restore.report import Tally
from snapfs.metadata.tree import Node
from snapfs.model.attributes import Attributes
from snapfs.model.content import Content
from snapfs.model.finding import Finding, Trouble
from snapfs.model.identity import NodeNumber
from snapfs.sources.attributes import attributes_of

_BATCH_ENTRIES = 256
_BATCH_DIRECTORIES = 32
"each is a descriptor that stays open"


class Task(msgspec.Struct, frozen=True, eq=False):
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

    def takes(self, task: Task) -> bool:
        """Take one more task, if it may go with those that are here."""
        size = groups.data_length(task.content)
        if self.tasks and (
            len(self.tasks) >= _BATCH_ENTRIES
            or self.size + size > groups.LIMIT
            or (
                task.directory not in self.directories
                and len(self.directories) >= _BATCH_DIRECTORIES
            )
        ):
            return False
        self.tasks.append(task)
        self.size += size
        self.directories.add(task.directory)
        return True


@dataclass(slots=True, eq=False)
class _Level:
    """A directory that is being walked."""

    item: Item
    items: Iterator[Item]
    directory: OpenDirectory | None
    "None: it is made as soon as something in it is"


class Walk:
    """One walk through what lies at a path of a snapshot."""

    def __init__(
        self, choice: Choice, removal: Removal | None, directories: Directories, owners: OwnerMap,
        options: RestoreOptions, tally: Tally,
    ) -> None:  # fmt: skip
        self._choice = choice
        self._removal = removal
        self._directories = directories
        self._owners = owners
        self._options = options
        self._tally = tally
        self._is_root = os.geteuid() == 0

    def batches(self, top: Item, target: OpenDirectory) -> Iterator[Batch]:
        """What is to be made below the target, which is released in the end.

        Raises LocalError where the target is full or read-only, ViewDamagedError.
        """
        batch = Batch()
        for task in self._tasks(top, target):
            if task.is_large:
                yield Batch([task])
            elif not batch.takes(task):
                yield batch
                batch = Batch()
                batch.takes(task)
        if batch.tasks:
            yield batch

    def _tasks(self, top: Item, target: OpenDirectory) -> Iterator[Task]:
        if target.descriptor >= 0 and not target.fresh and not self._options.dry_run:
            remove_temporaries(target.descriptor)
        if not top.inside:
            yield from self._single(target, top)
            return
        self._purge(target, top)
        levels = [_Level(top, self._choice.items(top.inside), target)]
        while levels:
            level = levels[-1]
            item = next(level.items, None)
            if item is None:
                levels.pop()
                if level.directory is not None:
                    self._directories.release(level.directory)
            elif not self._is_sound(levels, item):
                self._refuse(levels, item.name)
            elif item.inside:
                levels.append(_Level(item, self._choice.items(item.inside), None))
                if not item.passing:
                    self._open(levels)
            elif directory := self._open(levels):
                yield from self._task(directory, item)

    def _single(self, target: OpenDirectory, top: Item) -> Iterator[Task]:
        if self._is_entry(top):
            yield from self._task(target, top)
        else:
            self._refuse_in(target.path, top.name)
        self._directories.release(target)

    def _open(self, levels: list[_Level]) -> OpenDirectory | None:
        """The directory of the last level, made with those that lead to it; None: it is left."""
        if levels[-1].directory is not None:
            return levels[-1].directory
        for depth, level in enumerate(levels):
            if level.directory is not None:
                continue
            parent = levels[depth - 1].directory
            assert parent is not None
            wanted = self.wanted(level.item.node)
            level.directory = self._directories.enter(
                parent, level.item.name, wanted, passing=level.item.passing
            )
            if level.directory is None:
                del levels[depth:]
                return None
            self._purge(level.directory, level.item)
        return levels[-1].directory

    def _purge(self, directory: OpenDirectory, item: Item) -> None:
        # BEFORE anything is made in it: on a file system that takes A and a for one name, what was
        # made would be removed else.
        if self._removal is not None and not directory.fresh:
            self._removal.purge(directory, item.inside)

    def _is_sound(self, levels: list[_Level], item: Item) -> bool:
        """False for what cannot come from a log that was checked, but from a damaged replica."""
        if item.inside:
            return self._is_directory(item) and not self._is_circle(levels, item)
        return self._is_entry(item)

    def _is_entry(self, item: Item) -> bool:
        return is_safe_name(item.name) and not item.node.attributes.is_directory

    def _is_directory(self, item: Item) -> bool:
        return is_safe_name(item.name) and item.node.attributes.is_directory

    def _is_circle(self, levels: list[_Level], item: Item) -> bool:
        above: Iterator[Inside] = (level.item.inside for level in levels)
        return any(number and number in inside for inside in above for number in item.inside)

    def _task(self, directory: OpenDirectory, item: Item) -> Iterator[Task]:
        wanted = self.wanted(item.node)
        if item.hides:
            self._tally.found(
                Trouble.REFUSED,
                directory.join(item.name),
                "was a directory before it became this: what it held then is not restored",
            )
        verdict = self._verdict(directory, item.name, wanted)
        # One of several names may be as it should and yet be another inode: that is seen later.
        if verdict is Verdict.KEEP or (verdict is Verdict.SAME and wanted.nlink == 1):
            self._tally.skipped(wanted, directory.join(item.name))
            return
        if self._removal is not None:
            self._removal.clear(directory, item.name)
        self._directories.hold(directory)
        yield Task(
            directory, item.name, item.node.number, wanted, item.node.content(),
            verdict is Verdict.SAME,
        )  # fmt: skip

    def wanted(self, node: Node) -> Attributes:
        """The attributes that a node gets here."""
        attributes = node.attributes
        uid, gid = self._owners.user(attributes.uid), self._owners.group(attributes.gid)
        if (uid, gid) == (attributes.uid, attributes.gid):
            return attributes
        return msgspec.structs.replace(attributes, uid=uid, gid=gid)

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

    def _refuse(self, levels: list[_Level], name: bytes) -> None:
        opened = [level.directory for level in levels if level.directory is not None]
        passed = (level.item.name for level in levels[len(opened) :])
        self._refuse_in(b"/".join((opened[-1].path, *passed)), name)

    def _refuse_in(self, directory: bytes, name: bytes) -> None:
        # Not joined: a name with a leading slash would look as if it were a path of its own.
        self._tally.found(
            Trouble.REFUSED, directory + b"/" + name, "is an entry that cannot be in a directory"
        )


def _ignore(finding: Finding) -> None:
    """What cannot be read of an existing file makes it differ, and no more."""
