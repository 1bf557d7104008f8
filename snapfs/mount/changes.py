"""What differs between two snapshots, as directories: .changes/@A..@B/<change>/…"""

from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.metadata.lines import Line
from snapfs.metadata.past import Change, Span
from snapfs.model.identity import Commit, SourceNumber
from snapfs.mount.view import Found, Sight, pages

_BETWEEN = b".."


@dataclass(frozen=True, slots=True)
class Changes:
    """Where pairs of snapshots can be named; none is listed."""

    source: SourceNumber

    def line(self, sight: Sight) -> Line | None:
        return None

    def find(self, sight: Sight, name: bytes) -> Found | None:
        at = name.find(_BETWEEN)
        while at >= 0:
            old = sight.layout.meant(self.source, name[:at])
            new = sight.layout.meant(self.source, name[at + len(_BETWEEN) :])
            if old is not None and new is not None:
                # With its text: a directory that had two names would move from one to the other.
                return Found(name, None, Pair(name, Span(self.source, old.number, new.number)))
            at = name.find(_BETWEEN, at + 1)
        return None

    def entries(self, sight: Sight) -> Iterator[Found]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Pair:
    """Two snapshots that are compared."""

    text: bytes
    span: Span

    def line(self, sight: Sight) -> Line | None:
        return None

    def find(self, sight: Sight, name: bytes) -> Found | None:
        return next((found for found in self.entries(sight) if found.name == name), None)

    def entries(self, sight: Sight) -> Iterator[Found]:
        for change in Change:
            near = self.span.old if change.shows_old else self.span.new
            root = sight.layout.root(Commit(near))
            if root is not None and root.child is not None:
                leads = Difference(self.text, self.span, change, root.child)
                yield Found(change.value.encode(), root, leads)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs in one way in a directory of two snapshots."""

    text: bytes
    span: Span
    change: Change
    directory: int

    def line(self, sight: Sight) -> Line | None:
        near = self.span.old if self.change.shows_old else self.span.new
        return sight.layout.directory(self.directory, near)

    def find(self, sight: Sight, name: bytes) -> Found | None:
        found = sight.past.changed(self.span, self.change, self.directory, b"", exactly=name)
        return next(map(self._found, found), None)

    def entries(self, sight: Sight) -> Iterator[Found]:
        return map(
            self._found,
            pages(lambda after: sight.past.changed(self.span, self.change, self.directory, after)),
        )

    def _found(self, line: Line) -> Found:
        leads = None
        if line.child is not None:
            leads = Difference(self.text, self.span, self.change, line.child)
        return Found(line.name, line, leads)
