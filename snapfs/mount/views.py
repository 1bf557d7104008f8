"""The directories of the past: what each holds, by name and as a listing.

<source>/.versions/<path>/            all states of a file; all names that a directory ever had
<source>/.deleted/<path>              what the newest snapshot lacks, in its last state
<source>/.changes/@A..@B/<change>/…   what differs between two snapshots
by-tag/<tag>/<host>/<source>/<time>   links to the snapshots with a tag
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from snapfs.metadata.lines import PAGE, Line
from snapfs.metadata.past import Change, Past, Span, Version
from snapfs.metadata.snapshots import Snapshots, Standing
from snapfs.metadata.tree import Tree
from snapfs.model.identity import Commit, SourceNumber
from snapfs.mount.layout import ANCHOR_NAME, Layout

VERSIONS, DELETED, CHANGES, BY_TAG = b".versions", b".deleted", b".changes", b"by-tag"
IN_SOURCE = frozenset({VERSIONS, DELETED, CHANGES})
_BETWEEN = b".."
_LONGEST_SUFFIX = 32


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


@dataclass(frozen=True, slots=True)
class Versions:
    """All that a name in a directory ever was: its states, and the names that were in it."""

    source: SourceNumber
    directory: int
    name: bytes

    def line(self, sight: Sight) -> Line | None:
        return sight.past.last(self.source, self.directory, self.name)

    def find(self, sight: Sight, name: bytes) -> Found | None:
        child = sight.tree.child(self.directory, self.name)
        line = sight.past.last(self.source, child, name) if child is not None else None
        if child is not None and line is not None:
            return Found(name, line, Versions(self.source, child, name))
        return next((found for found in self._states(sight) if found.name == name), None)

    def entries(self, sight: Sight) -> Iterator[Found]:
        yield from self._states(sight)
        child = sight.tree.child(self.directory, self.name)
        if child is None:
            return
        for line in _pages(lambda after: sight.past.names(self.source, child, after)):
            yield Found(line.name, line, Versions(self.source, child, line.name))

    def _states(self, sight: Sight) -> Iterator[Found]:
        for version in sight.past.versions(self.source, self.directory, self.name):
            name = _version_name(sight.layout, version, self.name)
            if name is not None:
                yield Found(name, version.line)


@dataclass(frozen=True, slots=True)
class DeletedIn:
    """What the newest snapshot lacks of all that was in a directory."""

    source: SourceNumber
    directory: int

    def line(self, sight: Sight) -> Line | None:
        return sight.past.last_of_directory(self.source, self.directory)

    def find(self, sight: Sight, name: bytes) -> Found | None:
        return next((self._found(line) for line in self._gone(sight, b"", name)), None)

    def entries(self, sight: Sight) -> Iterator[Found]:
        return map(self._found, _pages(lambda after: self._gone(sight, after)))

    def _gone(self, sight: Sight, after: bytes, exactly: bytes | None = None) -> Sequence[Line]:
        newest = sight.layout.latest(self.source)
        if newest is None:
            return ()
        return sight.past.gone(self.source, newest.number, self.directory, after, exactly=exactly)

    def _found(self, line: Line) -> Found:
        leads = None if line.child is None else DeletedIn(self.source, line.child)
        return Found(line.name, line, leads)


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
            _pages(lambda after: sight.past.changed(self.span, self.change, self.directory, after)),
        )

    def _found(self, line: Line) -> Found:
        leads = None
        if line.child is not None:
            leads = Difference(self.text, self.span, self.change, line.child)
        return Found(line.name, line, leads)


@dataclass(frozen=True, slots=True)
class Tags:
    """Where tags can be named; none is listed."""

    def line(self, sight: Sight) -> Line | None:
        return None

    def find(self, sight: Sight, name: bytes) -> Found | None:
        tag = Tagged(name)
        return Found(name, None, tag) if any(tag.entries(sight)) else None

    def entries(self, sight: Sight) -> Iterator[Found]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Tagged:
    """The snapshots with a tag: hosts, then a host's sources, then a source's snapshots."""

    tag: bytes
    host: str | None = None
    source: SourceNumber | None = None

    def line(self, sight: Sight) -> Line | None:
        return None

    def find(self, sight: Sight, name: bytes) -> Found | None:
        return next((found for found in self.entries(sight) if found.name == name), None)

    def entries(self, sight: Sight) -> Iterator[Found]:
        seen: set[bytes] = set()
        for snapshot in sight.snapshots.tagged(self.tag.decode(errors="surrogateescape")):
            found = self._found(sight, snapshot) if snapshot.shown else None
            if found is not None and found.name not in seen:
                seen.add(found.name)
                yield found

    def _found(self, sight: Sight, snapshot: Standing) -> Found | None:
        source = sight.layout.source_by_number(snapshot.source)
        if source is None or self.host not in (None, source.host):
            return None
        if self.host is None:
            return Found(source.host.encode(), None, Tagged(self.tag, source.host))
        if self.source is None:
            leads = Tagged(self.tag, self.host, SourceNumber(source.number))
            return Found(source.name.encode(), None, leads)
        if self.source != source.number:
            return None
        return Found(sight.layout.name_of(snapshot), link=snapshot)


def in_source(sight: Sight, number: SourceNumber, name: bytes) -> View | None:
    """The view of this name in a source's directory."""
    source = sight.layout.source_by_number(number)
    if source is None or sight.layout.latest(number) is None:
        return None
    root = sight.tree.child(source.anchor, ANCHOR_NAME)
    if root is None:
        return None
    match name:
        case b".versions":
            return Versions(number, source.anchor, ANCHOR_NAME)
        case b".deleted":
            return DeletedIn(number, root)
        case b".changes":
            return Changes(number)
    return None


def _version_name(layout: Layout, version: Version, name: bytes) -> bytes | None:
    """When it was first seen, its size, and the end of its name, by which programs open it."""
    snapshot = layout.shown(version.since)
    if snapshot is None:
        return None
    suffix = os.path.splitext(name)[1]  # noqa: PTH122  (bytes, of which pathlib knows nothing)
    kept = suffix if len(suffix) <= _LONGEST_SUFFIX else b""
    return b"%s-%d%s" % (layout.name_of(snapshot), version.line.size, kept)


def _pages(page: Callable[[bytes], Sequence[Line]]) -> Iterator[Line]:
    after = b""
    while lines := page(after):
        yield from lines
        if len(lines) < PAGE:
            return
        after = lines[-1].name
