"""Which nodes hold damaged blocks, so that an ingest reads their files whatever it knows of them.

Where no block is suspect that is one look-up; else lists and nodes are read once, and one bit is
kept for each.
"""

import msgspec

from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database
from snapfs.model.identity import OPEN

_decoder = msgspec.msgpack.Decoder(list[int])
_HOLE = -1
_REGULAR, _TYPE = 0o100000, 0o170000


def nodes_with_suspects(db: Database) -> NumberSet:
    """Numbers of the nodes whose content holds a block that is damaged now."""
    suspects = _suspects(db)
    if not suspects:
        return NumberSet(0)
    lists = NumberSet(_bound(db, "list"))
    for number, items in db.stream("SELECT number, items FROM list ORDER BY number"):
        # A list only holds lists before it.
        if _holds(items, suspects, lists):
            lists.add(number)
    nodes = NumberSet(_bound(db, "node"))
    for number, data in db.stream(
        "SELECT number, data FROM node WHERE data IS NOT NULL AND mode & ? = ?", (_TYPE, _REGULAR)
    ):
        if _holds(data, suspects, lists):
            nodes.add(number)
    return nodes


def _suspects(db: Database) -> NumberSet:
    # The number is written out: only so does SQLite see that the partial index answers it.
    where = f"FROM suspect WHERE last = {OPEN}"
    if db.row(f"SELECT 1 {where} LIMIT 1") is None:
        return NumberSet(0)
    suspects = NumberSet(_bound(db, "block"))
    for (number,) in db.stream(f"SELECT block {where}"):
        suspects.add(number)
    return suspects


def _holds(data: bytes, suspects: NumberSet, lists: NumberSet) -> bool:
    return any(
        code in suspects if code >= 0 else code != _HOLE and -2 - code in lists
        for code in _decoder.decode(data)[::2]
    )


def _bound(db: Database, table: str) -> int:
    row = db.row(f"SELECT coalesce(max(number), 0) + 1 FROM {table}")
    assert row is not None
    return int(row[0])
