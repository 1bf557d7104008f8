"""Apply: the heads. Numbers are given here, in the order of the log; rows follow by their parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from snapfs.errors import (
    DeltaVoidError,
    FormatError,
    LogCutError,
    LogGapError,
    SourceMovedError,
)
from snapfs.formats import records
from snapfs.formats.records import (
    Base,
    Body,
    Condemn,
    Delete,
    Forget,
    GiveUp,
    Gone,
    Head,
    Ingest,
    Init,
    Lost,
    Mend,
    New,
    Recall,
    Tag,
    Upgrade,
)
from snapfs.metadata import standins
from snapfs.metadata.bases import apply_base, check_base, check_recall
from snapfs.metadata.database import Database
from snapfs.metadata.fates import apply_fates, check_fates, rescue
from snapfs.model.identity import NO_COMMIT, Commit
from snapfs.model.inode import MAXIMUM_DIRECTORY, MAXIMUM_SERIAL

_COUNTERS = ("blocks", "segments", "packs", "nodes", "lists", "directories")
_MAXIMUM = 2**60
"above all numbers of any kind: those of nodes, which are inode numbers, have 60 bits"
_FIRST_NUMBERS = {"nodes": 2}  # 1 is the inode of the mount's root
_json = msgspec.json
_head_decoder = msgspec.msgpack.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Published:
    """A record as it stands in the log."""

    number: Commit
    hash: bytes
    "what the next record repeats: see `records.chain_hash`"
    head: Head


def apply_heads(db: Database, records_in_order: Sequence[Published]) -> None:
    """Apply records that follow on the last one known, in one transaction.

    Records that another process has applied meanwhile are passed over.

    Raises LogCutError where one does not follow its predecessor, FormatError for a record that
    contradicts what was before it, ViewDamagedError where one gives up what this replica has;
    nothing is changed then.
    """
    with db.writing():
        for published in records_in_order:
            _apply_head(db, published)


def check_body(db: Database, body: Body) -> None:
    """Raise DeltaVoidError where a body cannot follow on the records that are known.

    That is a delta which names what is not, or no longer, its source's head (SourceMovedError),
    what relies on a pack that is being deleted, a deletion of what is not condemned any more, and
    a base or a recall that does not go together with what came before it. The same rule decides
    before a record is published and when it is applied.

    Raises LogGapError where a repair has begun to give up lost records, and has not ended: until
    then nothing is published.
    """
    if standins.any_open(db):
        raise LogGapError(
            "a repair that gives up lost records of the log was broken off",
            hint="run 'snapfs repair --give-up' again; until then nothing can be written",
        )
    _check_body(db, body)


def _check_body(db: Database, body: Body) -> None:
    match body:
        case Ingest():
            _check_source_head(db, body)
        case Base():
            check_base(db, body)
        case Recall():
            check_recall(db, body)
    check_fates(db, body)


def _check_source_head(db: Database, body: Ingest) -> None:
    head = _head_of(db, body.host, body.source)
    if head != body.source_head:
        raise SourceMovedError(
            f"{body.host}/{body.source}: another ingest committed first (head {head}, "
            f"the delta names {body.source_head})"
        )


def _head_of(db: Database, host: str, name: str) -> Commit:
    row = db.row("SELECT head FROM source WHERE host = ? AND name = ?", (host, name))
    return Commit(row[0]) if row else NO_COMMIT


def _apply_head(db: Database, published: Published) -> None:
    last = db.row("SELECT number, hash FROM log ORDER BY number DESC LIMIT 1")
    number, previous = last or (0, records.NO_HASH)
    if published.number <= number:
        return
    if published.number != number + 1 or published.head.previous != previous:
        raise LogCutError(
            f"log record {published.number} does not follow record {number} as it is known here",
            hint="the log was cut or replaced; run 'snapfs check' before writing to it",
        )
    if isinstance(published.head.body, Init) != (published.number == records.FIRST):
        raise FormatError(f"log record {published.number}: a log has one beginning, at its first")
    if not standins.any_open(db):
        try:
            _check_body(db, published.head.body)
        except DeltaVoidError as error:
            raise FormatError(f"log record {published.number} is void: {error}") from error
    source = _apply_body(db, published)
    _log(db, published, source)


def _log(db: Database, published: Published, source: int | None) -> None:
    firsts = [
        _take(db, counter, count)
        for counter, count in zip(
            _COUNTERS, _counts(records.new_ids(published.head.body)), strict=True
        )
    ]
    if published.number > MAXIMUM_SERIAL or firsts[-1] > MAXIMUM_DIRECTORY:
        raise FormatError("the repository has used up the numbers of its format")
    db.execute(
        "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            published.number,
            published.hash,
            published.head.attempt,
            msgspec.msgpack.encode(published.head),
            source,
            *firsts,
        ),
    )


def _counts(new: New) -> tuple[int, ...]:
    counts = (new.blocks, new.segments, new.packs, new.nodes, new.lists, new.directories)
    if min(counts) < 0:
        raise FormatError("a record takes a negative count of numbers")
    return counts


def _take(db: Database, counter: str, count: int) -> int:
    """The next number of a counter, which `count` numbers are then taken from."""
    row = db.row("SELECT next FROM counter WHERE name = ?", (counter,))
    first = int(row[0]) if row else _FIRST_NUMBERS.get(counter, 1)
    if first + count > _MAXIMUM:
        raise FormatError(f"the repository has used up its numbers of {counter}")
    if count or not row:
        db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (counter, first + count))
    return first


def _apply_body(db: Database, published: Published) -> int | None:
    """Apply what a body says beyond its parts; the number of the source that it moved, if any."""
    body = published.head.body
    match body:
        case Init() | Upgrade():
            _apply_level(db, body)
        case Ingest() | Lost():
            return _apply_ingest(db, published, body)
        case Tag():
            _apply_tag(db, body)
        case Forget():
            _mark_forgotten(db, body.snapshots, published.number)
            _begin_anew(db, published.number)
        case Recall():
            _mark_forgotten(db, body.snapshots, None)
            rescue(db, body.rescued)
        case Condemn() | Delete() | Gone():
            apply_fates(db, body, published.number)
        case Mend():
            _apply_mend(db, body, published.number)
        case Base():
            apply_base(db, published.number, body)
        case GiveUp():
            _apply_give_up(db, body, published.number)
    return None


def _apply_level(db: Database, body: Init | Upgrade) -> None:
    if isinstance(body, Init):
        db.execute("INSERT INTO fact VALUES ('repository', ?)", (body.repository.hex(),))
        db.execute("INSERT INTO fact VALUES ('chunker', ?)", (_json.encode(body.chunker).decode(),))
    _raise_level(db, "read", body.read)
    _raise_level(db, "write", body.write)


def _raise_level(db: Database, which: str, features: tuple[str, ...]) -> None:
    row = db.row("SELECT value FROM fact WHERE name = ?", (which,))
    known = _json.decode(str(row[0]), type=list[str]) if row else []
    level = _json.encode(sorted({*known, *features})).decode()
    db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (which, level))


def _apply_ingest(db: Database, published: Published, body: Ingest | Lost) -> int | None:
    if isinstance(body, Lost):
        standins.stand_in(db, published.number)
        if body.anew:
            _let_begin_anew(db, [_source(db, body.host, body.source)[0]], published.number)
            return None
        return _apply_commit(db, published, body) if body.source else None
    if standins.any_open(db) and body.source_head != _head_of(db, body.host, body.source):
        return None  # it builds on what was lost
    source = _apply_commit(db, published, body)
    db.execute_many(
        "INSERT OR IGNORE INTO tag VALUES (?, ?)", ((published.number, tag) for tag in body.tags)
    )
    rescue(db, body.rescued)
    return source


def _apply_commit(db: Database, published: Published, body: Ingest | Lost) -> int:
    source, anchor = _source(db, body.host, body.source)
    db.execute("UPDATE source SET head = ? WHERE number = ?", (published.number, source))
    db.execute(
        "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, NULL)",
        (published.number, source, anchor, published.head.attempt, body.time, int(body.complete)),
    )
    return source


def _source(db: Database, host: str, name: str) -> tuple[int, int]:
    """Number and anchor of a source, which is made if this is its first commit."""
    row = db.row("SELECT number, anchor FROM source WHERE host = ? AND name = ?", (host, name))
    if row:
        return int(row[0]), int(row[1])
    number = _take(db, "sources", 1)
    anchor = _anchor(db)
    db.execute("INSERT INTO source VALUES (?, ?, ?, 0, ?)", (number, host, name, anchor))
    return number, anchor


def _anchor(db: Database) -> int:
    anchor = _take(db, "directories", 1)
    db.execute("INSERT INTO directory VALUES (?, 0, ?)", (anchor, b""))
    return anchor


def _apply_tag(db: Database, body: Tag) -> None:
    for snapshot in body.snapshots:
        db.execute_many(
            "INSERT OR IGNORE INTO tag SELECT number, ? FROM snapshot WHERE id = ?",
            ((tag, snapshot) for tag in body.add),
        )
        db.execute_many(
            "DELETE FROM tag WHERE name = ? AND snapshot ="
            " (SELECT number FROM snapshot WHERE id = ?)",
            ((tag, snapshot) for tag in body.remove),
        )


def _mark_forgotten(db: Database, snapshots: tuple[bytes, ...], record: Commit | None) -> None:
    db.execute_many(
        "UPDATE snapshot SET forgotten = ? WHERE id = ?",
        ((record, snapshot) for snapshot in snapshots),
    )


def _begin_anew(db: Database, record: Commit) -> None:
    """Give each source that has lost its last snapshot a new, empty tree, and move its head.

    While a source has snapshots, what its head has is needed: its next delta builds on it. Without
    any, nothing of it may hold back a prune, so a delta that is under way must not build on it.
    """
    rows = db.rows(
        "SELECT number FROM source s WHERE EXISTS"
        " (SELECT 1 FROM snapshot WHERE source = s.number AND forgotten = ?)"
        " AND NOT EXISTS (SELECT 1 FROM snapshot"
        " WHERE source = s.number AND complete AND forgotten IS NULL)",
        (record,),
    )
    _let_begin_anew(db, [number for (number,) in rows], record)


def _let_begin_anew(db: Database, sources: Iterable[int], record: Commit) -> None:
    for source in sources:
        db.execute(
            "UPDATE source SET head = ?, anchor = ? WHERE number = ?", (record, _anchor(db), source)
        )


def _apply_mend(db: Database, body: Mend, record: Commit) -> None:
    for mended in body.parts:
        if standins.is_lost(db, Commit(mended.record)):
            continue
        row = db.row("SELECT head FROM log WHERE number = ?", (mended.record,))
        refs = records.part_refs(_head_decoder.decode(row[0]).body)[0] if row else ()
        if mended.index >= len(refs) or refs[mended.index].first != mended.part.first:
            raise FormatError(f"log record {record} replaces a part that does not exist")
        db.execute(
            "INSERT OR REPLACE INTO mended VALUES (?, ?, ?)",
            (mended.record, mended.index, msgspec.msgpack.encode(mended.part)),
        )


def _apply_give_up(db: Database, body: GiveUp, record: Commit) -> None:
    for number in body.lost:
        standins.close(db, Commit(number), record)
    _let_begin_anew(db, standins.unsafe_heads(db, max(body.lost, default=0)), record)
    for tree in body.trees:
        source, _ = _source(db, tree.host, tree.source)
        if standins.give_up(db, source, tree.begin):
            _let_begin_anew(db, [source], record)
