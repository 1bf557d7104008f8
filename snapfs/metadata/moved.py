"""Where blocks may have been moved since they were looked up, from heads alone.

A repack moves blocks out of packs that it condemns, into packs that it adds. Whoever relies on the
former must rely on the latter as well, which may be condemned and deleted in their turn.
"""

from collections.abc import Collection

import msgspec

from snapfs.errors import DeltaVoidError
from snapfs.formats.records import Condemn, Head, Mend
from snapfs.metadata.database import Database
from snapfs.metadata.position import BLOCKS
from snapfs.model.identity import Commit

_head_decoder = msgspec.msgpack.Decoder(Head)


def blocks_seen(db: Database) -> Commit:
    """The last record whose blocks are where look-ups find them."""
    row = db.row("SELECT record FROM cursor WHERE stream = ?", (BLOCKS,))
    return Commit(row[0] - 1 if row else 0)


def moved_to(
    db: Database, packs: Collection[int], names: Collection[bytes], since: int
) -> set[bytes]:
    """Names of the packs into which records after `since` may have moved blocks of these packs.

    Packs are given by number, or by name where their rows are not there yet. Raises DeltaVoidError
    where a repair came between: it may have moved blocks of any pack.
    """
    found: set[bytes] = set()
    for (data,) in db.stream("SELECT head FROM log WHERE number > ? ORDER BY number", (since,)):
        body = _head_decoder.decode(data).body
        if isinstance(body, Mend) and body.blocks:
            raise DeltaVoidError("a repair has found damaged blocks meanwhile")
        if isinstance(body, Condemn) and body.packs:
            left = body.condemned
            if any(n in found or n in names or _number(db, n) in packs for n in left):
                found.update(body.packs)
    return found


def _number(db: Database, name: bytes) -> int | None:
    row = db.row("SELECT number FROM pack WHERE name = ?", (name,))
    return int(row[0]) if row else None
