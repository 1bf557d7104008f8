"""What of a source's history is restored: all of a snapshot, or what it no longer has."""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from snapfs.metadata.lost import Lost, LostName
from snapfs.metadata.tree import Entry, Node, Tree
from snapfs.model.identity import Commit, DirectoryNumber

Inside = tuple[int, ...]
"directories that are listed together; empty for what is no directory"


class Item(msgspec.Struct, frozen=True):
    """A name that is restored."""

    name: bytes
    node: Node
    inside: Inside
    passing: bool = False
    "a directory that is made only if something in it is, and keeps what it has if it is there"
    hides: bool = False
    "it was a directory once, whose content cannot be restored beside it"


class Choice(Protocol):
    """A tree that is restored. For one thread at a time."""

    def top(self, path: bytes) -> Item | None:
        """What is at an absolute path."""
        ...

    def items(self, inside: Inside) -> Iterator[Item]:
        """The names in a directory, in order of their bytes."""
        ...


class Whole:
    """All that a snapshot has."""

    def __init__(self, tree: Tree, anchor: DirectoryNumber, commit: Commit) -> None:
        self._tree = tree
        self._anchor = anchor
        self._commit = commit

    def top(self, path: bytes) -> Item | None:
        entry = self._tree.resolve(self._anchor, self._commit, path)
        return _item(entry) if entry else None

    def items(self, inside: Inside) -> Iterator[Item]:
        return map(_item, self._tree.entries(inside[0], self._commit))

    def has(self, inside: Inside, name: bytes) -> bool:
        """Whether a directory has this name."""
        return self._tree.lookup(inside[0], self._commit, name) is not None


class Missing:
    """What a snapshot no longer has."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost

    def top(self, path: bytes) -> Item | None:
        found = self._lost.find(path)
        return _lost_item(found) if found else None

    def items(self, inside: Inside) -> Iterator[Item]:
        return map(_lost_item, self._lost.names(inside))


def _item(entry: Entry) -> Item:
    return Item(entry.name, entry.node, () if entry.child is None else (entry.child,))


def _lost_item(lost: LostName) -> Item:
    return Item(lost.name, lost.node, lost.inside, passing=lost.held, hides=lost.hides)
