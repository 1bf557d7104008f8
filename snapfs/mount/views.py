"""The directories of the past that are in no listing, by name.

<source>/.versions/<path>/            all states of a file; all names that a directory ever had
<source>/.deleted/<path>              what the newest snapshot lacks, in its last state
<source>/.changes/@A..@B/<change>/…   what differs between two snapshots
by-tag/<tag>/<host>/<source>/<time>   links to the snapshots with a tag
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapfs.metadata.lines import Line
from snapfs.metadata.past import Version
from snapfs.model import names
from snapfs.model.identity import SourceNumber
from snapfs.mount.changes import Changes
from snapfs.mount.layout import ANCHOR_NAME, Layout
from snapfs.mount.view import Found, Sight, View, pages

VERSIONS, DELETED, CHANGES = b".versions", b".deleted", b".changes"
BY_TAG = names.BY_TAG.encode()
IN_SOURCE = frozenset({VERSIONS, DELETED, CHANGES})
_LONGEST_SUFFIX = 32


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
        for line in pages(lambda after: sight.past.names(self.source, child, after)):
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
        return map(self._found, pages(lambda after: self._gone(sight, after)))

    def _gone(self, sight: Sight, after: bytes, exactly: bytes | None = None) -> Sequence[Line]:
        newest = sight.layout.latest(self.source)
        if newest is None:
            return ()
        return sight.past.gone(self.source, newest.number, self.directory, after, exactly=exactly)

    def _found(self, line: Line) -> Found:
        leads = None if line.child is None else DeletedIn(self.source, line.child)
        return Found(line.name, line, leads)


def _version_name(layout: Layout, version: Version, name: bytes) -> bytes | None:
    """When it was first seen, its size, and the end of its name, by which programs open it."""
    snapshot = layout.shown(version.since)
    if snapshot is None:
        return None
    suffix = os.path.splitext(name)[1]  # noqa: PTH122  (bytes, of which pathlib knows nothing)
    kept = suffix if len(suffix) <= _LONGEST_SUFFIX else b""
    return b"%s-%d%s" % (layout.name_of(snapshot), version.line.size, kept)
