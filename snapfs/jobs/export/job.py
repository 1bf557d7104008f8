"""Exporting: batches of members are read ahead, and written in order as one stream of tar."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

from snapfs.errors import DamagedError, ObjectTooShortError, PathNotFoundError
from snapfs.jobs.export import tar
from snapfs.jobs.export.report import ExportReport, Tally
from snapfs.jobs.export.sink import Sink
from snapfs.jobs.export.walk import LARGE, Member, Walk
from snapfs.jobs.progress import Progress
from snapfs.jobs.restore.links import FirstName, Links, open_links
from snapfs.metadata.database import Database
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.tree import Tree
from snapfs.model.content import Content, Layout, total_length
from snapfs.model.finding import Trouble
from snapfs.model.snapshot import Snapshot
from snapfs.repository.reader import ContentReader
from snapfs.repository.repository import Repository

_AT_ONCE = 1024 * 1024
"bytes of a large file that are read and written at a time"


async def export(
    repository: Repository,
    reader: ContentReader,
    snapshot: Snapshot,
    path: bytes,
    sink: Sink,
    progress: Progress,
) -> ExportReport:
    """Write what lies at a path of a snapshot to `sink` as a tar archive in the pax format.

    The members of a directory are named from it on, itself `./`; anything else is one member under
    its own name. Holes are written as zeros. What tar cannot hold, a socket, is a finding.

    A content that is damaged ends the export, because its length is in the archive before it:
    raises DamagedError, which names the path. So do the others end it: PathNotFoundError,
    LocalError, StoreError, ViewDamagedError, BrokenPipeError where nobody reads the stream. The
    archive then lacks its end, and no program takes it for whole.
    """
    await repository.look([snapshot.source.number])
    top = repository.tree.resolve(snapshot.anchor, snapshot.number, path)
    if top is None:
        raise PathNotFoundError(
            f"snapshot {snapshot.short_id} has nothing at {os.fsdecode(path)}",
            hint="paths are absolute, as they were at the source",
        )
    if path == b"/":
        counts = snapshot.counts
        progress.total_files = counts.new + counts.changed + counts.unchanged
        progress.total_bytes = counts.bytes_total
    progress.doing = "exporting"
    tally = Tally(progress)
    with Database.open_readonly(repository.state.replica) as db, open_links() as links:
        users, groups = Snapshots(db).owner_names(snapshot.source.number)
        headers = _Headers(users, groups, links, tally)
        walk = Walk(Tree(db), snapshot.number, tally)
        await _Export(reader, headers, sink, tally).run(walk.batches(top, path))
    return tally.report(sink.written)


class _Headers:
    """Headers of members; the first name of an inode has its content, further ones are links."""

    def __init__(
        self, users: dict[int, bytes], groups: dict[int, bytes], links: Links, tally: Tally
    ) -> None:
        self._users = users
        self._groups = groups
        self._links = links
        self._tally = tally

    def of(self, member: Member) -> tuple[bytes, bool]:
        """The header blocks, none for what tar cannot hold, and whether a content follows."""
        attributes = member.node.attributes
        if not tar.can_hold(attributes):
            self._tally.found(
                Trouble.REFUSED, member.path, "is a socket, for which tar has no form"
            )
            return b"", False
        if attributes.nlink > 1:
            first = self._links.find(member.node.number)
            if first is not None:
                self._tally.linked()
                return tar.hard_link(member.name, first.path, attributes), False
            self._links.add(member.node.number, FirstName(member.name, 0, 0))
        self._tally.put(attributes, member.path)
        user, group = self._users.get(attributes.uid, b""), self._groups.get(attributes.gid, b"")
        return tar.member(member.name, attributes, user=user, group=group), attributes.is_file


class _Export:
    """One run: reads batch after batch, the next one on its way, and writes them."""

    def __init__(self, reader: ContentReader, headers: _Headers, sink: Sink, tally: Tally) -> None:
        self._reader = reader
        self._headers = headers
        self._sink = sink
        self._tally = tally
        self._length = 0
        "bytes of the archive so far, not compressed"

    async def run(self, batches: Iterator[list[Member]]) -> None:
        """Write all of it, and the end of the archive."""
        batch = await trio.to_thread.run_sync(next, batches, None)
        while batch is not None:
            following = await trio.to_thread.run_sync(next, batches, None)
            if following is not None:
                self._prefetch(following)
            await self._put_batch(batch)
            batch = following
        await self._write([tar.end(self._length)])
        await self._in_thread(self._sink.finish)

    def _prefetch(self, batch: list[Member]) -> None:
        whole = _together(batch)
        self._reader.prefetch(whole, 0, min(whole.length, LARGE))

    async def _put_batch(self, batch: list[Member]) -> None:
        if len(batch) == 1 and batch[0].size > LARGE:
            await self._put_large(batch[0])
            return
        headed = [(member, *self._headers.of(member)) for member in batch]
        filled = [member for member, _, follows in headed if follows]
        contents = memoryview(await self._read_small(filled))
        pieces: list[bytes | memoryview] = []
        offset = 0
        for member, header, follows in headed:
            pieces.append(header)
            if follows and member.size:
                pieces += (contents[offset : offset + member.size], tar.padding(member.size))
                offset += member.size
        self._tally.passed(offset)
        await self._write(pieces)

    async def _read_small(self, members: list[Member]) -> bytes:
        """The contents of members one behind the other."""
        for member in members:
            _check_size(member)
        whole = _together(members)
        if not whole.length:
            return b""
        try:
            return await self._reader.read(whole, 0, whole.length)
        except (DamagedError, ObjectTooShortError):
            return b"".join([await self._read_alone(member) for member in members])

    async def _read_alone(self, member: Member) -> bytes:
        """The content of one, to say whose it is that cannot be read."""
        layout = _together([member])
        with _naming(member):
            return await self._reader.read(layout, 0, layout.length)

    async def _put_large(self, member: Member) -> None:
        header, follows = self._headers.of(member)
        await self._write([header])
        if not follows:
            return
        _check_size(member)
        content = self._reader.open(member.node.content())
        for offset in range(0, member.size, _AT_ONCE):
            with _naming(member):
                piece = await content.read(offset, _AT_ONCE)
            self._tally.passed(len(piece))
            await self._write([piece])
        await self._write([tar.padding(member.size)])

    async def _write(self, pieces: list[bytes | memoryview]) -> None:
        data = b"".join(pieces)
        self._length += len(data)
        await self._in_thread(partial(self._sink.write, data))

    async def _in_thread(self, act: Callable[[], None]) -> None:
        await trio.to_thread.run_sync(act, abandon_on_cancel=self._sink.may_block)


def _together(members: list[Member]) -> Layout:
    """The contents of members as one: segments that lie side by side come in one request."""
    return Layout([extent for member in members for extent in _content(member)])


def _content(member: Member) -> Content:
    return member.node.content() if member.size else ()


def _check_size(member: Member) -> None:
    if total_length(_content(member)) != member.size:
        with _naming(member):
            raise DamagedError("its content is not as long as the file")


@contextmanager
def _naming(member: Member) -> Iterator[None]:
    """Say of which file a content is that cannot be read."""
    try:
        yield
    except (DamagedError, ObjectTooShortError) as error:
        raise DamagedError(
            f"{os.fsdecode(member.path)}: {error.what}",
            hint="the archive ends there; 'snapfs restore' gives back what is whole",
        ) from error
