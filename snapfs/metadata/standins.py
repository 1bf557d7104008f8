"""Apply: what was lost for good. Stand-ins for records, and commits that were given up."""

from collections.abc import Iterator

import msgspec

from snapfs.errors import ViewDamagedError
from snapfs.formats.parts import PartRef
from snapfs.formats.records import Head, Ingest, Lost
from snapfs.metadata.database import Database
from snapfs.model.identity import Commit

_head_decoder = msgspec.msgpack.Decoder(Head)


def stand_in(db: Database, record: Commit) -> None:
    """Note a record that others stand in for."""
    db.execute("INSERT INTO lost VALUES (?, NULL)", (record,))


def any_open(db: Database) -> bool:
    """Whether a stand-in came whose record was not given up yet: what follows may not fit."""
    return first_open(db) is not None


def first_open(db: Database) -> Commit | None:
    """The first such record."""
    row = db.row("SELECT min(record) FROM lost WHERE closed IS NULL") or (None,)
    return None if row[0] is None else Commit(row[0])


def is_lost(db: Database, record: Commit) -> bool:
    """Whether another record stands in for this one."""
    return db.row("SELECT 1 FROM lost WHERE record = ?", (record,)) is not None


def is_needed(db: Database, base: Commit) -> bool:
    """Whether a record is lost that this base restates, and the one before does not."""
    row = db.row(
        "SELECT 1 FROM base b JOIN lost l ON l.record <= b.until WHERE b.record = ?1 AND l.record >"
        " coalesce((SELECT max(until) FROM base WHERE record < ?1), 0) LIMIT 1",
        (base,),
    )
    return row is not None


def close(db: Database, record: Commit, closing: Commit) -> None:
    """Note that a lost record is given up, if this is what announced the one that stands in for it.

    Raises ViewDamagedError where this replica has the record, or a stand-in of before.
    """
    row = db.row("SELECT head FROM log WHERE number = ?", (record,))
    body = _head_decoder.decode(row[0]).body if row else None
    announced = body.announced if isinstance(body, Lost) else 0
    if announced < closing:
        raise _has_it(db, f"record {record} of the log")
    if announced == closing:
        db.execute("UPDATE lost SET closed = ? WHERE record = ?", (closing, record))


def unsafe_heads(db: Database, lost: int) -> list[int]:
    """Sources on whose heads no delta may build, if this record is lost.

    It may have moved the head, and then no prune has kept what only the commit before it needs,
    unless that is a snapshot that is wanted.
    """
    rows = db.rows(
        "SELECT o.number FROM source o JOIN snapshot s ON s.number = o.head"
        " WHERE (NOT s.complete OR s.forgotten IS NOT NULL)"
        " AND o.head < ? ORDER BY o.number",
        (lost,),
    )
    return [number for (number,) in rows]


def give_up(db: Database, source: int, begin: Commit) -> bool:
    """Have the commits of a tree from one on be none; whether the source's head was among them.

    It is the tree of the first of these commits: a source that has begun anew since keeps what came
    with that. Their numbers stay taken. Raises ViewDamagedError where the replica has applied some
    of what they brought.
    """
    row = db.row(
        "SELECT number, anchor FROM snapshot WHERE source = ? AND number >= ? ORDER BY number",
        (source, begin),
    )
    if row is None:
        return False
    first, anchor = row
    cursor = db.row("SELECT record, piece FROM cursor WHERE stream = ?", (source,))
    if cursor is not None and cursor > (first, 0):
        raise _has_it(db, f"a part of log record {first}")
    db.execute(
        "UPDATE log SET source = NULL WHERE number IN"
        " (SELECT number FROM snapshot WHERE anchor = ? AND number >= ?)",
        (anchor, first),
    )
    for table in ("tag", "lapsed"):
        db.execute(
            f"DELETE FROM {table} WHERE snapshot IN"
            " (SELECT number FROM snapshot WHERE anchor = ? AND number >= ?)",
            (anchor, first),
        )
    db.execute("DELETE FROM snapshot WHERE anchor = ? AND number >= ?", (anchor, first))
    return db.row("SELECT 1 FROM source WHERE anchor = ?", (anchor,)) is not None


def listed_packs(db: Database) -> set[bytes]:
    """The packs that stand-ins list: no other record may bring them once more."""
    rows = db.rows("SELECT head FROM log WHERE number IN (SELECT record FROM lost)")
    bodies = (_head_decoder.decode(head).body for (head,) in rows)
    return {name for body in bodies if isinstance(body, Lost) for name in body.packs}


def given_up_parts(db: Database) -> Iterator[PartRef]:
    """The parts with names of ingests that were given up or passed over."""
    for _, body in given_up(db):
        yield from body.entries


def given_up(db: Database) -> Iterator[tuple[Commit, Ingest]]:
    """The ingests that were given up, or passed over, in order."""
    for number, head in db.stream(
        "SELECT number, head FROM log WHERE source IS NULL ORDER BY number"
    ):
        body = _head_decoder.decode(head).body
        if isinstance(body, Ingest):
            yield Commit(number), body


def _has_it(db: Database, what: str) -> ViewDamagedError:
    return ViewDamagedError(
        f"{db.path}: has {what}, which was lost, and given up by a repair on another machine",
        hint="'snapfs repair' builds this local database again, as the log is now",
    )
