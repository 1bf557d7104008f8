"""The delta of a source as it grows: rows are collected, and handed over as parts of bounded size.

Positions count from the record's first row. A directory's rows may be in several parts; those of
its parent come first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from snapfs.formats.parts import DirectoryRow, EntryPart, ListRow, NodeRow, Reference
from snapfs.jobs.ingest.contents import Item, key_of_list, wire_items
from snapfs.model.attributes import NANOSECONDS, Attributes
from snapfs.sources.owners import Owners

_ROWS = 10_000
"nodes, entries and items at which a part is handed over: about a megabyte before compression"

First = tuple[int, int, int]


@dataclass(slots=True)
class _Directory:
    """What is known so far of one directory's changes."""

    path: bytes
    cleared: bool = False
    removed: list[bytes] = field(default_factory=list)
    entries: list[tuple[bytes, Reference]] = field(default_factory=list)

    def row(self) -> DirectoryRow:
        return DirectoryRow(self.path, self.cleared, tuple(self.removed), tuple(self.entries))


class Delta:
    """Collects rows; `emit` is given each full part with the positions of its first rows."""

    def __init__(
        self,
        *,
        block_id_key: bytes,
        known_list: Callable[[bytes], bool],
        emit: Callable[[EntryPart, First], None],
    ) -> None:
        self._block_id_key = block_id_key
        self._known_list = known_list
        self._emit = emit
        self._owners = Owners()
        self._list_positions: dict[bytes, int] = {}
        self.nodes = self.lists = self.directories = 0
        "rows so far in the record"
        self.rows = 0
        "nodes, entries and items of the record: what waits in memory until it is applied"
        self._emitted = False
        "whether parts of this record have been handed over"
        self._begin_part()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been collected since the last commit."""
        return not (self._size or self._emitted)

    def committed(self) -> None:
        """Begin the delta of the next record."""
        self.nodes = self.lists = self.directories = self.rows = 0
        self._list_positions.clear()
        self._begin_part()
        self._emitted = False

    def add_list(self, items: list[Item]) -> Item:
        """The item that refers to a list of these items, which becomes a row if it is new."""
        key = key_of_list(items, self._block_id_key)
        length = sum(item.length for item in items)
        position = self._list_positions.get(key)
        if position is not None:
            return Item((position,), key, length)
        if self._known_list(key):
            return Item((key,), key, length)
        position = self._list_positions[key] = self.lists
        self._lists.append(ListRow(key, length, wire_items(items)))
        self.lists += 1
        self._grow(len(items))
        return Item((position,), key, length)

    def add_node(self, attributes: Attributes, items: list[Item]) -> int:
        """The position of a new node."""
        seconds, nanoseconds = divmod(attributes.mtime_ns, NANOSECONDS)
        if attributes.uid not in self._users:
            self._users[attributes.uid] = self._owners.user(attributes.uid)
        if attributes.gid not in self._groups:
            self._groups[attributes.gid] = self._owners.group(attributes.gid)
        self._nodes.append(
            NodeRow(
                attributes.mode, attributes.uid, attributes.gid, seconds, nanoseconds,
                attributes.size, attributes.nlink, attributes.rdev, attributes.target,
                wire_items(items), attributes.xattrs,
            )
        )  # fmt: skip
        position, self.nodes = self.nodes, self.nodes + 1
        self._size += 1 + len(items)
        self.rows += 1 + len(items)
        return position

    def set_entry(
        self, directory: bytes, name: bytes, reference: Reference, *, new_directory: bool = False
    ) -> None:
        """The entry `name` of `directory` is now this node.

        `new_directory`: it is a directory whose path this source has never had. The node of a
        directory must have been added just before: it stands in the same part as its entry.
        """
        self._row(directory).entries.append((name, reference))
        self.directories += new_directory
        self._grow(1)

    def remove(self, directory: bytes, name: bytes) -> None:
        """The entry is gone."""
        self._row(directory).removed.append(name)
        self._grow(1)

    def clear(self, directory: bytes) -> None:
        """All entries of a directory are gone."""
        self._row(directory).cleared = True
        self._grow(1)

    def flush(self) -> None:
        """Hand over what has been collected."""
        if not (self._nodes or self._lists or self._rows):
            return
        part = EntryPart(
            tuple(self._lists),
            tuple(self._nodes),
            tuple(row.row() for row in self._rows),
            {uid: name for uid, name in self._users.items() if name},
            {gid: name for gid, name in self._groups.items() if name},
        )
        first = self._first
        self._begin_part()
        self._emitted = True
        self._emit(part, first)

    def _begin_part(self) -> None:
        self._first: First = (self.nodes, self.lists, self.directories)
        self._nodes: list[NodeRow] = []
        self._lists: list[ListRow] = []
        self._rows: list[_Directory] = []
        self._users: dict[int, bytes] = {}
        self._groups: dict[int, bytes] = {}
        self._size = 0

    def _row(self, directory: bytes) -> _Directory:
        if not self._rows or self._rows[-1].path != directory:
            self._rows.append(_Directory(directory))
        return self._rows[-1]

    def _grow(self, rows: int) -> None:
        self._size += rows
        self.rows += rows
        if self._size >= _ROWS:
            self.flush()
