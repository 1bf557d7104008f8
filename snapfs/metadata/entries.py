"""Apply: entry parts. The delta of one source becomes intervals of names and new nodes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from snapfs.errors import FormatError
from snapfs.formats.parts import DirectoryRow, EntryPart, Items, NodeRow, PartRef, Reference
from snapfs.formats.records import New
from snapfs.metadata import contents
from snapfs.metadata.blocks import tag_of
from snapfs.metadata.database import Database, Row
from snapfs.metadata.fates import DELETING
from snapfs.metadata.names import ANCHOR, BY_NAME, ROOT, join
from snapfs.metadata.touches import ENDS, Touches
from snapfs.model.content import Extent, Hole, Listed, Stored, total_length
from snapfs.model.identity import OPEN, Commit

_TYPE, _DIRECTORY, _REGULAR = 0o170000, 0o040000, 0o100000
_KIND = "iif(n.mode & 61440 = 32768, iif(n.nlink < 2, 1, 2), 0)"
REPEATED = f"n.size, {_KIND}, n.mtime, n.uid"
"what an entry repeats of its node n: size, file, mtime, uid"
_REPEATED = f"SELECT {REPEATED} FROM node n WHERE n.number = ?"
_REMEMBERED = 4096
"directories whose numbers are kept at hand; deltas come in order of path"


@dataclass(frozen=True, slots=True)
class Bases:
    """The numbers that a record's first rows have, and what its delta refers back to."""

    commit: Commit
    source: int
    anchor: int
    source_head: Commit
    blocks: int
    nodes: int
    lists: int
    directories: int


def apply_entries(db: Database, part: EntryPart, ref: PartRef, bases: Bases, new: New) -> None:
    """Apply one entry part within a transaction that moves the stream on. Twice changes nothing.

    Needs the blocks of the record applied. Raises FormatError where the part contradicts its
    record, or refers to what is not there.
    """
    _Piece(db, part, ref, bases, new).apply()


