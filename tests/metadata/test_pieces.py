"""Parts: where their rows go, what they refer to, and that twice is once."""

from pathlib import Path

import pytest

from snapfs.errors import FormatError
from snapfs.formats.parts import BlockPart, DirectoryRow, EntryPart, ListRow, MoveRow
from snapfs.formats.records import Delete, Forget, Gone, New, Tag
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.metadata.tree import Tree
from snapfs.model.content import Listed, Stored
from snapfs.model.identity import BlockKey, Commit
from tests.manifest import NEVER
from tests.metadata.making import (
    add,
    again,
    apply,
    condemn,
    dump,
    entries,
    ingest,
    key,
    name,
    node,
    open_replica,
    pack,
    store,
)


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return open_replica(tmp_path / "replica.db")


def root(*files: tuple[bytes, int], path: bytes = b"/") -> DirectoryRow:
    return DirectoryRow(path, False, (), files)


ANCHOR = DirectoryRow(b"", False, (), ((b"/", 0),))
DIRECTORY = node(0o40755)


def place(replica: Replica, label: str) -> tuple[int, bytes]:
    """Number and pack of the copy of a block that a new commit would rely on."""
    index = BlockIndex(replica.db)
    known = index.find(BlockKey(key(label)))
    assert known is not None
    held = index.place(known.number)
    assert held is not None
    segment = index.segment(held.segment)
    assert segment is not None
    return known.number, segment.pack


