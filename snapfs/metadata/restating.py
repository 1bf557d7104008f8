"""What a base says: the rows of a stream as base parts of bounded size.

Made of a replica all of whose streams stand at one record, and which has dropped what the base
leaves out. Every row comes behind those that it refers to.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from snapfs.formats.bases import (
    BaseBlock,
    BaseDirectory,
    BaseEntry,
    BaseList,
    BaseNode,
    BasePack,
    BaseSegment,
    BaseSuspect,
    BlockBase,
    EntryBase,
    EntryKey,
)
from snapfs.formats.records import Base
from snapfs.metadata.bases import bounds
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database, Row
from snapfs.metadata.leftout_entries import directories_of, trees_of
from snapfs.model.identity import OPEN

BYTES = 1024 * 1024
"that one part has, about; a row more at most"
_ROW = 24
"bytes that a row takes beside its texts, about"
_FIRST_KEY: EntryKey = (0, b"", 0)
_LAST_KEY: EntryKey = (OPEN, b"", 0)
_REGULAR, _TYPE = 0o100000, 0o170000
PartT = TypeVar("PartT", BlockBase, EntryBase)
_encode = msgspec.msgpack.encode
_extents = msgspec.msgpack.Decoder(tuple[int, ...])
_xattrs = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...])


def restate_blocks(db: Database, until: int) -> Iterator[BlockBase]:
    """The parts of the stream of blocks."""
    return _joined(_block_parts(db, until), BlockBase(0, 0))


def restate_entries(db: Database, source: int, base: Base) -> Iterator[EntryBase]:
    """The parts of a source's entries."""
    return _joined(_parts_of_source(db, source, base), EntryBase(_FIRST_KEY, _FIRST_KEY))


def _block_parts(db: Database, until: int) -> Iterator[BlockBase]:
    for rows in _pages(db.stream("SELECT number, name, size, header FROM pack ORDER BY number")):
        yield BlockBase(0, 0, packs=tuple(BasePack(*row) for row in rows))
    for rows in _pages(db.stream("SELECT * FROM segment ORDER BY number")):
        yield BlockBase(0, 0, segments=tuple(BaseSegment(*row) for row in rows))
    pages = _pages(
        db.stream("SELECT number, key, segment, offset, length FROM block ORDER BY number")
    )
    limit = bounds(db, until).blocks
    begin = 0
    for rows, following in _with_next(pages):
        end = following[0] if following else limit
        blocks = tuple(BaseBlock(*row) for row in rows)
        yield BlockBase(begin, end, blocks=blocks, suspects=_suspects(db, begin, end))
        begin = end


def _parts_of_source(db: Database, source: int, base: Base) -> Iterator[EntryBase]:
    first = _FIRST_KEY
    users, groups = (_owners(db, source, kind) for kind in (0, 1))
    yield EntryBase(first, first, users=users, groups=groups)
    directories = NumberSet(bounds(db, base.until).directories)
    for anchor in trees_of(db, source, base):
        for number in directories_of(db, anchor):
            directories.add(number)
    for rows in _pages(_by_number(db, "SELECT * FROM directory WHERE number = ?", directories)):
        named = (row for row in rows if row[1] != 0)  # anchors come with the heads
        yield EntryBase(first, first, directories=tuple(BaseDirectory(*row) for row in named))
    for rows in _pages(_lists(db, source)):
        yield EntryBase(first, first, lists=tuple(_list(row) for row in rows))
    for rows in _pages(_nodes(db, source, base.until)):
        yield EntryBase(first, first, nodes=tuple(_node(row) for row in rows))
    yield from _entry_parts(db, directories)


def _entry_parts(db: Database, directories: NumberSet) -> Iterator[EntryBase]:
    entries = _by_number(
        db,
        "SELECT directory, name, first, last, node, coalesce(child, 0) FROM entry"
        " WHERE directory = ? ORDER BY name, first",
        directories,
    )
    begin = _FIRST_KEY
    for rows, following in _with_next(_pages(entries)):
        end = (following[0], following[1], following[2]) if following else _LAST_KEY
        yield EntryBase(begin, end, entries=tuple(BaseEntry(*row) for row in rows))
        begin = end


def _suspects(db: Database, begin: int, end: int) -> tuple[BaseSuspect, ...]:
    rows = db.rows("SELECT block, first FROM suspect WHERE block >= ? AND block < ?", (begin, end))
    return tuple(BaseSuspect(*row) for row in rows)


def _owners(db: Database, source: int, kind: int) -> dict[int, bytes]:
    return dict(
        db.rows("SELECT number, name FROM owner WHERE source = ? AND kind = ?", (source, kind))
    )


def _lists(db: Database, source: int) -> Iterator[Row]:
    return db.stream(
        "SELECT number, key, length, items FROM list WHERE source = ? ORDER BY number", (source,)
    )


def _nodes(db: Database, source: int, until: int) -> Iterator[Row]:
    """The nodes that the commits of a source have brought."""
    end = bounds(db, until).nodes
    for first, after in db.rows(
        "SELECT l.nodes, n.nodes FROM log l LEFT JOIN log n ON n.number = l.number + 1"
        " WHERE l.source = ? AND l.number <= ? ORDER BY l.number",
        (source, until),
    ):
        yield from db.stream(
            "SELECT * FROM node WHERE number >= ? AND number < ? ORDER BY number",
            (first, end if after is None else after),
        )


def _by_number(db: Database, sql: str, numbers: NumberSet) -> Iterator[Row]:
    for number in numbers:
        yield from db.stream(sql, (number,))


def _list(row: Row) -> BaseList:
    number, key, length, items = row
    return BaseList(number, key, length, _extents.decode(items))


def _node(row: Row) -> BaseNode:
    number, mode, uid, gid, mtime, mtime_ns, size, nlink, rdev, data, xattrs = row
    is_file = mode & _TYPE == _REGULAR
    target = b"" if is_file else data or b""
    extents = _extents.decode(data) if is_file and data else ()
    held = _xattrs.decode(xattrs) if xattrs else ()
    return BaseNode(
        number, mode, uid, gid, mtime, mtime_ns, size, nlink, rdev, target, extents, held
    )


def _pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows in groups of about a part's size."""
    page: list[Row] = []
    size = 0
    for row in rows:
        page.append(row)
        size += _ROW + sum(len(value) for value in row if isinstance(value, bytes))
        if size >= BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _joined(parts: Iterator[PartT], nothing: PartT) -> Iterator[PartT]:
    """The same with small parts in one: a small source takes one request."""
    held, size = nothing, 0
    for part in parts:
        more = len(_encode(part))
        if size + more > BYTES and held != nothing:
            yield held
            held, size = nothing, 0
        held, size = _sum(held, part), size + more
    yield held


def _sum(one: PartT, other: PartT) -> PartT:
    """Both in one part. Spans follow on each other; one that is empty counts for nothing."""
    spans = ("begin", "end")
    both = {
        name: _plus(getattr(one, name), getattr(other, name))
        for name in one.__struct_fields__
        if name not in spans
    }
    begin = other.begin if one.begin == one.end else one.begin
    return type(one)(begin, other.end, **both)


def _plus(one: Any, other: Any) -> Any:
    return one | other if isinstance(one, dict) else one + other


def _with_next(pages: Iterator[list[Row]]) -> Iterator[tuple[list[Row], Row | None]]:
    """Each page, and the first row of the one behind it: where what it covers ends."""
    before: list[Row] | None = None
    for page in pages:
        if before is not None:
            yield before, page[0]
        before = page
    yield before or [], None
