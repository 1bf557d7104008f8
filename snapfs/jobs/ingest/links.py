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
from snapfs.jobs.ingest.reach import about, reached
from snapfs.metadata.local import Known
from snapfs.metadata.names import join
from snapfs.model.attributes import Attributes
from snapfs.model.finding import Finding, Trouble
from snapfs.model.identity import DirectoryNumber
from snapfs.sources.attributes import attributes_of
from snapfs.sources.listing import Found
from snapfs.sources.reading import Change, State
from snapfs.sources.trouble import finding_of

if TYPE_CHECKING:
    from snapfs.jobs.ingest.walk import Walk

_AT_ONCE = 1000
"names that are written to the table, or read from it, at once"


class _Name(NamedTuple):
    """One name of an inode."""

    device: int
    inode: int
    "as SQLite can hold it: less 2^63"
    directory: bytes
    name: bytes
    key: int
    "of the directory, for what is confirmed"
    node: int | None
    "of the file that the head has under this name; None: no such file"
    child: DirectoryNumber | None
    "the directory that the head has under this name"
    confirmed: bool
    "it is in the state in which it was found to be as the head has it"

    @property
    def path(self) -> bytes:
        return join(self.directory, self.name)

    def leads_to(self, status: os.stat_result) -> bool:
        """Whether this is the inode that had this name when the directory was listed."""
        return (status.st_dev, _signed(status.st_ino)) == (self.device, self.inode)


@dataclass(frozen=True, slots=True)
class _Read:
    """An inode as it was read."""

    attributes: Attributes
    items: list[Item]
    state: State
    settled: bool


class LinkedFiles:
    """The files of one walk that have more than one name."""

    def __init__(self, walk: "Walk") -> None:
        self._walk = walk
        self._db = walk.local.db
        self._waiting: list[_Name] = []
        self._db.execute("DROP TABLE IF EXISTS temp.linked")
        self._db.execute(
            "CREATE TEMP TABLE linked (device, inode, directory, name, key, node, child, confirmed,"
            " PRIMARY KEY (device, inode, directory, name)) WITHOUT ROWID"
        )

    def add(self, directory: bytes, key: int, found: Found, known: Known | None) -> None:
        """Set a name aside."""
        status = found.stat
        node = child = None
        if known is not None:
            node, child = (known.node, None) if known.child is None else (None, known.child)
        confirmed = (
            known is not None and node is not None and self._walk.is_confirmed(known, status)
        )
        inode = _signed(status.st_ino)
        self._waiting.append(
            _Name(status.st_dev, inode, directory, found.name, key, node, child, confirmed)
        )
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def run(self) -> None:
        """Record them all."""
        self._flush()
        for _, group in groupby(self._names(), key=lambda name: (name.device, name.inode)):
            self._record(list(group))
            self._walk.checkpoint()
        self._db.execute("DROP TABLE temp.linked")

    def _flush(self) -> None:
        with self._db.writing():
            self._db.execute_many(
                "INSERT OR REPLACE INTO temp.linked VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._waiting
            )
        self._waiting.clear()

    def _names(self) -> Iterator[_Name]:
        # Page by page: a query that stays open would keep this connection from seeing what is
        # committed meanwhile.
        after: tuple[int, int, bytes, bytes] = (-(2**63), -(2**63), b"", b"")
        while rows := self._db.rows(
            "SELECT * FROM temp.linked WHERE (device, inode, directory, name) > (?, ?, ?, ?)"
            " ORDER BY device, inode, directory, name LIMIT ?",
            (*after, _AT_ONCE),
        ):
            yield from (_Name(*row) for row in rows)
            after = rows[-1][:4]

    def _record(self, names: list[_Name]) -> None:
        walk = self._walk
        if self._is_unchanged(names):
            node = walk.tree.node(names[0].node or 0)
            walk.tally.unchanged += len(names)
            walk.tally.bytes_total += node.attributes.size if node else 0
            walk.progress.files += len(names)
            return
        here = [name for name in names if self._is_there(name)]
        if here:
            self._capture(here)

    def _is_unchanged(self, names: list[_Name]) -> bool:
        """All names are as they were, and there are as many as there were."""
        first = names[0]
        if not all(name.confirmed and name.node == first.node for name in names):
            return False
        node = self._walk.tree.node(first.node or 0)
        return node is not None and node.attributes.nlink == len(names)

    # --- reading

    def _is_there(self, name: _Name) -> bool:
        """Whether a name still leads to its inode; what became of one that does not is recorded."""
        try:
            with reached(name.directory) as at:
                status = os.lstat(join(at, name.name))
        except OSError as error:
            self._failed(name, finding_of(name.path, error))
            return False
        if name.leads_to(status):
            return True
        if stat.S_ISDIR(status.st_mode):
            detail = "a directory took its place meanwhile: it is as it was before"
            self._failed(name, Finding(Trouble.CHANGED, name.path, detail))
        else:
            self._capture([name._replace(device=status.st_dev, inode=_signed(status.st_ino))])
        return False

    def _failed(self, name: _Name, finding: Finding) -> None:
        """Unreadable: it stays as the head has it. Vanished: it is gone from there too."""
        walk = self._walk
        walk.report(finding)
        if finding.trouble is not Trouble.VANISHED:
            walk.tally.failed += 1
            return
        if name.child is not None:
            walk.clear(name.child, name.path)
        elif name.node is not None:
            walk.tally.removed += 1
        if name.child is not None or name.node is not None:
            walk.delta.remove(name.directory, name.name)

    def _capture(self, names: list[_Name]) -> None:
        """Record the inode that these names lead to, and them as its names."""
        walk = self._walk
        read = self._read(names)
        if read is None:
            return
        if read.attributes.is_file:
            walk.tally.bytes_total += read.attributes.size
        reference, held = self._reference(names, read)
        for name in names:
            self._set(name, reference, held)
            if read.settled:
                walk.confirm(name.key, name.name, read.state)

    def _read(self, names: list[_Name]) -> _Read | None:
        """The inode, by the first of its names that leads to it."""
        walk = self._walk
        for name in names:
            walk.progress.current = name.path
            try:
                with reached(name.directory) as at:
                    return self._read_by(name, join(at, name.name), len(names))
            except OSError as error:
                failure = error
        detail = failure.strerror or type(failure).__name__
        walk.report(Finding(Trouble.UNREADABLE, names[0].path, detail))
        walk.tally.failed += 1
        return None

    def _read_by(self, name: _Name, at: bytes, nlink: int) -> _Read:
        walk = self._walk
        reported = walk.progress.findings
        status = os.lstat(at)
        if not name.leads_to(status):
            raise FileNotFoundError(0, "was replaced again and again when it was to be read")
        if stat.S_ISREG(status.st_mode):
            captured = walk.reader.capture(name.path, status, nlink=nlink, at=at)
            settled = captured.change is Change.NONE and walk.progress.findings == reported
            return _Read(captured.attributes, captured.items, captured.state, settled)
        report = about(walk.report, name.path)
        attributes = attributes_of(at, status, report=report, nlink=nlink)
        return _Read(attributes, [], status, walk.progress.findings == reported)

    # --- recording

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
        if name.child is not None:
            walk.clear(name.child, name.path)
        walk.delta.set_entry(name.directory, name.name, reference)


def _signed(inode: int) -> int:
    return inode - 2**63
