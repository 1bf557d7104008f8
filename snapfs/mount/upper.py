"""The mount's own directories as requests see them: what is looked up and listed in them."""

from collections.abc import Callable, Sequence
from functools import partial

from pyfuse3 import EntryAttributes

from snapfs.metadata.snapshots import Standing
from snapfs.model.identity import SourceNumber
from snapfs.model.inode import ROOT_INODE, Inode, Kind
from snapfs.model.snapshot import Source
from snapfs.mount.attributes import Appearance
from snapfs.mount.layout import (
    BY_TIME,
    LATEST,
    Layout,
    host_inode,
    latest_inode,
    source_inode,
    tagged_inode,
)
from snapfs.mount.listing import Member, OwnDirectory


class Upper:
    """Root, hosts, sources and the links in them. None means that there is no such thing."""

    def __init__(self, layout: Layout, look: Appearance, *, plain: bool) -> None:
        self._layout = layout
        self._look = look
        self._plain = plain

    def may_change(self, parent: Inode, name: bytes) -> bool:
        """Whether a name that is there may mean something else by now."""
        return parent.kind is Kind.SOURCE and (name == LATEST or self._is_by_time(name))

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
            case Kind.LINK | Kind.TAGGED:
                snapshot = self._layout.shown(inode.serial)
                return self._link(snapshot, inode.kind) if snapshot else None
        return self._look.of_folder(ROOT_INODE, self._layout.newest_time_ns())

    def target(self, link: Inode) -> bytes | None:
        """Where a link leads, relative to the directory that it is in."""
        snapshot = self._layout.shown(link.serial)
        return self._target(snapshot, link.kind) if snapshot else None

    def directory(self, inode: Inode) -> OwnDirectory | None:
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
        if name == LATEST or self._is_by_time(name):
            meant = self._layout.meant(number, name)
            return self._link(meant) if meant else None
        snapshot = self._layout.snapshot(number, name)
        return self._root(snapshot) if snapshot else None

    def _hosts(self) -> Sequence[Member]:
        return [_member(name, partial(self._host, number)) for name, number in self._layout.hosts()]

    def _sources(self, host: int) -> Sequence[Member]:
        return [
            _member(source.name.encode(), partial(self._source, source))
            for source in self._layout.sources(host)
        ]

    def _snapshots(self, number: int) -> Sequence[Member]:
        members = [
            _member(item.name, partial(self._root, item.snapshot))
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

    def _root(self, snapshot: Standing) -> EntryAttributes | None:
        line = self._layout.root(snapshot.number)
        return self._look.of_line(line, snapshot.number) if line else None

    def _link(self, snapshot: Standing, kind: Kind = Kind.LINK) -> EntryAttributes:
        inode = latest_inode(snapshot) if kind is Kind.LINK else tagged_inode(snapshot)
        return self._look.of_link(inode, self._target(snapshot, kind), snapshot.time_ns)

    def _target(self, snapshot: Standing, kind: Kind) -> bytes:
        if kind is Kind.TAGGED:
            return self._layout.tagged_target(snapshot)
        return self._layout.name_of(snapshot)

    def _is_by_time(self, name: bytes) -> bool:
        return name[:1] == BY_TIME and not self._plain


def _member(name: bytes, attributes: Callable[[], EntryAttributes | None]) -> Member:
    def member() -> tuple[bytes, EntryAttributes] | None:
        shown = attributes()
        return (name, shown) if shown is not None else None

    return member
