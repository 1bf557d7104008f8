"""Questions about the tree of a snapshot: one indexed look-up or range each."""

from collections.abc import Iterator

import msgspec

from snapfs.metadata import contents, lookups
from snapfs.metadata.database import Database, Row
from snapfs.metadata.names import BY_NAME
from snapfs.model.attributes import NANOSECONDS, Attributes
from snapfs.model.content import Content, Extent, Listed, Stored
from snapfs.model.identity import OPEN, Commit, DirectoryNumber, NodeNumber

NODE = (
    "n.number, n.mode, n.uid, n.gid, n.mtime, n.mtime_ns, n.size, n.nlink, n.rdev, n.data, n.xattrs"
)
"what `node_of` makes a node of"
_BY_NAME, _PAGE, _OWN = (
    question(f"e.name, e.child, {NODE}")
    for question in (lookups.by_name, lookups.page, lookups.own)
)
_xattr_decoder = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...])
PAGE = 512
"entries that one query reads"


class Node(msgspec.Struct, frozen=True):
    """One source inode in one state, with what leads to its content."""

    number: NodeNumber
    attributes: Attributes
    data: bytes
    "the content of a file as the database has it; see `content`"

    def content(self) -> Content:
        """The extents of a file."""
        return contents.decode(self.data) if self.attributes.is_file and self.data else ()


class Entry(msgspec.Struct, frozen=True):
    """One name in a directory of a snapshot."""

    name: bytes
    node: Node
    child: DirectoryNumber | None
    "the directory that it is"


class Tree:
    """Look-ups in the history of names. Every one names the commit whose state it asks for."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def lookup(self, directory: int, commit: Commit, name: bytes) -> Entry | None:
        """The entry of this name."""
        row = self._db.row(_BY_NAME, (directory, commit, name))
        return _entry(row[1:]) if row and row[0] > commit else None

    def page(
        self, directory: int, commit: Commit, *, after: bytes = b"", limit: int = PAGE
    ) -> list[Entry]:
        """The next entries behind the name `after`, in order of their names' bytes."""
        return list(map(_entry, self._db.rows(_PAGE, (directory, commit, after, limit))))

    def entries(self, directory: int, commit: Commit) -> Iterator[Entry]:
        """All entries of a directory, page by page."""
        after = b""
        while page := self.page(directory, commit, after=after):
            yield from page
            after = page[-1].name

    def node(self, number: int) -> Node | None:
        """The node of this number."""
        row = self._db.row(f"SELECT {NODE} FROM node n WHERE n.number = ?", (number,))
        return node_of(row) if row else None

    def directory(self, directory: int, commit: Commit) -> Entry | None:
        """The entry that a directory is in its parent, at a commit."""
        row = self._db.row(_OWN, (directory, commit))
        return _entry(row[1:]) if row and row[0] > commit else None

    def parent(self, directory: int) -> tuple[DirectoryNumber, bytes] | None:
        """Parent and name of a directory; the parent of a source's anchor is 0."""
        row = self._db.row("SELECT parent, name FROM directory WHERE number = ?", (directory,))
        return (DirectoryNumber(int(row[0])), bytes(row[1])) if row else None

    def child(self, parent: int, name: bytes) -> DirectoryNumber | None:
        """The number of a directory that this source ever had, held or not."""
        row = self._db.row(BY_NAME, (parent, name))
        return DirectoryNumber(int(row[0])) if row else None

    def root(self, commit: Commit) -> Entry | None:
        """The root of the tree of a commit of an ingest."""
        row = self._db.row("SELECT anchor FROM snapshot WHERE number = ?", (commit,))
        return self.lookup(row[0], commit, b"/") if row else None

    def resolve(self, anchor: int, commit: Commit, path: bytes) -> Entry | None:
        """The entry at an absolute path."""
        entry = self.lookup(anchor, commit, b"/")
        for name in path.split(b"/"):
            if not name:
                continue
            if entry is None or entry.child is None:
                return None
            entry = self.lookup(entry.child, commit, name)
        return entry

    def extents(self, content: Content) -> Iterator[Extent]:
        """A content with its lists replaced by what they hold, one list in memory at a time."""
        for extent in content:
            if isinstance(extent, Listed):
                yield from self.extents(self.listed(extent))
            else:
                yield extent

    def listed(self, extent: Listed) -> Content:
        """The extents of a list."""
        row = self._db.row("SELECT items FROM list WHERE number = ?", (extent.number,))
        return contents.decode(row[0]) if row else ()

    def list_key(self, number: int) -> bytes | None:
        """The key of a list."""
        row = self._db.row("SELECT key FROM list WHERE number = ?", (number,))
        return row[0] if row else None

    def packs_of_list(self, source: int, key: bytes) -> set[int] | None:
        """The packs that a delta of this source relies on if it names the list of this key.

        The newest of the key is meant. None where there is none, or where it is of no use, because
        it holds a copy of a block that is damaged, or whose pack is on its way out: the same block
        may by now be stored elsewhere too.
        """
        row = self._db.row(
            "SELECT max(number) FROM list WHERE source = ? AND key = ?", (source, key)
        )
        packs: set[int] = set()
        if row is None or row[0] is None or not self._add_packs(row[0], packs):
            return None
        return packs

    def _add_packs(self, number: int, packs: set[int]) -> bool:
        """Add the packs in which a list's blocks lie; false where one must not be relied on."""
        extents = self.listed(Listed(number, 0))
        blocks = [extent.number for extent in extents if isinstance(extent, Stored)]
        for pack, leaving in self._db.rows(
            "SELECT DISTINCT s.pack, f.name IS NOT NULL OR d.block IS NOT NULL"
            " FROM json_each(?) j CROSS JOIN block b ON b.number = j.value"
            " JOIN segment s ON s.number = b.segment JOIN pack p ON p.number = s.pack"
            " LEFT JOIN fate f ON f.name = p.name"
            f" LEFT JOIN suspect d ON d.block = b.number AND d.last = {OPEN}",
            (msgspec.json.encode(blocks).decode(),),
        ):
            if leaving:
                return False
            packs.add(pack)
        inner = (extent.number for extent in extents if isinstance(extent, Listed))
        return all(self._add_packs(each, packs) for each in inner)


def _entry(row: Row) -> Entry:
    return Entry(bytes(row[0]), node_of(row[2:]), row[1])


def node_of(row: Row) -> Node:
    """The node whose columns `NODE` these are."""
    number, mode, uid, gid, mtime, mtime_ns, size, nlink, rdev, data, xattrs = row
    is_link = int(mode) & 0o170000 == 0o120000
    attributes = Attributes(
        mode=mode,
        uid=uid,
        gid=gid,
        mtime_ns=mtime * NANOSECONDS + mtime_ns,
        nlink=nlink,
        size=size,
        rdev=rdev,
        target=(data or b"") if is_link else b"",
        xattrs=_xattr_decoder.decode(xattrs) if xattrs else (),
    )
    return Node(NodeNumber(number), attributes, b"" if is_link else data or b"")
