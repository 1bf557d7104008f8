"""Files with several names: set aside during the walk, and recorded when all names are known.

How many names an inode has within the snapshot is part of its node, and names may lie anywhere. So
they are kept in a temporary table, in bounded memory, and read in the order of their inodes.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from snapfs.formats.parts import Reference
from snapfs.jobs.ingest.contents import Item
from snapfs.metadata.entries import join
from snapfs.metadata.local import Known
from snapfs.model.attributes import Attributes
from snapfs.sources.attributes import attributes_of
from snapfs.sources.listing import Found
from snapfs.sources.reading import Change
from snapfs.sources.trouble import finding_of

if TYPE_CHECKING:
    from snapfs.jobs.ingest.walk import Walk


class _Name(NamedTuple):
    """One name of an inode."""

    device: int
    inode: int
    directory: bytes
    name: bytes
    key: int
    "of the directory, for what is confirmed"
    node: int | None
    "that the head has under this name; None: no such file"
    confirmed: bool
    "it is in the state in which it was found to be as the head has it"

    @property
    def path(self) -> bytes:
        return join(self.directory, self.name)


@dataclass(frozen=True, slots=True)
class _Read:
    """An inode as it was read."""

    attributes: Attributes
    items: list[Item]
    status: os.stat_result
    settled: bool


class LinkedFiles:
    """The files of one walk that have more than one name."""

    def __init__(self, walk: "Walk") -> None:
        self._walk = walk
        self._db = walk.local.db
        self._db.execute("DROP TABLE IF EXISTS temp.linked")
        self._db.execute(
            "CREATE TEMP TABLE linked (device, inode, directory, name, key, node, confirmed)"
        )

    def add(self, directory: bytes, key: int, found: Found, known: Known | None) -> None:
        """Set a name aside."""
        held = known if known is not None and known.child is None else None
        confirmed = held is not None and self._walk.is_confirmed(held, found.stat)
        self._db.execute(
            "INSERT INTO linked VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                # SQLite's integers are signed
                found.stat.st_dev,
                found.stat.st_ino - 2**63,
                directory,
                found.name,
                key,
                held.node if held else None,
                confirmed,
            ),
        )

    def run(self) -> None:
        """Record them all."""
        for names in self._inodes():
            self._record(names)
            self._walk.checkpoint()
        self._db.execute("DROP TABLE temp.linked")

    def _inodes(self) -> Iterator[list[_Name]]:
        rows = self._db.stream("SELECT * FROM linked ORDER BY device, inode, directory, name")
        names = (_Name(*row) for row in rows)
        for _, group in groupby(names, key=lambda name: (name.device, name.inode)):
            yield list(group)

    def _record(self, names: list[_Name]) -> None:
        walk = self._walk
        if self._is_unchanged(names):
            node = walk.tree.node(names[0].node or 0)
            walk.tally.unchanged += len(names)
            walk.tally.bytes_total += node.attributes.size if node else 0
            walk.progress.files += len(names)
            return
        read = self._read(names)
        if read is None:
            return
        if read.attributes.is_file:
            walk.tally.bytes_total += read.attributes.size
        reference, held = self._reference(names, read)
        for name in names:
            self._set(name, reference, held)
            if read.settled:
                walk.confirm(name.key, name.name, read.status)

    def _is_unchanged(self, names: list[_Name]) -> bool:
        """All names are as they were, and there are as many as there were."""
        first = names[0]
        if not all(name.confirmed and name.node == first.node for name in names):
            return False
        node = self._walk.tree.node(first.node or 0)
        return node is not None and node.attributes.nlink == len(names)

    def _read(self, names: list[_Name]) -> _Read | None:
        """The inode, by the first of its names that leads to it."""
        walk = self._walk
        for name in names:
            try:
                status = os.lstat(name.path)
                if not stat.S_ISREG(status.st_mode):
                    attributes = attributes_of(
                        name.path, status, report=walk.report, nlink=len(names)
                    )
                    return _Read(attributes, [], status, True)
                captured = walk.reader.capture(name.path, status, nlink=len(names))
                settled = captured.change is Change.NONE
                return _Read(captured.attributes, captured.items, captured.status, settled)
            except OSError as error:
                failure = error
        walk.report(finding_of(names[0].path, failure))
        if isinstance(failure, FileNotFoundError | NotADirectoryError):
            self._vanished(names)
        else:
            walk.tally.failed += 1
        return None

    def _vanished(self, names: list[_Name]) -> None:
        for name in names:
            if name.node is not None:
                self._walk.delta.remove(name.directory, name.name)
                self._walk.tally.removed += 1

    def _reference(self, names: list[_Name], read: _Read) -> tuple[Reference, int | None]:
        """How entries refer to the node: by the path of one that has it, or as a new one."""
        walk = self._walk
        for name in names:
            node = walk.tree.node(name.node) if name.node is not None else None
            if node and node.attributes == read.attributes and walk.same_content(node, read.items):
                return name.path, node.number
        return walk.delta.add_node(read.attributes, read.items), None

    def _set(self, name: _Name, reference: Reference, held: int | None) -> None:
        walk = self._walk
        walk.progress.files += 1
        if held is not None and name.node == held:
            walk.tally.unchanged += 1
            return
        if name.node is None:
            walk.tally.new += 1
        else:
            walk.tally.changed += 1
        walk.delta.set_entry(name.directory, name.name, reference)
