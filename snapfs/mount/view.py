"""What a directory of the past is, and what it looks at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from snapfs.metadata.lines import PAGE, Line
from snapfs.metadata.past import Past
from snapfs.metadata.snapshots import Snapshots, Standing
from snapfs.metadata.tree import Tree
from snapfs.mount.layout import Layout


@dataclass(frozen=True, slots=True)
class Sight:
    """What the views look at: all on one connection, which is another thread's than the mount's."""

    past: Past
    layout: Layout
    snapshots: Snapshots
    tree: Tree


@dataclass(frozen=True, slots=True)
class Found:
    """A name in a view: a file of a snapshot, a directory that is a view, or a link."""

    name: bytes
    line: Line | None = None
    "the file; of a directory the one of a snapshot whose permissions it has"
    leads: "View | None" = None
    link: Standing | None = None
    "the snapshot that a link leads to"


class View(Protocol):
    """A directory of the past, as a value: equal ones are the same directory."""

    def line(self, sight: Sight) -> Line | None:
        """The line of a snapshot whose permissions it has; None if it is everybody's."""
        ...

    def find(self, sight: Sight, name: bytes) -> Found | None:
        """What has this name in it."""
        ...

    def entries(self, sight: Sight) -> Iterator[Found]:
        """All that is listed in it, in a stable order, page by page."""
        ...


def pages(page: Callable[[bytes], Sequence[Line]]) -> Iterator[Line]:
    """All lines of something that is asked for page by page, each behind a name."""
    after = b""
    while lines := page(after):
        yield from lines
        if len(lines) < PAGE:
            return
        after = lines[-1].name
