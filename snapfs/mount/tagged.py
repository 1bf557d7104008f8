"""The snapshots with a tag, as links in directories: by-tag/<tag>/<host>/<source>/<time>."""

from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.metadata.lines import Line
from snapfs.metadata.snapshots import Standing
from snapfs.model.identity import SourceNumber
from snapfs.mount.view import Found, Sight


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
