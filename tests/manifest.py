"""What a tree holds, as a value: from the file system or from a snapshot, to be compared.

before = manifest_of_tree(tree)
…ingest…
assert await manifest_of_snapshot(repository, reader, snapshot, below=tree) == before
await check_sound(repository)
"""

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from snapfs.metadata.compare import differences
from snapfs.metadata.database import Database
from snapfs.metadata.fates import DELETING
from snapfs.metadata.tree import Entry
from snapfs.model.attributes import XattrPairs
from snapfs.model.content import Extent, Hole, Stored, total_length
from snapfs.model.identity import Commit
from snapfs.model.snapshot import Snapshot
from snapfs.repository.reader import ContentReader
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories
from snapfs.sources.attributes import attributes_of
from snapfs.sources.reading import Data, extents

_AT_ONCE = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is at one path."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    content: str = ""
    "SHA-256 of a regular file"
    holes: tuple[tuple[int, int], ...] = ()
    "offset and length; none where the file system says that all is allocated"
    target: bytes = b""
    rdev: int = 0
    xattrs: XattrPairs = ()
    group: tuple[bytes, ...] = ()
    "all paths of its inode, where it has several within the tree"


Manifest = dict[bytes, Item]
"by path below the tree, which is itself at b''"


# --- of the file system


