"""Parts that a base has made superfluous, and what has come since the last base. From heads alone.

They go one base later: what a reader may still be applying who has not seen the newest base, which
is what the base before it, and the records since what that one restates, name.
"""

from collections.abc import Iterator

import msgspec

from snapfs.formats import objects, records
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Base, Head, Mend
from snapfs.metadata.bases import base_body, newest_base
from snapfs.metadata.database import Database

_head_decoder = msgspec.msgpack.Decoder(Head)


def superseded_parts(db: Database) -> Iterator[PartRef]:
    """Parts that nobody begins with or goes on with any more."""
    until = superseded_until(db)
    return iter(()) if until is None else named_until(db, until)


def superseded_until(db: Database) -> int | None:
    """The last record whose parts they are; None where there are none."""
    row = db.row("SELECT until FROM base ORDER BY record DESC LIMIT 1 OFFSET 1")
    return int(row[0]) if row else None


def named_until(db: Database, until: int) -> Iterator[PartRef]:
    """The parts of records up to this one, and those that later ones put in their place."""
    for number, data in db.stream("SELECT number, head FROM log ORDER BY number"):
        body = _head_decoder.decode(data).body
        if number <= until:
            blocks, entries = records.part_refs(body)
            yield from (*blocks, *entries)
            if isinstance(body, Base):
                yield from records.named_parts(body)
        if isinstance(body, Mend):
            yield from (each.part for each in body.parts if each.record <= until)


def parts_in_use(db: Database) -> dict[str, bytes]:
    """The objects of all other parts that records name, and their hashes."""
    (last,) = db.row("SELECT coalesce(max(number), 0) FROM log") or (0,)
    named = {objects.part(ref.name): ref.hash for ref in named_until(db, last)}
    for ref in superseded_parts(db):
        named.pop(objects.part(ref.name), None)
    return named


def parts_since(db: Database) -> tuple[int, int, int]:
    """How many parts records have named since the last base, their bytes, and those of the base."""
    base = newest_base(db)
    own = records.named_parts(base_body(db, base.record)) if base else ()
    count = size = 0
    for (data,) in db.stream("SELECT head FROM log WHERE number > ?", (base.until if base else 0,)):
        blocks, entries = records.part_refs(_head_decoder.decode(data).body)
        count += len(blocks) + len(entries)
        size += sum(ref.size for ref in (*blocks, *entries))
    return count, size, sum(ref.size for ref in own)