@dataclass(slots=True)
class _Piece:
    db: Database
    part: EntryPart
    ref: PartRef
    bases: Bases
    new: New
    numbers: dict[bytes, int] = field(default_factory=dict)
    _touches: Touches = field(default_factory=Touches)
    _entries: dict[tuple[int, bytes], Row] = field(default_factory=dict)
    """Rows of `entry`, inserted when all directories have been gone through: nothing looks for them
    before, and one statement for each directory costs as much as its rows. By directory and name: a
    directory that changed while it was listed may have given a name twice, of which the last
    counts."""

    def apply(self) -> None:
        nodes, lists, directories = self.ref.first
        _check(nodes + len(self.part.nodes) <= self.new.nodes, "nodes")
        _check(lists + len(self.part.lists) <= self.new.lists, "lists")
        self._insert_lists(self.bases.lists + lists)
        self._insert_nodes(self.bases.nodes + nodes)
        self._insert_owners()
        next_directory = self.bases.directories + directories
        for row in self.part.directories:
            next_directory = self._apply_directory(row, next_directory)
        _check(next_directory <= self.bases.directories + self.new.directories, "directories")
        self.db.execute_many(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._entries.values()
        )
        self._touches.add(
            (directory, first, last, size, file)
            for directory, _, first, last, _, _, size, file, _, _ in self._entries.values()
        )
        self._touches.write(self.db)

    def _insert_lists(self, number: int) -> None:
        for row in self.part.lists:
            extents = list(self._extents(row.items, row.length))
            _check(total_length(extents) == row.length, "a list's length")
            self.db.execute(
                "INSERT OR REPLACE INTO list VALUES (?, ?, ?, ?, ?)",
                (number, self.bases.source, row.key, row.length, contents.encode(extents)),
            )
            number += 1

    def _insert_nodes(self, number: int) -> None:
        self.db.execute_many(
            "INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self._node(at, row) for at, row in enumerate(self.part.nodes, start=number)],
        )

    def _node(self, number: int, row: NodeRow) -> Row:
        data: bytes | None = row.target or None
        if len(row.items) == 1 and isinstance(row.items[0], int) and row.items[0] >= 0:
            # One block that is new: so are most files.
            data = contents.encode_one(self._new_block(row.items[0]), row.size)
        elif row.items:
            extents = list(self._extents(row.items, row.size))
            _check(total_length(extents) == row.size, "a file's size")
            data = contents.encode(extents)
        return (
            number, row.mode, row.uid, row.gid, row.mtime, row.mtime_ns, row.size, row.nlink,
            row.rdev, data, msgspec.msgpack.encode(row.xattrs) if row.xattrs else None,
        )  # fmt: skip

    def _extents(self, items: Items, whole: int) -> Iterator[Extent]:
        if len(items) == 1 and not (isinstance(items[0], int) and items[0] < 0):
            yield self._extent(items[0], whole)
            return
        position = 0
        while position < len(items):
            item = items[position]
            position += 1
            if isinstance(item, int) and item < 0:
                yield Hole(-1 - item)
                continue
            _check(position < len(items), "extents")
            length = items[position]
            _check(isinstance(length, int) and length > 0, "extents")
            assert isinstance(length, int)
            yield self._extent(item, length)
            position += 1

    def _extent(self, item: int | bytes | tuple[Reference], length: int) -> Extent:
        if isinstance(item, tuple):
            return Listed(self._list(item[0]), length)
        if isinstance(item, int):
            return Stored(self._new_block(item), length)
        return Stored(self._block(item), length)

    def _new_block(self, position: int) -> int:
        _check(0 <= position < self.new.blocks, "blocks")
        return self.bases.blocks + position

    def _block(self, key: bytes) -> int:
        """The older block of a key: as `BlockIndex.find` saw it, when the record was made.

        That is its first copy in a pack that was not being deleted then, and that was not known
        to be damaged. Applied years later, the answer must be the same; so fates keep the record
        since when nothing relies on a pack, and suspects the records between which they were.
        """
        row = self.db.row(
            "SELECT b.number FROM block b JOIN segment s ON s.number = b.segment"
            " JOIN pack p ON p.number = s.pack"
            f" LEFT JOIN fate f ON f.name = p.name AND f.state >= {DELETING} AND f.record < ?4"
            " LEFT JOIN suspect d ON d.block = b.number AND d.first < ?4 AND d.last >= ?4"
            " WHERE b.tag = ?1 AND b.key = ?2 AND b.number < ?3"
            " ORDER BY f.name IS NOT NULL, d.block IS NOT NULL, b.number LIMIT 1",
            (tag_of(key), key, self.bases.blocks, self.bases.commit),
        )
        return int(_found(row, "an older block")[0])

    def _list(self, reference: Reference) -> int:
        if isinstance(reference, int):
            _check(0 <= reference < self.new.lists, "lists")
            return self.bases.lists + reference
        row = self.db.row(
            "SELECT max(number) FROM list WHERE source = ? AND key = ? AND number < ?",
            (self.bases.source, reference, self.bases.lists),
        )
        number = row[0] if row else None
        _check(number is not None, "an older list")
        return int(number or 0)

    def _insert_owners(self) -> None:
        for kind, names in enumerate((self.part.users, self.part.groups)):
            self.db.execute_many(
                "INSERT OR REPLACE INTO owner VALUES (?, ?, ?, ?)",
                [(self.bases.source, kind, number, name) for number, name in names.items()],
            )

    def _apply_directory(self, row: DirectoryRow, next_directory: int) -> int:
        """Apply what changed in one directory; the number that the next new directory gets."""
        directory = self._directory(row.path)
        self._take_back(directory, row)
        self._touches.touch(directory, self.bases.commit)
        for size, file in self._close(directory, row):
            self._touches.count(directory, self.bases.commit, -1, size, file)
        for name, reference in row.entries:
            node, is_directory, repeated = self._reference(reference)
            child = None
            if is_directory:
                child, next_directory = self._child(directory, row.path, name, next_directory)
            self._entries[(directory, name)] = (
                directory, name, self.bases.commit, OPEN, node, child, *repeated
            )  # fmt: skip
        return next_directory

    def _take_back(self, directory: int, row: DirectoryRow) -> None:
        """Delete what this commit has brought of the same names: this very piece, applied before,
        or another one of the directory. Mostly the commit has not touched it yet."""
        commit = self.bases.commit
        touched = "SELECT 1 FROM touched WHERE directory = ? AND record = ?"
        if self.db.row(touched, (directory, commit)) is not None:
            brought = self.db.returned(
                "DELETE FROM entry WHERE directory = ? AND name = ? AND first = ?"
                f" RETURNING {ENDS}",
                [(directory, name, commit) for name, _ in row.entries],
            )
            self._touches.add(brought, -1)

    def _close(self, directory: int, row: DirectoryRow) -> list[Row]:
        """End the entries that are gone or replaced; their sizes, and kinds of file.

        Intervals are half open, so nobody sees it before the position of the source moves to this
        commit.
        """
        commit = self.bases.commit
        if row.cleared:
            return self.db.rows(
                "UPDATE entry SET last = ? WHERE directory = ? AND last = ? AND first < ?"
                " RETURNING size, file",
                (commit, directory, OPEN, commit),
            )
        if directory >= self.bases.directories:
            return []
        ended = [*row.removed, *(name for name, _ in row.entries)]
        return self.db.returned(
            "UPDATE entry SET last = ?1 WHERE directory = ?2 AND name = ?3 AND last = ?4"
            " AND first < ?1 RETURNING size, file",
            [(commit, directory, name, OPEN) for name in ended],
        )

    def _reference(self, reference: Reference) -> tuple[int, bool, Row]:
        """The node that an entry refers to, whether it is a directory, and what it repeats of it:
        `entry.size` and so on."""
        if isinstance(reference, int):
            number, begin = self.bases.nodes + reference, self.ref.first[0]
            if begin <= reference < begin + len(self.part.nodes):
                row = self.part.nodes[reference - begin]
                kind = row.mode & _TYPE
                file = 0 if kind != _REGULAR else 1 if row.nlink < 2 else 2
                return number, kind == _DIRECTORY, (row.size, file, row.mtime, row.uid)
            _check(0 <= reference < begin, "nodes")  # of an earlier part: never a directory
            return number, False, _found(self.db.row(_REPEATED, (number,)), "an older node")
        parent, _, name = reference.rpartition(b"/")
        old = self.db.row(
            "SELECT node, child IS NOT NULL, size, file, mtime, uid FROM entry WHERE directory = ?"
            " AND name = ? AND first <= ? AND last > ?",
            (self._directory(parent or ROOT), name, self.bases.source_head, self.bases.source_head),
        )
        node, is_directory, *repeated = _found(old, "an older path")
        return node, bool(is_directory), tuple(repeated)

    def _child(self, parent: int, path: bytes, name: bytes, number: int) -> tuple[int, int]:
        """The number of a directory, and the one that the next new directory gets."""
        row = self.db.row(BY_NAME, (parent, name))
        if row is None:
            self.db.execute("INSERT INTO directory VALUES (?, ?, ?)", (number, parent, name))
            self._remember(join(path, name), number)
            return number, number + 1
        child = int(row[0])
        # Found, but made by this very piece: applied a second time, it takes its number again.
        return child, number + 1 if child == number else number

    def _directory(self, path: bytes) -> int:
        """The number of a directory, from the nearest one above it that is at hand."""
        todo: list[bytes] = []
        while path != ANCHOR and path not in self.numbers:
            todo.append(path)
            path = ANCHOR if path == ROOT else path.rpartition(b"/")[0] or ROOT
        number = self.bases.anchor if path == ANCHOR else self.numbers[path]
        while todo:
            path = todo.pop()
            name = ROOT if path == ROOT else path.rpartition(b"/")[2]
            number = int(_found(self.db.row(BY_NAME, (number, name)), "a directory")[0])
            self._remember(path, number)
        return number

    def _remember(self, path: bytes, number: int) -> None:
        if len(self.numbers) >= _REMEMBERED:
            self.numbers.clear()
        self.numbers[path] = number


def _found(row: Row | None, what: str) -> Row:
    _check(row is not None, what)
    assert row is not None
    return row


def _check(sound: bool, what: str) -> None:
    if not sound:
        raise FormatError(f"an entry part contradicts the record that names it ({what})")
