"""Apply: block parts. New packs, segments and blocks get rows, moved blocks their new place."""

from collections.abc import Sequence

from snapfs.errors import FormatError
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart, MoveRow, PartRef, SuspectRow
from snapfs.formats.records import New
from snapfs.metadata.database import Database, Row
from snapfs.model.identity import OPEN, Commit

Firsts = tuple[int, int, int]
"numbers of a record's first block, segment and pack"


_SAME_PAIR = "o.number = ?1 AND n.number = ?2 AND n.key = o.key"
_MOVE = (
    "UPDATE block AS o SET segment = n.segment, offset = n.offset FROM block AS n"
    f" WHERE {_SAME_PAIR}"
)
_SAME = f"SELECT 1 FROM block o, block n WHERE {_SAME_PAIR}"


def tag_of(key: bytes) -> int:
    """The first 8 bytes of a key as SQLite's signed integer."""
    return int.from_bytes(key[:8], "big", signed=True)


def apply_blocks(
    db: Database, part: BlockPart, ref: PartRef, firsts: Firsts, new: New, commit: Commit
) -> None:
    """Apply one block part within a transaction that moves the stream on. Twice changes nothing.

    Raises FormatError where the part has more rows than its record took numbers for.
    """
    block, segment, pack = (
        first + position for first, position in zip(firsts, ref.first, strict=True)
    )
    packs, segments, blocks = [], [], []
    for row in part.packs:
        packs.append((pack, row.name, row.size, row.header))
        segments.extend(_segments(row, pack, segment, block))
        for number, listed in enumerate(row.segments, start=segment):
            blocks.extend(_blocks(listed.block_keys(), listed.lengths, number, block))
            block += len(listed.lengths)
        segment += len(row.segments)
        pack += 1
    _check(block - firsts[0] <= new.blocks, segment - firsts[1] <= new.segments)
    _check(pack - firsts[2] <= new.packs)
    db.execute_many("INSERT OR REPLACE INTO pack VALUES (?, ?, ?, ?)", packs)
    db.execute_many("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?)", segments)
    db.execute_many("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?, ?)", blocks)
    # Whoever wrote the part may not have seen a base before this record: what it names is then
    # passed over where that has left it out. So is what came with a record that was lost.
    lax = bool(part.suspects or part.moves) and (_any_base(db, commit) or _any_lost(db, commit))
    for suspect in part.suspects:
        _apply_suspect(db, suspect, commit, lax=lax)
    # Asked once: after repacks alone nothing is damaged, and moves are many.
    damaged = bool(part.moves) and _any_suspect(db)
    for move in part.moves:
        _apply_move(db, move, firsts[0], new, lax=lax)
        if damaged:
            _end_suspicion(db, move, commit)


def _segments(row: PackRow, pack: int, segment: int, block: int) -> list[Row]:
    rows: list[Row] = []
    offset = len(row.header)
    for place, listed in enumerate(row.segments):
        count = len(listed.lengths)
        rows.append(
            (segment + place, pack, place, offset, listed.stored, listed.plain, block, count)
        )
        offset += listed.stored
        block += count
    return rows


def _blocks(keys: Sequence[bytes], lengths: tuple[int, ...], segment: int, first: int) -> list[Row]:
    rows: list[Row] = []
    offset = 0
    for number, (key, length) in enumerate(zip(keys, lengths, strict=True), start=first):
        rows.append((number, tag_of(key), key, segment, offset, length))
        offset += length
    return rows


def _apply_suspect(db: Database, suspect: SuspectRow, commit: Commit, *, lax: bool) -> None:
    origin, count = _origin(db, suspect.pack, suspect.segment, lax=lax)
    for place in suspect.blocks if count else ():
        _check(place < count)
        db.execute(
            "INSERT INTO suspect SELECT ?1, ?2, ?3 WHERE NOT EXISTS"
            " (SELECT 1 FROM suspect WHERE block = ?1 AND last = ?3)"
            " AND EXISTS (SELECT 1 FROM block WHERE number = ?1)",
            (origin + place, commit, OPEN),
        )


def _any_suspect(db: Database) -> bool:
    return db.row(f"SELECT 1 FROM suspect WHERE last = {OPEN} LIMIT 1") is not None


def _any_base(db: Database, commit: Commit) -> bool:
    return db.row("SELECT 1 FROM base WHERE record < ? LIMIT 1", (commit,)) is not None


def _any_lost(db: Database, commit: Commit) -> bool:
    return db.row("SELECT 1 FROM lost WHERE record < ? LIMIT 1", (commit,)) is not None


def _apply_move(db: Database, move: MoveRow, first_block: int, new: New, *, lax: bool) -> None:
    """Point blocks at where this record's packs hold them now."""
    origin, count = _origin(db, move.pack, move.segment, lax=lax)
    _check(len(move.blocks) == len(move.positions))
    if not count:
        return
    _check(max(move.blocks, default=0) < count, max(move.positions, default=0) < new.blocks)
    # Only a copy of the very same block may take a block's place.
    pairs = [
        (origin + place, first_block + position)
        for place, position in zip(move.blocks, move.positions, strict=True)
    ]
    if db.changed(_MOVE, pairs) < len(pairs):
        _check(lax, all(db.row(_SAME, pair) or not _is_known(db, pair[0]) for pair in pairs))


def _end_suspicion(db: Database, move: MoveRow, commit: Commit) -> None:
    """What was damaged has a copy that is not."""
    origin, _ = _origin(db, move.pack, move.segment, lax=True)
    db.execute_many(
        "UPDATE suspect SET last = ? WHERE block = ? AND last = ?",
        [(commit, origin + place, OPEN) for place in move.blocks],
    )


def _is_known(db: Database, block: int) -> bool:
    return db.row("SELECT 1 FROM block WHERE number = ?", (block,)) is not None


def _origin(db: Database, pack: bytes, place: int, *, lax: bool) -> tuple[int, int]:
    """The number of the first block that a segment was stored with, and of how many.

    0 of a segment that is not there, where that may be so.
    """
    row = db.row(
        "SELECT s.block, s.blocks FROM segment s JOIN pack p ON p.number = s.pack"
        " WHERE p.name = ? AND s.place = ?",
        (pack, place),
    )
    _check(row is not None or lax)
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _check(*sound: bool) -> None:
    if not all(sound):
        raise FormatError("a block part contradicts the record that names it")
