"""Records and parts for a replica alone, without a store."""

import itertools
from pathlib import Path

from blake3 import blake3

from snapfs.formats.packs import PackRow, SegmentRow
from snapfs.formats.parts import BlockPart, DirectoryRow, EntryPart, ListRow, NodeRow, PartRef
from snapfs.formats.records import Body, Condemn, Head, Ingest, Init, New
from snapfs.metadata.heads import Published
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Piece, Replica
from snapfs.model.identity import Commit
from tests.formats.samples import REPOSITORY, RING_NAME

INIT = Init(REPOSITORY, RING_NAME, ("fastcdc", 1, 2, 3))
REFERENCE = PartRef(bytes(16), 0, bytes(32), (0, 0, 0))
_counter = itertools.count()


def name(label: str) -> bytes:
    """16 bytes: an attempt, or a pack's or part's name."""
    return blake3(label.encode()).digest(16)


def key(label: str) -> bytes:
    """32 bytes: a block's key."""
    return blake3(label.encode()).digest()


def open_replica(path: Path) -> Replica:
    """A replica with its first record."""
    replica = Replica.open(path)
    add(replica, INIT)
    return replica


def published(replica: Replica, body: Body, *, attempt: bytes | None = None) -> Published:
    """The next record."""
    tip = replica.tip()
    number = Commit(tip.number + 1)
    head = Head(tip.hash, attempt or name(f"attempt {number}"), "web", 0, "test", body)
    return Published(number, key(f"record {number}"), head)


def add(replica: Replica, body: Body) -> Commit:
    """Apply the head of a record; its number."""
    record = published(replica, body)
    replica.apply_heads([record])
    return record.number


def ingest(
    *,
    source: str = "root",
    head: int = 0,
    new: New = New(),  # noqa: B008  # a frozen value
    blocks: int = 0,
    entries: int = 0,
    packs: tuple[bytes, ...] = (),
    rescued: tuple[bytes, ...] = (),
    complete: bool = True,
    tags: tuple[str, ...] = (),
) -> Ingest:
    """A delta with so many parts of each sort."""
    return Ingest(
        host="web", source=source, source_head=Commit(head), complete=complete, time=7, new=new,
        blocks=(REFERENCE,) * blocks, entries=(REFERENCE,) * entries, packs=packs,
        rescued=rescued, tags=tags,
    )  # fmt: skip


def condemn(*packs: bytes, new: New = New(), blocks: int = 0) -> Condemn:  # noqa: B008
    """These packs are condemned, with so many parts of moves."""
    return Condemn(packs, new, (REFERENCE,) * blocks, ())


def pack(label: str, *segments: tuple[str, ...]) -> PackRow:
    """A pack whose segments have blocks of these labels, 10 bytes each."""
    rows = tuple(
        SegmentRow(100, b"".join(key(block) for block in blocks), (10,) * len(blocks))
        for blocks in segments
    )
    return PackRow(name(label), 1000, b"header", rows)


def apply(replica: Replica, stream: int, *parts: BlockPart | EntryPart) -> None:
    """Apply parts as the next pieces of a stream, until none is pending."""
    todo = list(parts)
    if stream != BLOCKS:
        replica.pending(BLOCKS, 1)  # so that blocks that have no part stand behind their records
    while pieces := replica.pending(stream, 1):
        replica.apply_piece(pieces[0], todo.pop(0))
    assert not todo


def store(replica: Replica, *packs: PackRow, source: str = "root", head: int = 0) -> Commit:
    """A commit of a source that only brings packs."""
    blocks = sum(len(row.lengths) for pack in packs for row in pack.segments)
    segments = sum(len(pack.segments) for pack in packs)
    new = New(packs=len(packs), segments=segments, blocks=blocks)
    number = add(replica, ingest(source=source, head=head, new=new, blocks=1))
    apply(replica, BLOCKS, BlockPart(packs, ()))
    return number


def node(mode: int = 0o100644, size: int = 0, items: tuple = ()) -> NodeRow:
    """A file or directory."""
    return NodeRow(mode, 0, 0, 0, 0, size, 1, 0, b"", items, ())


def entries(*directories: DirectoryRow, nodes: tuple[NodeRow, ...], lists: tuple[ListRow, ...] = ()
            ) -> EntryPart:  # fmt: skip
    """An entry part."""
    return EntryPart(lists, nodes, directories, {}, {})


def dump(replica: Replica) -> dict[str, list[tuple]]:
    """All rows of all tables."""
    tables = replica.db.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {table: replica.db.rows(f"SELECT * FROM {table}") for (table,) in tables}


def again(replica: Replica, piece: Piece, part: BlockPart | EntryPart) -> None:
    """Apply a piece as if its cursor had not been moved by it."""
    replica.db.execute(
        "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", (piece.stream, piece.record, piece.index)
    )
    replica.apply_piece(piece, part)
