"""The upper directories of the mount: hosts, their sources, the sources' snapshots, by name.

Everything is asked of the database when it is needed; nothing here grows with the repository.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.metadata.database import Database
from snapfs.metadata.lines import Line, Lines
from snapfs.metadata.snapshots import Snapshots, Standing
from snapfs.metadata.tree import Tree
from snapfs.model import timenames, times
from snapfs.model.identity import Commit, SourceNumber
from snapfs.model.inode import Inode, Kind, directory_inode
from snapfs.model.snapshot import Source

LATEST = b"latest"
BY_TIME = b"@"
"how names begin that mean a snapshot by time or tag"
ANCHOR_NAME = b"/"
"the one name in a source's anchor: the root of its tree"
_REMEMBERED = 1024
"snapshots whose standing and name are kept at hand"


@dataclass(frozen=True, slots=True)
class Named:
    """A snapshot with the name of its directory."""

    name: bytes
    snapshot: Standing


class Layout:
    """Names and numbers of hosts, sources and snapshots."""

    def __init__(self, db: Database) -> None:
        self._snapshots = Snapshots(db)
        self._tree = Tree(db)
        self._lines = Lines(db)
        self._shown: dict[int, Standing] = {}
        self._names: dict[int, bytes] = {}

    def refresh(self) -> None:
        """Forget what is kept at hand: the log has moved on."""
        self._shown.clear()

    def hosts(self) -> list[tuple[bytes, SourceNumber]]:
        """Each host's name and number, in order of name.

        A host's number is the lowest among its sources': they are never taken back.
        """
        numbers: dict[str, SourceNumber] = {}
        for source in self._snapshots.sources():
            known = numbers.get(source.host, source.number)
            numbers[source.host] = min(known, source.number)
        return [(host.encode(), number) for host, number in numbers.items()]

    def host(self, name: bytes) -> SourceNumber | None:
        """The number of the host of this name."""
        return next((number for known, number in self.hosts() if known == name), None)

    def host_name(self, number: int) -> str | None:
        """The name of the host of this number."""
        source = self._snapshots.source_by_number(number)
        return source.host if source else None

    def sources(self, host: int) -> list[Source]:
        """The sources of a host, in order of name."""
        name = self.host_name(host)
        return [source for source in self._snapshots.sources() if source.host == name]

    def source(self, host: int, name: bytes) -> Source | None:
        """The source of this name."""
        return next((source for source in self.sources(host) if source.name.encode() == name), None)

    def source_by_number(self, number: int) -> Source | None:
        """The source of this number."""
        return self._snapshots.source_by_number(number)

    def host_of(self, source: Source) -> SourceNumber:
        """The number of a source's host."""
        return min(item.number for item in self._snapshots.sources() if item.host == source.host)

    def snapshots(self, source: int) -> Iterator[Named]:
        """The snapshots of a source that are shown, with their names, in order of the log."""
        return (item for item in _named(self._snapshots.standings(source)) if item.snapshot.shown)

    def snapshot(self, source: int, name: bytes) -> Standing | None:
        """The snapshot of this name."""
        span = _span(name)
        if span is None:
            return None
        within = self._snapshots.standings_within(source, *span)
        return next(
            (item.snapshot for item in _named(within) if item.name == name and item.snapshot.shown),
            None,
        )

    def name_of(self, snapshot: Standing) -> bytes:
        """The name of a snapshot's directory, shown or not. It never changes."""
        known = self._names.get(snapshot.number)
        if known is None:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            known = self._names[snapshot.number] = self._find_name(snapshot)
        return known

    def tagged_target(self, snapshot: Standing) -> bytes:
        """The path of a snapshot from where its tag leads, four directories below the root."""
        source = self._snapshots.source_by_number(snapshot.source)
        assert source is not None
        place = f"../../../../{source.host}/{source.name}/".encode()
        return place + self.name_of(snapshot)

    def latest(self, source: int) -> Standing | None:
        """The newest snapshot that is shown, by the order of the log."""
        return self._snapshots.latest_standing(source)

    def shown(self, serial: int) -> Standing | None:
        """The snapshot of this serial, if it is shown."""
        known = self._shown.get(serial)
        if known is None:
            known = self._snapshots.standing(serial)
            if known is None or not known.shown:
                return None
            if len(self._shown) >= _REMEMBERED:
                self._shown.clear()
            self._shown[serial] = known
        return known

    def meant(self, source: int, name: bytes) -> Standing | None:
        """The snapshot that a name means: a directory's, `latest`, or one by time or tag."""
        if name == LATEST:
            return self.latest(source)
        if name[:1] != BY_TIME:
            return self.snapshot(source, name)
        text = name.decode(errors="surrogateescape")
        number = timenames.resolve(text, time.time_ns(), self._snapshots.taken(source))
        return self.shown(number) if number is not None else None

    def directory(self, number: int, commit: Commit) -> Line | None:
        """The line that a directory is in its parent, at a commit."""
        return self._lines.directory(number, commit)

    def root(self, snapshot: Commit) -> Line | None:
        """The root directory of a snapshot's tree."""
        anchor = self._snapshots.anchor(snapshot)
        line = self._lines.find(anchor, snapshot, ANCHOR_NAME) if anchor else None
        return line if line and line.child is not None else None

    def parent(self, inode: Inode) -> int | None:
        """The inode of the directory that holds this directory; the root is its own."""
        match inode.kind:
            case Kind.HOST:
                return 1
            case Kind.SOURCE:
                source = self._snapshots.source_by_number(inode.number)
                return host_inode(self.host_of(source)) if source else None
            case Kind.DIRECTORY:
                return self._parent_of_directory(inode)
        return None

    def newest_time_ns(self) -> int:
        """When the newest snapshot of all was taken, 0 where there is none."""
        return self._snapshots.newest_time() or 0

    def _find_name(self, snapshot: Standing) -> bytes:
        begin, end = _second(snapshot.time_ns)
        within = self._snapshots.standings_within(snapshot.source, begin, end)
        return next(item.name for item in _named(within) if item.snapshot.number == snapshot.number)

    def _parent_of_directory(self, inode: Inode) -> int | None:
        above = self._tree.parent(inode.number)
        snapshot = self.shown(inode.serial)
        if above is None or snapshot is None:
            return None
        if above[1] == ANCHOR_NAME:
            return source_inode(snapshot.source)
        return directory_inode(inode.serial, above[0])