def manifest_of_tree(path: str | bytes | Path) -> Manifest:
    """All that is at and below `path`. Paths may be longer than the system takes at once."""
    found: Manifest = {}
    names: dict[tuple[int, int], list[bytes]] = {}
    root = os.fsencode(path)
    parent = os.open(os.path.dirname(root) or b".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        _look(parent, os.path.basename(root), b"", found, names)
    finally:
        os.close(parent)
    for group in names.values():
        _tie(found, group)
    return found


def _look(
    parent: int, name: bytes, path: bytes, found: Manifest,
    names: dict[tuple[int, int], list[bytes]],
) -> None:  # fmt: skip
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    found[path] = _item(b"/proc/self/fd/%d/%s" % (parent, name), status)
    if not stat.S_ISDIR(status.st_mode):
        names.setdefault((status.st_dev, status.st_ino), []).append(path)
        return
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        for inner in map(os.fsencode, os.listdir(descriptor)):
            _look(descriptor, inner, path + b"/" + inner if path else inner, found, names)
    finally:
        os.close(descriptor)


def _item(path: bytes, status: os.stat_result) -> Item:
    def fail(finding: object) -> None:
        raise AssertionError(finding)

    attributes = attributes_of(path, status, report=fail)
    item = Item(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        size=attributes.size if not stat.S_ISDIR(status.st_mode) else 0,
        target=attributes.target,
        rdev=attributes.rdev,
        xattrs=attributes.xattrs,
    )
    if not stat.S_ISREG(status.st_mode):
        return item
    with open(path, "rb") as file:
        hasher = sha256()
        while piece := file.read(_AT_ONCE):
            hasher.update(piece)
        sparse = status.st_blocks * 512 < status.st_size
        holes = _holes(extents(file.fileno(), status.st_size)) if sparse else ()
    return replace(item, content=hasher.hexdigest(), holes=holes)


# --- of a snapshot


async def manifest_of_snapshot(
    repository: Repository, reader: ContentReader, snapshot: Snapshot, *,
    below: str | bytes | Path = b"/",
) -> Manifest:  # fmt: skip
    """All that a snapshot has at and below the absolute path `below`; empty for nothing."""
    entry = repository.tree.resolve(snapshot.anchor, snapshot.number, os.fsencode(below))
    found: Manifest = {}
    names: dict[int, list[bytes]] = {}
    todo = [(b"", entry)] if entry else []
    while todo:
        path, entry = todo.pop()
        found[path] = await _stored_item(repository, reader, entry)
        if entry.child is None:
            names.setdefault(entry.node.number, []).append(path)
            continue
        todo.extend(
            (path + b"/" + inner.name if path else inner.name, inner)
            for inner in repository.tree.entries(entry.child, snapshot.number)
        )
    for group in names.values():
        _tie(found, group)
    _check_links(found, names, repository)
    return found


async def _stored_item(repository: Repository, reader: ContentReader, entry: Entry) -> Item:
    attributes = entry.node.attributes
    assert attributes.is_directory == (entry.child is not None)
    content = ""
    holes: tuple[tuple[int, int], ...] = ()
    if attributes.is_file:
        content = await _digest(reader, entry)
        inner = list(repository.tree.extents(entry.node.content()))
        assert total_length(inner) == attributes.size
        holes = _holes(inner)
    return Item(
        mode=attributes.mode,
        uid=attributes.uid,
        gid=attributes.gid,
        mtime_ns=attributes.mtime_ns,
        size=attributes.size if not attributes.is_directory else 0,
        content=content,
        holes=holes,
        target=attributes.target,
        rdev=attributes.rdev,
        xattrs=attributes.xattrs,
    )


async def _digest(reader: ContentReader, entry: Entry) -> str:
    hasher = sha256()
    opened, offset = reader.open(entry.node.content()), 0
    while piece := await opened.read(offset, _AT_ONCE):
        hasher.update(piece)
        offset += len(piece)
    assert offset == entry.node.attributes.size
    return hasher.hexdigest()


def _check_links(found: Manifest, names: dict[int, list[bytes]], repository: Repository) -> None:
    """The number of names that a node states is the number that it has."""
    for number, group in names.items():
        node = repository.tree.node(number)
        assert node is not None
        assert node.attributes.nlink >= len(group), group


# --- of both


def _tie(found: Manifest, group: list[bytes]) -> None:
    if len(group) > 1:
        for path in group:
            found[path] = replace(found[path], group=tuple(sorted(group)))


def _holes(found: Iterable[Extent | Data]) -> tuple[tuple[int, int], ...]:
    """Holes with their offsets; neighbours are one."""
    holes: list[tuple[int, int]] = []
    offset = 0
    for extent in found:
        if isinstance(extent, Hole) and holes and sum(holes[-1]) == offset:
            holes[-1] = (holes[-1][0], holes[-1][1] + extent.length)
        elif isinstance(extent, Hole):
            holes.append((offset, extent.length))
        offset += extent.length
    return tuple(holes)


# --- the repository as a whole


async def check_sound(repository: Repository) -> None:
    """Fails unless the view is consistent, a replay of the log gives the very same, and every
    block that is stored can be read."""
    await repository.catch_up_all()
    with tempfile.TemporaryDirectory(dir=repository.state.directory) as temporary:
        fresh = Directories(Path(temporary) / "state", Path(temporary) / "cache")
        async with open_view(
            repository.store, fresh, repository.keys, repository.world
        ) as replayed:
            await replayed.catch_up_all()
            assert differences(repository.replica.db, replayed.replica.db) == []
    for question, sql in NEVER.items():
        assert repository.db.rows(sql) == [], question
    _check_contents(repository)
    await _check_blocks(repository)


NEVER = {
    "versions of a name that overlap": "SELECT a.name, a.first, a.last, b.first FROM entry a"
    " JOIN entry b USING (directory, name) WHERE a.first < b.first AND b.first < a.last",
    "empty intervals": "SELECT * FROM entry WHERE first >= last",
    "entries without a node": "SELECT * FROM entry WHERE node NOT IN (SELECT number FROM node)",
    "entries that differ from their nodes": "SELECT * FROM entry e JOIN node n ON n.number = e.node"
    " WHERE (e.size, e.mtime, e.uid) <> (n.size, n.mtime, n.uid)"
    " OR e.file <> CASE WHEN n.mode & 61440 <> 32768 THEN 0 WHEN n.nlink > 1 THEN 2 ELSE 1 END",
    "sums of what commits did that its entries don't have": "WITH ends (directory, record, sign,"
    " size, file) AS (SELECT directory, first, 1, size, file FROM entry UNION ALL"
    "  SELECT directory, last, -1, size, file FROM entry WHERE last < 1 << 62),"
    " sums AS (SELECT directory, record, sum(sign) AS entries, sum(iif(file, sign * size, 0)) AS"
    "  size, sum(iif(file = 2, sign * size, 0)) AS linked FROM ends GROUP BY directory, record)"
    " SELECT * FROM touched t LEFT JOIN sums s USING (directory, record) WHERE (t.entries, t.size,"
    " t.linked) <> (coalesce(s.entries, 0), coalesce(s.size, 0), coalesce(s.linked, 0))",
    "entries that no sum has": "SELECT * FROM entry e WHERE NOT EXISTS (SELECT 1 FROM touched t"
    " WHERE (t.directory, t.record) = (e.directory, e.first)) OR last < 1 << 62 AND NOT EXISTS"
    " (SELECT 1 FROM touched t WHERE (t.directory, t.record) = (e.directory, e.last))",
    "entries without their directory": "SELECT * FROM entry"
    " WHERE directory NOT IN (SELECT number FROM directory)",
    "children that are no directory": "SELECT * FROM entry e JOIN node n ON n.number = e.node"
    " WHERE (e.child IS NOT NULL) <> (n.mode & 61440 = 16384)",
    "children that are another path": "SELECT * FROM entry e LEFT JOIN directory d"
    " ON d.number = e.child WHERE e.child IS NOT NULL"
    " AND (d.parent IS NOT e.directory OR d.name IS NOT e.name)",
    # Of a tree that has been left nobody asks what it was at its end, and a base may drop that.
    "entries that outlive their directory": "WITH RECURSIVE here (number) AS"
    " (SELECT anchor FROM source UNION ALL SELECT d.number FROM here h JOIN directory d"
    "  ON d.parent = h.number AND d.parent <> 0)"
    " SELECT e.* FROM entry e JOIN directory d"
    " ON d.number = e.directory WHERE d.number IN here"
    " AND d.parent <> 0 AND e.last = 1 << 62 AND NOT EXISTS"
    " (SELECT 1 FROM entry p WHERE p.directory = d.parent AND p.name = d.name"
    "  AND p.child = d.number AND p.last = 1 << 62)",
    "directories without a parent": "SELECT * FROM directory"
    " WHERE parent <> 0 AND parent NOT IN (SELECT number FROM directory)",
    "blocks without a segment": "SELECT number FROM block"
    " WHERE segment NOT IN (SELECT number FROM segment)",
    "segments without a pack": "SELECT number FROM segment"
    " WHERE pack NOT IN (SELECT number FROM pack)",
}  # fmt: skip


def _check_contents(repository: Repository) -> None:
    lengths = dict(repository.db.rows("SELECT number, length FROM block"))
    for (number,) in repository.db.rows("SELECT number FROM node"):
        node = repository.tree.node(number)
        assert node is not None
        inner = list(repository.tree.extents(node.content()))
        if node.attributes.is_file:
            assert total_length(inner) == node.attributes.size
        for extent in inner:
            if isinstance(extent, Stored):
                assert lengths[extent.number] == extent.length


async def _check_blocks(repository: Repository) -> None:
    async with repository.reading() as reader:
        for number, length in _present_blocks(repository.db):
            data = await reader.open((Stored(number, length),)).read(0, length)
            assert len(data) == length


def _present_blocks(db: Database) -> Iterator[tuple[int, int]]:
    for number, length in db.rows(
        "SELECT b.number, b.length FROM block b JOIN segment s ON s.number = b.segment"
        " JOIN pack p ON p.number = s.pack LEFT JOIN fate f ON f.name = p.name"
        " WHERE coalesce(f.state, 0) < ? ORDER BY b.number",
        (DELETING,),
    ):
        yield int(number), int(length)


@dataclass(slots=True)
class Kept:
    """Manifests of snapshots as they were captured, to be compared when all is done."""

    manifests: dict[Commit, Manifest] = field(default_factory=dict)

    def add(self, snapshot: Snapshot | None, manifest: Manifest) -> None:
        assert snapshot is not None
        self.manifests[snapshot.number] = manifest

    async def check(self, repository: Repository, *, below: str | bytes | Path) -> None:
        """Fails unless every snapshot still is what it was when it was taken."""
        async with repository.reading() as reader:
            for number, manifest in self.manifests.items():
                snapshot = repository.snapshots.by_number(number)
                assert snapshot is not None
                found = await manifest_of_snapshot(repository, reader, snapshot, below=below)
                assert found == manifest
