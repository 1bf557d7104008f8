"""The mount's own directories as requests see them: what is looked up and listed in them."""

from collections.abc import Callable, Sequence
from functools import partial

from pyfuse3 import EntryAttributes

from snapfs.metadata.snapshots import Standing
from snapfs.model.identity import SourceNumber
from snapfs.model.inode import ROOT_INODE, Inode, Kind
from snapfs.model.snapshot import Source
from snapfs.mount.attributes import Appearance
from snapfs.mount.layout import LATEST, Layout, host_inode, latest_inode, source_inode
from snapfs.mount.listing import Member, OpenDirectory, OwnDirectory


class Upper:
    """Root, hosts, sources and the links in them. None means that there is no such thing."""

    def __init__(self, layout: Layout, look: Appearance) -> None:
        self._layout = layout
        self._look = look

    def may_change(self, parent: Inode, name: bytes) -> bool:
        """Whether a name that is there may mean something else by now."""
        return parent.kind is Kind.SOURCE and name == LATEST

    def lookup(self, parent: Inode, name: bytes) -> EntryAttributes | None:
        """What this name is in the root, a host or a source."""
        if parent.kind is Kind.HOST:
            source = self._layout.source(parent.number, name)
            return self._source(source) if source else None
        if parent.kind is Kind.SOURCE:
            return self._in_source(parent.number, name)
        host = self._layout.host(name)
        return self._host(host) if host is not None else None

    def attributes(self, inode: Inode) -> EntryAttributes | None:
        """What stat shows of the root, a host, a source or a link."""
        number = inode.number
        match inode.kind:
            case Kind.HOST:
                return self._host(number) if self._layout.host_name(number) is not None else None
            case Kind.SOURCE:
                source = self._layout.source_by_number(number)
                return self._source(source) if source else None
            case Kind.LINK:
                snapshot = self._layout.shown(inode.serial)
                return self._link(snapshot) if snapshot else None
        return self._look.of_folder(ROOT_INODE, self._layout.newest_time_ns())

    def target(self, link: Inode) -> bytes | None:
        """Where a link leads, relative to the directory that it is in."""
        snapshot = self._layout.shown(link.serial)
        return self._layout.name_of(snapshot) if snapshot else None

    def directory(self, inode: Inode) -> OpenDirectory | None:
        """A listing of the root, a host or a source."""
        match inode.kind:
            case Kind.NODE if inode.number == ROOT_INODE:
                return OwnDirectory(self._hosts)
            case Kind.HOST:
                return OwnDirectory(partial(self._sources, inode.number))
            case Kind.SOURCE:
                return OwnDirectory(partial(self._snapshots, inode.number))
        return None

    def _in_source(self, number: int, name: bytes) -> EntryAttributes | None:
        if name == LATEST:
            latest = self._layout.latest(number)
            return self._link(latest) if latest else None
        source = self._layout.source_by_number(number)
        snapshot = self._layout.snapshot(number, name)
        return self._root(source, snapshot) if source and snapshot else None

    def _hosts(self) -> Sequence[Member]:
        return [_member(name, partial(self._host, number)) for name, number in self._layout.hosts()]

    def _sources(self, host: int) -> Sequence[Member]:
        return [
            _member(source.name.encode(), partial(self._source, source))
            for source in self._layout.sources(host)
        ]

    def _snapshots(self, number: int) -> Sequence[Member]:
        source = self._layout.source_by_number(number)
        if source is None:
            return []
        members = [
            _member(item.name, partial(self._root, source, item.snapshot))
            for item in self._layout.snapshots(number)
        ]
        latest = self._layout.latest(number)
        if latest is not None:
            members.append(_member(LATEST, partial(self._link, latest)))
        return members

    def _host(self, number: int) -> EntryAttributes:
        # Its newest snapshot would be a question to each of its sources: the mount's will do.
        return self._look.of_folder(host_inode(number), self._layout.newest_time_ns())

    def _source(self, source: Source) -> EntryAttributes:
        latest = self._layout.latest(SourceNumber(source.number))
        return self._look.of_folder(source_inode(source.number), latest.time_ns if latest else 0)

    def _root(self, source: Source, snapshot: Standing) -> EntryAttributes | None:
        entry = self._layout.root(source, snapshot)
        return self._look.of_entry(entry, snapshot.number) if entry else None

    def _link(self, snapshot: Standing) -> EntryAttributes:
        target = self._layout.name_of(snapshot)
        return self._look.of_link(latest_inode(snapshot), target, snapshot.time_ns)


def _member(name: bytes, attributes: Callable[[], EntryAttributes | None]) -> Member:
    def member() -> tuple[bytes, EntryAttributes] | None:
        shown = attributes()
        return (name, shown) if shown is not None else None

    return member