def host_inode(number: int) -> int:
    """The inode of a host's directory."""
    return Inode(Kind.HOST, 0, number).encode()


def source_inode(number: int) -> int:
    """The inode of a source's directory."""
    return Inode(Kind.SOURCE, 0, number).encode()


def latest_inode(snapshot: Standing) -> int:
    """The inode of the link `latest` while it points to this snapshot."""
    return Inode(Kind.LINK, snapshot.number, snapshot.source).encode()


def tagged_inode(snapshot: Standing) -> int:
    """The inode of the links to a snapshot from where its tags lead."""
    return Inode(Kind.TAGGED, snapshot.number, snapshot.source).encode()


def _named(standings: list[Standing]) -> Iterator[Named]:
    """Each with its name. All of one second must be among them, for their numbers are counted."""
    seen: dict[str, int] = {}
    for standing in standings:
        name = times.directory_name(standing.time_ns)
        count = seen[name] = seen.get(name, 0) + 1
        yield Named((name if count == 1 else f"{name}-{count}").encode(), standing)


def _span(name: bytes) -> tuple[int, int] | None:
    """The second that a directory's name stands for, or None where it stands for none."""
    stamp = name[: len("2026-11-20T041303Z")].decode("ascii", "replace")
    moment = times.parse(stamp, 0)
    if moment is None or times.directory_name(moment) != stamp:
        return None
    return _second(moment)


def _second(time_ns: int) -> tuple[int, int]:
    """The times that share a directory name but for the number behind it."""
    second = times.NANOSECONDS
    begin = time_ns // second * second
    # What lies outside the years 1 to 9999 is named after their first and last second.
    if begin <= times.EARLIEST_NS:
        return -(2**63), times.EARLIEST_NS + second
    if begin >= times.LATEST_NS:
        return times.LATEST_NS, 2**63 - 1
    return begin, begin + second
