"""What the repository knows of a file, worked out from its node when it is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from snapfs.formats import parts
from snapfs.metadata import contents
from snapfs.metadata.database import Database
from snapfs.metadata.lines import Line, Lines
from snapfs.metadata.past import Version
from snapfs.model.content import Content, Extent, Hole, Stored
from snapfs.model.identity import Commit
from snapfs.mount.factnames import NAMES, PREFIX, packs_text
from snapfs.mount.view import Sight

_BATCH = 512


@dataclass(frozen=True, slots=True)
class Storage:
    """What a content takes."""

    blocks: int
    stored: int
    "bytes"
    packs: frozenset[bytes]


class Facts:
    """Answers about files by their nodes."""

    def __init__(self, db: Database, sight: Sight, block_id: bytes) -> None:
        self._db = db
        self._lines = Lines(db)
        self._sight = sight
        self._block_id = block_id

    def value(self, node: int, name: bytes) -> bytes | None:
        """The attribute of this name; None if there is none."""
        line = self._lines.node(node)
        if line is None:
            return None
        value = self._value(line, name.decode(errors="replace").removeprefix(PREFIX))
        return None if value is None else value.encode()

    def _value(self, line: Line, name: str) -> str | None:
        if name in ("first", "last", "versions"):
            return self._of_versions(line, name)
        if name not in NAMES or not line.content:
            return None
        content = contents.decode(line.content)
        if name == "content":
            return self._identity(content).hex()
        storage = self._storage(content)
        match name:
            case "blocks":
                return str(storage.blocks)
            case "stored":
                return str(storage.stored)
        return packs_text(sorted(pack.hex() for pack in storage.packs))

    def _of_versions(self, line: Line, name: str) -> str | None:
        place = self._sight.past.place_of(line.number)
        versions = self._sight.past.versions(*place) if place else []
        if name == "versions":
            return str(len(versions)) if versions else None
        found = next((one for one in versions if one.line.number == line.number), None)
        return self._snapshot(found, name) if found else None

    def _snapshot(self, version: Version, name: str) -> str | None:
        number = version.since if name == "first" else version.until
        snapshot = self._sight.layout.shown(Commit(number))
        return self._sight.layout.name_of(snapshot).decode() if snapshot else None

    def _identity(self, content: Content) -> bytes:
        items = [(self._key(extent), extent.length) for extent in content]
        if len(items) == 1 and items[0][0]:
            return items[0][0]
        return parts.list_key(parts.canonical_items(items), self._block_id)

    def _key(self, extent: Extent) -> bytes:
        if isinstance(extent, Hole):
            return b""
        table = "block" if isinstance(extent, Stored) else "list"
        row = self._db.row(f"SELECT key FROM {table} WHERE number = ?", (extent.number,))
        return bytes(row[0]) if row else b""

    def _storage(self, content: Content) -> Storage:
        blocks, stored, packs = 0, 0, set[bytes]()
        for numbers in _batches(self._sight.tree.extents(content)):
            blocks += len(numbers)
            for share, pack in self._db.rows(
                "SELECT sum(b.length * s.stored / s.plain), p.name FROM json_each(?) j"
                " CROSS JOIN block b ON b.number = j.value JOIN segment s ON s.number = b.segment"
                " JOIN pack p ON p.number = s.pack GROUP BY p.number",
                (msgspec.json.encode(numbers).decode(),),
            ):
                stored += share
                packs.add(bytes(pack))
        return Storage(blocks, stored, frozenset(packs))


def _batches(extents: Iterator[Extent]) -> Iterator[list[int]]:
    batch: list[int] = []
    for extent in extents:
        if isinstance(extent, Stored):
            batch.append(extent.number)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
