"""Bases in the log: which one counts, what it restates, and when one is void."""

from dataclasses import dataclass

import msgspec

from snapfs.errors import DeltaVoidError
from snapfs.formats.parts import PartRef
from snapfs.formats.records import (
    Base,
    BaseTree,
    Forget,
    GiveUp,
    Gone,
    Head,
    Ingest,
    Lost,
    New,
    Recall,
    Tag,
)
from snapfs.metadata.database import Database
from snapfs.model.identity import NO_COMMIT, Commit

_HARMLESS = Ingest | Tag | Forget | Gone
"what may come between a base and the record that it restates: none changes what is left out"
_COLUMNS = "blocks, segments, packs, nodes, lists, directories"
_head_decoder = msgspec.msgpack.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Standpoint:
    """A base as a point in the log."""

    record: Commit
    until: Commit
    "the record as of which it restates"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers below which all rows are that came with records up to some record."""

    blocks: int
    segments: int
    packs: int
    nodes: int
    lists: int
    directories: int


def newest_base(db: Database) -> Standpoint | None:
    """The last base that the heads know of."""
    row = db.row("SELECT record, until FROM base ORDER BY record DESC LIMIT 1")
    return Standpoint(*row) if row else None


def base_body(db: Database, record: Commit) -> Base:
    """What a base says."""
    row = db.row("SELECT head FROM log WHERE number = ?", (record,))
    body = _head_decoder.decode(row[0]).body if row else None
    assert isinstance(body, Base)
    return body


def refs_of(body: Base, stream: int) -> tuple[PartRef, ...]:
    """The parts that restate a stream: 0 for the blocks, else the number of a source."""
    if stream == 0:
        return body.blocks
    return next((each.parts for each in body.sources if each.source == stream), ())


def bounds(db: Database, until: int) -> Bounds:
    """The numbers that were not given yet at the end of this record."""
    row = db.row(f"SELECT {_COLUMNS} FROM log WHERE number = ?", (until + 1,))
    if row is None:
        given: dict[str, int] = dict(db.rows("SELECT name, next FROM counter"))
        row = tuple(given.get(name, 1) for name in _COLUMNS.split(", "))
    return Bounds(*row)


def given(db: Database, until: int) -> New:
    """The same, as a base states it."""
    limit = bounds(db, until)
    return New(*(getattr(limit, kind) for kind in New.__struct_fields__))


def trees(db: Database) -> tuple[BaseTree, ...]:
    """All sources as they stand at the last record."""
    rows = db.rows(
        "SELECT o.number, o.host, o.name, o.head, o.anchor, coalesce(s.complete, 0) FROM source o"
        " LEFT JOIN snapshot s ON s.number = o.head ORDER BY o.number"
    )
    return tuple(
        BaseTree(number, host, name, head, anchor, bool(complete))
        for number, host, name, head, anchor, complete in rows
    )


def apply_base(db: Database, record: Commit, body: Base) -> None:
    """Apply the head of a base: from now on streams may begin with it."""
    db.execute("INSERT INTO base VALUES (?, ?)", (record, body.until))
    # None, unless the record that forgot them is lost.
    db.execute(
        "UPDATE snapshot SET forgotten = ?1 WHERE complete AND forgotten IS NULL AND number <= ?2"
        " AND number NOT IN (SELECT value FROM json_each(?3))",
        (record, body.until, _json(body)),
    )
    db.execute(
        "INSERT OR IGNORE INTO lapsed SELECT number FROM snapshot WHERE complete AND number <= ?"
        " AND number NOT IN (SELECT value FROM json_each(?))",
        (body.until, _json(body)),
    )


def anything_given_up(db: Database, since: int) -> bool:
    """Whether a record behind this one gives something up: a base as of it may still have that."""
    return any(
        isinstance(_head_decoder.decode(head).body, GiveUp | Lost)
        for (head,) in db.stream("SELECT head FROM log WHERE number > ?", (since,))
    )


def check_base(db: Database, body: Base) -> None:
    """Raise DeltaVoidError where a base does not restate what the log says.

    It must have every snapshot that is wanted by now, and every source; nothing that moves blocks,
    gives them up or brings snapshots back may have come since the record that it restates.
    """
    tip = db.row("SELECT coalesce(max(number), 0) FROM log") or (NO_COMMIT,)
    if body.until > tip[0]:
        raise DeltaVoidError(f"a base restates record {body.until}, which is not there")
    for number, head in db.stream(
        "SELECT number, head FROM log WHERE number > ? ORDER BY number", (body.until,)
    ):
        if not isinstance(_head_decoder.decode(head).body, _HARMLESS):
            raise DeltaVoidError(f"record {number} came in the way of a base")
    missing = db.row(
        "SELECT number FROM snapshot WHERE complete AND forgotten IS NULL AND number <= ?"
        " AND number NOT IN (SELECT value FROM json_each(?)) LIMIT 1",
        (body.until, _json(body)),
    )
    if missing:
        raise DeltaVoidError(f"a base leaves out snapshot {missing[0]}, which is wanted")
    known = {each.source for each in body.sources}
    wanted = db.rows("SELECT DISTINCT source FROM snapshot WHERE number <= ?", (body.until,))
    if len(known) != len(body.sources) or known != {number for (number,) in wanted}:
        raise DeltaVoidError("a base leaves out a source")


def check_recall(db: Database, body: Recall) -> None:
    """Raise DeltaVoidError where a snapshot is to come back that a base has left out."""
    for attempt in body.snapshots:
        if db.row(
            "SELECT 1 FROM lapsed JOIN snapshot ON number = snapshot WHERE id = ?", (attempt,)
        ):
            raise DeltaVoidError(f"snapshot {attempt.hex()} was compacted away")


def _json(body: Base) -> str:
    return msgspec.json.encode(body.wanted).decode()
