"""Walking a snapshot's tree in the order of the archive, in batches of bounded size.

The walk is a plain generator that runs in a thread, with a database connection of its own. In a
directory names stand in order of their bytes, and each directory is followed by all that is in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.jobs.export.report import Tally
from snapfs.jobs.restore.decide import is_safe_name
from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model.finding import Trouble
from snapfs.model.identity import Commit

LARGE = 4 * 1024 * 1024
"bytes; the contents of a batch are as much at most, or are one larger file"
_MEMBERS = 512


@dataclass(frozen=True, slots=True)
class Member:
    """What becomes one member of the archive."""

    name: bytes
    "its path in the archive, which begins with ./"
    path: bytes
    "absolute in the snapshot"
    node: Node

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return self.node.attributes.size if self.node.attributes.is_file else 0


@dataclass(slots=True)
class _Level:
    name: bytes
    path: bytes
    number: int
    entries: Iterator[Entry]


class Walk:
    """One walk through what lies at a path of a snapshot."""

    def __init__(self, tree: Tree, commit: Commit, tally: Tally) -> None:
        self._tree = tree
        self._commit = commit
        self._tally = tally

    def batches(self, top: Entry, path: bytes) -> Iterator[list[Member]]:
        """The members; a file that is larger than `LARGE` is alone. Raises ViewDamagedError."""
        batch: list[Member] = []
        size = 0
        for member in self._members(top, path):
            if batch and (len(batch) == _MEMBERS or size + member.size > LARGE):
                yield batch
                batch, size = [], 0
            batch.append(member)
            size += member.size
        if batch:
            yield batch

    def _members(self, top: Entry, path: bytes) -> Iterator[Member]:
        if top.child is None:
            yield Member(b"./" + top.name, path, top.node)
            return
        yield Member(b".", path, top.node)
        levels = [self._level(b".", path.rstrip(b"/"), top.child)]
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop()
                continue
            member = Member(
                level.name + b"/" + entry.name, level.path + b"/" + entry.name, entry.node
            )
            if not self._is_sound(entry, levels):
                self._tally.found(
                    Trouble.REFUSED, member.path, "is an entry that cannot be in a directory"
                )
                continue
            yield member
            if entry.child is not None:
                levels.append(self._level(member.name, member.path, entry.child))

    def _level(self, name: bytes, path: bytes, number: int) -> _Level:
        return _Level(name, path, number, self._tree.entries(number, self._commit))

    def _is_sound(self, entry: Entry, levels: list[_Level]) -> bool:
        """False for what cannot come from a log that was checked, but from a damaged replica."""
        is_directory = entry.node.attributes.is_directory
        return (
            is_safe_name(entry.name)
            and is_directory == (entry.child is not None)
            and all(level.number != entry.child for level in levels)
        )
