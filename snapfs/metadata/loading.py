"""Applying base parts: rows with the numbers that they have had.

A stream that has rows already is not emptied first, for others read it meanwhile. What is restated
replaces its like; entries and blocks that are not, within what a part covers, are deleted. Nodes,
lists and packs that the base lacks are dropped when the stream reaches the base itself.
"""

from typing import NamedTuple

import msgspec

from snapfs.errors import FormatError
from snapfs.formats.bases import BaseNode, BlockBase, EntryBase
from snapfs.metadata.bases import Bounds, bounds
from snapfs.metadata.blocks import tag_of
from snapfs.metadata.database import Database, Row
from snapfs.metadata.entries import REPEATED
from snapfs.metadata.touches import ENDS, Touches
from snapfs.model.identity import OPEN

_encode = msgspec.msgpack.encode


class Stream(NamedTuple):
    """What is loaded, and into what."""

    number: int
    "0: the blocks; else of a source"
    until: int
    stale: bool
    "rows of records up to `until` may be there that the base lacks"


def load_blocks(db: Database, part: BlockBase, into: Stream) -> None:
    """Apply one base part of blocks within a transaction. Twice changes nothing.

    Raises FormatError where a row has a number that was not given by then.
    """
    limit = bounds(db, into.until)
    _check(
        part.end <= limit.blocks,
        all(row.number < limit.packs for row in part.packs),
        all(row.number < limit.segments and row.pack < limit.packs for row in part.segments),
        all(row.block + row.blocks <= limit.blocks for row in part.segments),
        all(row.segment < limit.segments for row in part.blocks),
        all(row.first <= into.until for row in part.suspects),
    )
    if into.stale:
        span = (part.begin, part.end)
        db.execute("DELETE FROM block WHERE number >= ? AND number < ?", span)
        db.execute("DELETE FROM suspect WHERE block >= ? AND block < ?", span)
    db.execute_many(
        "INSERT OR REPLACE INTO pack VALUES (?, ?, ?, ?)",
        [(row.number, row.name, row.size, row.header) for row in part.packs],
    )
    db.execute_many(
        "INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (row.number, row.pack, row.place, row.offset, row.stored, row.plain, row.block,
             row.blocks)
            for row in part.segments
        ],
    )  # fmt: skip
    db.execute_many(
        "INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?, ?)",
        [
            (row.number, tag_of(row.key), row.key, row.segment, row.offset, row.length)
            for row in part.blocks
        ],
    )
    db.execute_many(
        "INSERT OR REPLACE INTO suspect VALUES (?, ?, ?)",
        [(row.block, row.first, OPEN) for row in part.suspects],
    )


def load_entries(db: Database, part: EntryBase, into: Stream) -> None:
    """Apply one base part of a source's entries within a transaction. Twice changes nothing.

    Raises FormatError where a row has a number that was not given by then, or an entry no node.
    """
    _check_entries(part, bounds(db, into.until), into.until)
    touches = Touches()
    if into.stale:
        touches.add(_delete_entries(db, part, into), -1)
    db.execute_many(
        "INSERT OR REPLACE INTO directory VALUES (?, ?, ?)",
        [(row.number, row.parent, row.name) for row in part.directories],
    )
    db.execute_many(
        "INSERT OR REPLACE INTO list VALUES (?, ?, ?, ?, ?)",
        [
            (row.number, into.number, row.key, row.length, _encode(row.extents))
            for row in part.lists
        ],
    )
    db.execute_many(
        "INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [_node(row) for row in part.nodes],
    )
    _load_versions(db, part, touches)
    touches.write(db)
    for kind, names in enumerate((part.users, part.groups)):
        db.execute_many(
            "INSERT OR REPLACE INTO owner VALUES (?, ?, ?, ?)",
            [(into.number, kind, number, name) for number, name in names.items()],
        )


def _check_entries(part: EntryBase, limit: Bounds, until: int) -> None:
    _check(
        all(row.number < limit.directories for row in part.directories),
        all(row.number < limit.lists for row in part.lists),
        all(row.number < limit.nodes for row in part.nodes),
        all(row.directory < limit.directories for row in part.entries),
        all(row.node < limit.nodes and row.child < limit.directories for row in part.entries),
        all(row.first <= until for row in part.entries),
        all(row.last <= until or row.last == OPEN for row in part.entries),
        all(max(row.extents[::2], default=0) < limit.blocks for row in part.nodes),
        all(max(row.extents[::2], default=0) < limit.blocks for row in part.lists),
    )


def _load_versions(db: Database, part: EntryBase, touches: Touches) -> None:
    """Insert the entries. What they refer to has come before them, in this part or an earlier one.

    Loaded a second time they are there, and are not counted again.
    """
    nodes = msgspec.json.encode([row.node for row in part.entries]).decode()
    repeated = {
        row[0]: row[1:]
        for row in db.stream(
            f"SELECT n.number, {REPEATED} FROM json_each(?) j"
            " CROSS JOIN node n ON n.number = j.value",
            (nodes,),
        )
    }
    _check(all(row.node in repeated for row in part.entries))
    inserted = db.changed(
        "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (row.directory, row.name, row.first, row.last, row.node, row.child or None,
             *repeated[row.node])
            for row in part.entries
        ],
    )  # fmt: skip
    if inserted:
        touches.add(
            (row.directory, row.first, row.last, *repeated[row.node][:2]) for row in part.entries
        )


def _delete_entries(db: Database, part: EntryBase, into: Stream) -> list[Row]:
    """Delete this source's entries within what the part covers; what `Touches` counts of them."""
    return db.rows(
        "DELETE FROM entry WHERE (directory, name, first) >= (?, ?, ?)"
        " AND (directory, name, first) < (?, ?, ?) AND first <= ?"
        f" AND (SELECT source FROM log WHERE number = entry.first) = ? RETURNING {ENDS}",
        (*part.begin, *part.end, into.until, into.number),
    )


def _node(row: BaseNode) -> Row:
    data = _encode(row.extents) if row.extents else row.target or None
    return (
        row.number, row.mode, row.uid, row.gid, row.mtime, row.mtime_ns, row.size, row.nlink,
        row.rdev, data, _encode(row.xattrs) if row.xattrs else None,
    )  # fmt: skip


def _check(*sound: bool) -> None:
    if not all(sound):
        raise FormatError("a base part has rows that no record up to it has brought")
