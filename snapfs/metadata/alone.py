"""What each snapshot alone holds: the blocks that no other one needs.

Reads the tables of entries, nodes and blocks once each, and keeps four bytes for each node, list
and block: about 20 MB for a million files. Seconds, where other questions take a fraction of one.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import msgspec

from snapfs.metadata.database import Database
from snapfs.model.identity import Commit

_NOBODY = 0
_SHARED = -1
_HOLE = -1
_content_decoder = msgspec.msgpack.Decoder(list[int])


@dataclass(frozen=True, slots=True)
class Alone:
    """What one snapshot alone holds."""

    plain: int
    "bytes of its blocks"
    stored: int
    "their share of the segments that they lie in: about what forgetting it lets a prune free"


def held_alone(db: Database) -> dict[Commit, Alone]:
    """For each snapshot that alone holds something how much; needs `Moments` of all sources.

    What is needed for another reason is not looked at: that the state at a source's head stays
    until the next ingest, and what a forgotten snapshot still holds until a prune.
    """
    blocks = _owners_of_blocks(db, _owners_of_nodes(db))
    plain: dict[int, int] = defaultdict(int)
    stored: dict[int, float] = defaultdict(float)
    for number, length, share in db.stream(
        "SELECT b.number, b.length, 1.0 * b.length * s.stored / s.plain"
        " FROM block b CROSS JOIN segment s ON s.number = b.segment WHERE s.plain > 0"
    ):
        owner = blocks[number]
        if owner > 0:
            plain[owner] += length
            stored[owner] += share
    return {Commit(owner): Alone(plain[owner], ceil(stored[owner])) for owner in sorted(plain)}


class _Owners:
    """Who needs each number: nobody, one snapshot, or several."""

    def __init__(self, db: Database, table: str) -> None:
        row = db.row(f"SELECT coalesce(max(number), 0) + 1 FROM {table}")
        self.of = array("i", bytes(4 * int(row[0] if row else 1)))

    def add(self, number: int, owner: int) -> bool:
        """Note one more owner; whether that changes anything."""
        before = self.of[number]
        if before in (owner, _SHARED):
            return False
        self.of[number] = owner if before == _NOBODY else _SHARED
        return True


def _owners_of_nodes(db: Database) -> "array[int]":
    nodes = _Owners(db, "node")
    add = nodes.add
    for node, owner in db.stream(
        f"SELECT e.node, iif(m.second < e.last, {_SHARED}, m.shown)"
        " FROM entry e CROSS JOIN temp.moment m ON m.number = e.first WHERE m.shown < e.last"
    ):
        add(node, owner)
    return nodes.of


def _owners_of_blocks(db: Database, nodes: "array[int]") -> "array[int]":
    blocks, lists = _Owners(db, "block"), _Owners(db, "list")
    todo: list[tuple[int, int]] = []
    for number, data in db.stream(
        "SELECT number, data FROM node WHERE data IS NOT NULL AND mode & 61440 = 32768"
    ):
        owner = nodes[number]
        if owner == _NOBODY:
            continue
        for code in _codes(data):
            _add(code, owner, blocks, lists, todo)
        while todo:
            inner, owner = todo.pop()
            row = db.row("SELECT items FROM list WHERE number = ?", (inner,))
            for code in _codes(row[0] if row else b"\x90"):
                _add(code, owner, blocks, lists, todo)
    return blocks.of


def _codes(data: bytes) -> Iterator[int]:
    return iter(_content_decoder.decode(data)[::2])


def _add(
    code: int, owner: int, blocks: _Owners, lists: _Owners, todo: list[tuple[int, int]]
) -> None:
    if code >= 0:
        blocks.add(code, owner)
    elif code != _HOLE and lists.add(-2 - code, owner):
        # Twice at most: for its first owner, and when a second one makes all below it shared.
        todo.append((-2 - code, lists.of[-2 - code]))