def test_blocks_get_numbers_and_places(replica: Replica) -> None:
    store(replica, pack("p", ("a", "b"), ("c",)), pack("q", ("d",)))
    assert replica.db.rows("SELECT number, segment, offset, length FROM block") == [
        (1, 1, 0, 10), (2, 1, 10, 10), (3, 2, 0, 10), (4, 3, 0, 10),
    ]  # fmt: skip
    assert replica.db.rows("SELECT * FROM segment") == [
        (1, 1, 0, 6, 100, 20, 1, 2), (2, 1, 1, 106, 100, 10, 3, 1), (3, 2, 0, 6, 100, 10, 4, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("short", ["packs", "segments", "blocks"])
def test_a_part_with_more_rows_than_its_record_took_is_refused(
    replica: Replica, short: str
) -> None:
    counts = {"packs": 1, "segments": 2, "blocks": 3}
    counts[short] -= 1
    add(replica, ingest(new=New(**counts), blocks=1))
    before = dump(replica)
    with pytest.raises(FormatError, match="contradicts"):
        apply(replica, BLOCKS, BlockPart((pack("p", ("a", "b"), ("c",)),), ()))
    assert dump(replica) == before


def move(replica: Replica, moves: tuple[MoveRow, ...]) -> None:
    new = New(packs=1, segments=1, blocks=2)
    add(replica, condemn(name("p"), new=new, blocks=1))
    apply(replica, BLOCKS, BlockPart((pack("q", ("c", "a")),), moves))


def test_moved_blocks_keep_their_number(replica: Replica) -> None:
    store(replica, pack("p", ("a", "b"), ("c",)))
    move(replica, (MoveRow(name("p"), 0, (0,), (1,)), MoveRow(name("p"), 1, (0,), (0,))))
    assert place(replica, "a") == (1, name("q"))
    assert place(replica, "b") == (2, name("p"))
    assert place(replica, "c") == (3, name("q"))
    add(replica, Delete((name("p"),)))
    assert BlockIndex(replica.db).find(BlockKey(key("b"))) is None
    assert place(replica, "a") == (1, name("q"))


@pytest.mark.parametrize(
    "bad",
    [
        MoveRow(name("p"), 0, (0,), (0,)),  # another block's place
        MoveRow(name("p"), 0, (2,), (1,)),  # no such block in the segment
        MoveRow(name("p"), 7, (0,), (1,)),
        MoveRow(name("unknown"), 0, (0,), (1,)),
        MoveRow(name("p"), 0, (0,), (2,)),  # not of this record
    ],
)
def test_a_move_to_what_is_not_the_same_block_is_refused(replica: Replica, bad: MoveRow) -> None:
    store(replica, pack("p", ("a", "b"), ("c",)))
    add(replica, condemn(new=New(packs=1, segments=1, blocks=2), blocks=1))
    before = dump(replica)
    with pytest.raises(FormatError, match="contradicts"):
        apply(replica, BLOCKS, BlockPart((pack("q", ("c", "a")),), (bad,)))
    assert dump(replica) == before


def test_applying_pieces_twice_changes_nothing(replica: Replica) -> None:
    store(replica, pack("p", ("a",)))
    new = New(packs=1, segments=1, blocks=1, nodes=3, lists=1, directories=2)
    add(replica, ingest(head=2, new=new, blocks=1, entries=1))
    moves = (MoveRow(name("p"), 0, (0,), (0,)),)
    blocks = BlockPart((pack("q", ("a",)),), moves)
    files = (
        DIRECTORY,
        DIRECTORY,
        node(size=20, items=((0,), 10, key("a"), 10)),
    )
    part = entries(
        ANCHOR,
        root((b"d", 1), (b"f", 2)),
        root((b"g", 2), path=b"/d"),
        nodes=files,
        lists=(ListRow(key("list"), 10, (0,)),),
    )
    for stream, held in ((BLOCKS, blocks), (1, part)):
        replica.pending(BLOCKS, 1)  # entries come no further than blocks stand
        (piece,) = replica.pending(stream, 1)
        replica.apply_piece(piece, held)
        before = dump(replica)
        replica.apply_piece(piece, held)
        assert dump(replica) == before
        again(replica, piece, held)
        assert dump(replica) == before


@pytest.mark.parametrize("parts", [1, 2])
def test_a_name_that_was_listed_twice_counts_once(replica: Replica, parts: int) -> None:
    """Of a directory that changed while it was read; of one that is listed twice, all below."""
    nodes = (DIRECTORY, DIRECTORY, node(size=10), node(size=20))
    add(replica, ingest(new=New(nodes=parts * 4, directories=2), entries=parts))
    rows = (
        ANCHOR,
        root((b"d", 1), (b"f", 2)), root((b"x", 2), path=b"/d"),
        root((b"d", 1), (b"f", 3)), root((b"x", 3), path=b"/d"),
    )  # fmt: skip
    if parts == 1:
        apply(replica, 1, entries(*rows, nodes=nodes))
    else:
        apply(replica, 1, entries(*rows[:3], nodes=nodes), entries(*rows[3:], nodes=nodes))
    assert replica.db.rows("SELECT name, size FROM entry WHERE file ORDER BY name") == [
        (b"f", 20), (b"x", 20),
    ]  # fmt: skip
    assert replica.db.rows("SELECT directory, entries, size FROM touched ORDER BY directory") == [
        (1, 1, 0), (2, 2, 20), (3, 1, 20),
    ]  # fmt: skip
    assert replica.db.rows(NEVER["sums of what commits did that its entries don't have"]) == []


def test_a_key_means_the_copy_that_was_usable_when_the_record_was_made(tmp_path: Path) -> None:
    """A block is stored, lost its pack, and is stored again: later deltas mean the second copy."""
    early, late = (open_replica(tmp_path / f"{which}.db") for which in ("early", "late"))
    for replica in (early, late):
        store(replica, pack("p", ("a",)), source="other")
        for head, more in ((0, ()), (3, (condemn(name("p")), Delete((name("p"),))))):
            new = New(nodes=2, directories=1 if head == 0 else 0)
            add(replica, ingest(head=head, new=new, entries=1))
            part = entries(
                ANCHOR,
                root((b"f%d" % head, 1)),
                nodes=(DIRECTORY, node(size=10, items=(key("a"),))),
            )
            if replica is early:
                apply(replica, 2, part)
            for body in more:
                add(replica, body)
        assert BlockIndex(replica.db).find(BlockKey(key("a"))) is None
        store(replica, pack("q", ("a",)), source="other", head=2)
        add(replica, ingest(head=4, new=New(nodes=1), entries=1))
        add(replica, Gone((name("p"),)))
        third = entries(root((b"g", 0)), nodes=(node(size=10, items=(key("a"),)),))
        if replica is early:
            apply(replica, 2, third)
        else:
            parts = [
                entries(
                    ANCHOR,
                    root((b"f%d" % head, 1)),
                    nodes=(DIRECTORY, node(size=10, items=(key("a"),))),
                )
                for head in (0, 3)
            ]
            apply(replica, 2, *parts, third)
    assert dump(early) == dump(late)
    tree = Tree(early.db)
    assert contents_of(tree, 8, b"f0") == contents_of(tree, 8, b"f3") == (Stored(1, 10),)
    assert contents_of(tree, 8, b"g") == (Stored(2, 10),)


def contents_of(tree: Tree, commit: int, file: bytes) -> tuple[object, ...]:
    root = tree.root(Commit(commit))
    assert root is not None
    entry = tree.lookup(root.child or 0, Commit(commit), file)
    assert entry is not None
    return entry.node.content()


LIST = ListRow(key("list"), 20, (0, 10, 1, 10))


def with_list(replica: Replica, source: str, stream: int, head: int = 0, *, load: bool = True
              ) -> EntryPart:  # fmt: skip
    """A commit that brings a list, and the part that it came with."""
    new = New(packs=1, segments=1, blocks=2, nodes=2, lists=1, directories=1)
    number = add(replica, ingest(source=source, head=head, new=new, blocks=1, entries=1))
    apply(replica, BLOCKS, BlockPart((pack(f"{source} {number}", ("a", "b")),), ()))
    part = entries(
        ANCHOR, root((b"f", 1)), nodes=(DIRECTORY, node(size=20, items=((0,),))), lists=(LIST,)
    )
    if load:
        apply(replica, stream, part)
    return part


def test_a_list_is_that_of_the_same_source(tmp_path: Path) -> None:
    """What a host has loaded of other sources must not change what it makes of this one."""
    whole, partial = (open_replica(tmp_path / f"{which}.db") for which in ("whole", "partial"))
    parts = []
    for replica in (whole, partial):
        with_list(replica, "root", 1)
        parts.append(with_list(replica, "home", 2, load=replica is whole))
        add(replica, ingest(head=2, new=New(nodes=1), entries=1))
        apply(replica, 1, entries(root((b"g", 0)), nodes=(node(size=20, items=((key("list"),),)),)))
        assert contents_of(Tree(replica.db), 4, b"g") == (Listed(1, 20),)
    apply(partial, 2, parts[1])
    apply(whole, 2)
    assert dump(whole) == dump(partial)


def test_a_list_of_blocks_that_are_leaving_is_not_referred_to(replica: Replica) -> None:
    tree = Tree(replica.db)
    assert tree.packs_of_list(1, key("list")) is None
    with_list(replica, "root", 1)
    assert tree.packs_of_list(1, key("list")) is not None
    assert tree.packs_of_list(2, key("list")) is None
    add(replica, condemn(name("root 2")))
    assert tree.packs_of_list(1, key("list")) is None
    add(replica, Forget((name("attempt 2"),)))
    with_list(replica, "root", 1, head=4)
    assert tree.packs_of_list(1, key("list")) is not None
    add(replica, ingest(head=5, new=New(nodes=1), entries=1))
    apply(replica, 1, entries(root((b"g", 0)), nodes=(node(size=20, items=((key("list"),),)),)))
    assert contents_of(tree, 6, b"g") == (Listed(2, 20),)


def test_a_stream_does_not_pass_records_that_come_while_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process applies a head between two questions of this one."""
    replica = open_replica(tmp_path / "replica.db")
    other = Replica.open(tmp_path / "replica.db")
    looked = Replica._pieces

    def interrupted(self: Replica, *arguments: object) -> object:
        found = looked(self, *arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        add(other, ingest(new=New(packs=1, segments=1, blocks=1), blocks=1))
        return found

    monkeypatch.setattr(Replica, "_pieces", interrupted)
    assert replica.pending(BLOCKS, 8) == []
    assert [piece.record for piece in replica.pending(BLOCKS, 8)] == [2]


def test_pending_counts_pieces_over_records(replica: Replica) -> None:
    new = New(packs=2, segments=2, blocks=2)
    add(replica, ingest(new=new, blocks=2))
    add(replica, Tag((), (), ()))
    add(replica, ingest(head=2, new=new, blocks=2))
    found = [(piece.record, piece.index) for piece in replica.pending(BLOCKS, 3)]
    assert found == [(2, 0), (2, 1), (4, 0)]
    assert not replica.is_current(BLOCKS)
    assert replica.pending(1, 3) == []
    assert not replica.is_current(1), "it has nothing to apply, and goes no further than the blocks"


def test_entries_of_a_cleared_directory_end(replica: Replica) -> None:
    add(replica, ingest(new=New(nodes=3, directories=1), entries=1))
    apply(
        replica, 1, entries(ANCHOR, root((b"a", 1), (b"b", 2)), nodes=(DIRECTORY, node(), node()))
    )
    add(replica, ingest(head=2, new=New(nodes=1), entries=1))
    apply(replica, 1, entries(DirectoryRow(b"/", True, (), ((b"b", 0),)), nodes=(node(),)))
    tree = Tree(replica.db)
    names = {
        commit: [entry.name for entry in tree.entries(tree.child(1, b"/") or 0, Commit(commit))]
        for commit in (2, 3)
    }
    assert names == {2: [b"a", b"b"], 3: [b"b"]}
