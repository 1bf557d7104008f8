"""Open directories: what readdir gives, from any position, in bounded memory.

A position counts the names before it. In a snapshot it is stable for ever; a directory of the mount
itself is listed as it was when its listing began.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pyfuse3 import EntryAttributes

from snapfs.metadata.lines import PAGE, Line, Lines
from snapfs.model.identity import Commit
from snapfs.mount.attributes import lasting

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
        comes with the next call. The attributes are true until the next name is asked for.
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
    """A directory of a snapshot: one page of it is in memory, one query reads it."""

    def __init__(
        self, lines: Lines, directory: int, commit: Commit,
        show: Callable[[EntryAttributes, Line, int], None],
    ) -> None:  # fmt: skip
        self._lines = lines
        self._directory = directory
        self._commit = commit
        self._show = show
        self._page: Sequence[Line] | None = None
        self._start = 0
        "position of the page's first name"

    def begin(self) -> None:
        self._page = None

    def items(self, position: int) -> Iterator[tuple[int, bytes, EntryAttributes]]:
        # A call ends with its page. The kernel asks again only from within its last answer, so
        # that the page before this one is never needed.
        page, show, commit = self._page_at(position), self._show, self._commit
        rest = page[position - self._start :]
        shown = lasting()
        for behind, line in enumerate(rest, start=position + 1):
            show(shown, line, commit)
            yield behind, line.name, shown

    def _page_at(self, position: int) -> Sequence[Line]:
        page = self._page
        if page is None or position < self._start:
            page = self._read(b"", 0)
        while position >= self._start + len(page) and len(page) == PAGE:
            page = self._read(page[-1].name, self._start + len(page))
        return page

    def _read(self, after: bytes, start: int) -> Sequence[Line]:
        page = self._page = self._lines.page(self._directory, self._commit, after=after)
        self._start = start
        return page
