"""Open directories: what readdir gives, from any position, in bounded memory.

A position counts the names before it. In a snapshot it is stable for ever; a directory of the mount
itself is listed as it was when its listing began.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pyfuse3 import EntryAttributes

from snapfs.metadata.tree import PAGE, Entry, Tree
from snapfs.model.identity import Commit

Member = Callable[[], tuple[bytes, EntryAttributes] | None]
"one name of a directory of the mount, with its attributes once they are wanted"


class OpenDirectory(Protocol):
    """One listing, as one open file handle sees it."""

    def begin(self) -> None:
        """Start anew with what the directory holds now."""
        ...

    def items(self, position: int) -> Iterator[tuple[int, bytes, EntryAttributes]]:
        """Names behind `position` names: the position behind each, the name, its attributes.

        At least one, unless there is none. It may end before the directory does: what follows
        comes with the next call.
        """
        ...


class OwnDirectory:
    """A directory of the mount itself. `members` gives what is in it now."""

    def __init__(self, members: Callable[[], Sequence[Member]]) -> None:
        self._members = members
        self._held: Sequence[Member] = ()

    def begin(self) -> None:
        self._held = self._members()

    def items(self, position: int) -> Iterator[tuple[int, bytes, EntryAttributes]]:
        for behind, member in enumerate(self._held[position:], start=position + 1):
            item = member()
            if item is not None:
                yield behind, *item


class SnapshotDirectory:
    """A directory of a snapshot: one page of entries is in memory, one query reads it."""

    def __init__(
        self, tree: Tree, directory: int, commit: Commit,
        attributes_of: Callable[[Entry], EntryAttributes],
    ) -> None:  # fmt: skip
        self._tree = tree
        self._directory = directory
        self._commit = commit
        self._attributes_of = attributes_of
        self._page: list[Entry] = []
        self._start = 0
        "position of the page's first entry"

    def begin(self) -> None:
        self._page, self._start = [], 0

    def items(self, position: int) -> Iterator[tuple[int, bytes, EntryAttributes]]:
        # A call ends with its page. The kernel asks again only from within its last answer, so
        # that the page before this one is never needed.
        page = self._page_at(position)
        for behind, entry in enumerate(page[position - self._start :], start=position + 1):
            yield behind, entry.name, self._attributes_of(entry)

    def _page_at(self, position: int) -> list[Entry]:
        if position < self._start or not self._page:
            self._read(b"", 0)
        while position >= self._start + len(self._page) and len(self._page) == PAGE:
            self._read(self._page[-1].name, self._start + len(self._page))
        return self._page

    def _read(self, after: bytes, start: int) -> None:
        self._page = self._tree.page(self._directory, self._commit, after=after)
        self._start = start
