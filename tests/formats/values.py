"""Strategies: any value that each format can hold."""

from typing import TypeVar

from hypothesis import strategies as st

from snapfs.formats import bases, parts, records, ring
from snapfs.formats.packs import PackRow, SegmentRow
from snapfs.model.identity import Commit, RepositoryId

T = TypeVar("T")
MOST = 2**63 - 1
counts = st.integers(0, 5) | st.integers(0, MOST)
small = st.integers(0, 2**32 - 1)
signed = st.integers(-(2**63), MOST)
names = st.binary(min_size=16, max_size=16)
hashes = st.binary(min_size=32, max_size=32)
texts = st.text(max_size=20)


def few(values: st.SearchStrategy[T], least: int = 0) -> st.SearchStrategy[tuple[T, ...]]:
    """A tuple of a few of these."""
    return st.lists(values, min_size=least, max_size=4).map(tuple)


# --- block parts


@st.composite
def segment_rows(draw: st.DrawFn) -> SegmentRow:
    lengths = draw(few(st.integers(1, 1 << 20), 1))
    return SegmentRow(
        draw(st.integers(1, 1 << 20)),
        draw(st.binary(min_size=32 * len(lengths), max_size=32 * len(lengths))),
        lengths,
    )


@st.composite
def pack_rows(draw: st.DrawFn) -> PackRow:
    header, segments = draw(st.binary(max_size=200)), draw(few(segment_rows()))
    least = len(header) + sum(row.stored for row in segments) + 9
    return PackRow(draw(names), draw(st.integers(least, 64 << 20)), header, segments)


@st.composite
def move_rows(draw: st.DrawFn) -> parts.MoveRow:
    moved = draw(st.lists(st.tuples(small, counts), max_size=4))
    blocks, positions = tuple(at for at, _ in moved), tuple(to for _, to in moved)
    return parts.MoveRow(draw(names), draw(small), blocks, positions)


suspect_rows = st.builds(parts.SuspectRow, names, small, few(small))
block_parts = st.builds(parts.BlockPart, few(pack_rows()), few(move_rows()), few(suspect_rows))

# --- entry parts

holes = st.integers(-(2**63), -2)


@st.composite
def items(draw: st.DrawFn, lists: int) -> parts.Items:
    """Items that may refer to lists at positions below `lists`."""
    positions = st.integers(0, lists - 1) if lists else st.nothing()
    item = counts | hashes | st.tuples(positions | hashes)
    if draw(st.booleans()):
        return (draw(item | holes),)
    found: list[parts.Item] = []
    for whole in draw(st.lists(holes | st.tuples(item, st.integers(1, MOST)), max_size=4)):
        found.extend((whole,) if isinstance(whole, int) else whole)
    return tuple(found)


entry_names = st.binary(min_size=1, max_size=12).filter(
    lambda name: name not in (b".", b"..") and not {0, ord("/")} & set(name)
)
paths = few(entry_names).map(lambda parts_of: b"/" + b"/".join(parts_of))
references = counts | st.binary(max_size=20)
directories = st.builds(
    parts.DirectoryRow,
    paths,
    st.booleans(),
    few(entry_names),
    few(st.tuples(entry_names, references)),
) | st.builds(
    parts.DirectoryRow,
    st.just(b""),
    st.booleans(),
    few(st.just(b"/")),
    few(st.tuples(st.just(b"/"), references)),
)
owners = st.dictionaries(small, st.binary(max_size=9), max_size=3)


@st.composite
def entry_parts(draw: st.DrawFn, first: int = 0) -> parts.EntryPart:
    """An entry part whose first list has the position `first`."""
    known = first + draw(st.integers(0, 3))
    lists = tuple(
        parts.ListRow(draw(hashes), draw(counts), draw(items(at))) for at in range(first, known)
    )
    node = st.builds(
        parts.NodeRow,
        *(small, small, small, signed, small, counts, counts, counts),
        st.binary(max_size=20),
        items(known),
        few(st.tuples(st.binary(max_size=9), st.binary(max_size=9))),
    )
    return parts.EntryPart(
        lists, draw(few(node)), draw(few(directories)), draw(owners), draw(owners)
    )


# --- base parts

numbers = st.integers(1, 2**60)
ends = st.integers(1, 2**62)
entry_keys = st.tuples(counts, st.binary(max_size=9), counts)


@st.composite
def block_bases(draw: st.DrawFn) -> bases.BlockBase:
    """A base part of blocks."""
    begin = draw(st.integers(0, 2**60))
    found = sorted(draw(st.sets(st.integers(max(begin, 1), 2**60), max_size=4)))
    end = draw(st.integers(found[-1] + 1 if found else begin, MOST))
    blocks = tuple(
        bases.BaseBlock(at, draw(hashes), draw(numbers), draw(counts), draw(counts)) for at in found
    )
    packs = st.builds(bases.BasePack, numbers, names, counts, st.binary(max_size=200))
    segments = st.builds(
        bases.BaseSegment, numbers, numbers, small, counts, counts, counts, numbers, counts
    )
    suspects = draw(few(st.builds(bases.BaseSuspect, numbers, counts)))
    return bases.BlockBase(begin, end, draw(few(packs)), draw(few(segments)), blocks, suspects)


@st.composite
def extents(draw: st.DrawFn, lists: int = 2**60) -> tuple[tuple[int, ...], int]:
    """Extents that refer to lists below a number, and their length."""
    code = counts | st.just(-1)
    if lists:
        code |= st.integers(0, lists - 1).map(lambda number: -2 - number)
    flat: list[int] = []
    for each in draw(st.lists(code, max_size=4)):
        flat += [each, draw(st.integers(0, 2**60))]
    return tuple(flat), sum(flat[1::2])


@st.composite
def entry_bases(draw: st.DrawFn) -> bases.EntryBase:
    """A base part of entries."""
    lists = []
    for number in draw(few(numbers)):
        items, length = draw(extents(number))
        lists.append(bases.BaseList(number, draw(hashes), length, items))
    nodes = []
    xattrs = few(st.tuples(st.binary(max_size=9), st.binary(max_size=9)))
    for number in draw(few(numbers)):
        items, size = draw(extents())
        nodes.append(
            bases.BaseNode(
                number, draw(small), draw(small), draw(small), draw(signed), draw(small), size,
                draw(counts), draw(counts), draw(st.binary(max_size=20)), items, draw(xattrs),
            )
        )  # fmt: skip
    key = st.tuples(numbers, entry_names, numbers)
    keys = sorted(draw(st.sets(key, max_size=4)))
    entries = tuple(
        bases.BaseEntry(*at, draw(st.integers(at[2] + 1, 2**62)), draw(numbers), draw(counts))
        for at in keys
    )
    directory = st.tuples(numbers, numbers, entry_names).filter(lambda row: row[0] > row[1])
    return bases.EntryBase(
        (0, b"", 0),
        (2**62, b"", 0),
        draw(few(directory.map(lambda row: bases.BaseDirectory(*row)))),
        tuple(lists),
        tuple(nodes),
        entries,
        draw(owners),
        draw(owners),
    )


# --- heads and the ring

refs = st.builds(parts.PartRef, names, counts, hashes, st.tuples(counts, counts, counts))
host_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name[0] not in ".@")
news = st.builds(records.New, *[counts] * 6)
_names = few(names)
_texts = few(texts)
_rings = st.integers(0, 2**32 - 1).map(lambda number: f"keys/ring/{number:08x}")
replacements = st.builds(records.Replacement, counts, small, refs)
_numbers = st.integers(1, MOST).map(Commit)
bodies: st.SearchStrategy[records.Body] = st.one_of(
    st.builds(
        records.Init,
        names.map(RepositoryId),
        _rings,
        st.tuples(texts, counts, counts, counts),
        _texts,
        _texts,
    ),
    st.builds(records.Upgrade, _texts, _texts),
    st.builds(
        records.Ingest,
        host=host_names,
        source=host_names,
        source_head=counts.map(Commit),
        complete=st.booleans(),
        time=signed,
        new=news,
        blocks=few(refs),
        entries=few(refs),
        packs=_names,
        rescued=_names,
        paths=few(st.binary(max_size=20)),
        tags=_texts,
        summary=st.builds(records.Summary, *[counts] * 10),
    ),
    st.builds(records.Tag, _names, _texts, _texts),
    st.builds(records.Forget, _names, texts),
    st.builds(records.Recall, _names, _names),
    st.builds(records.Condemn, _names, news, few(refs), _names, _names),
    st.builds(records.Delete, _names, _names, _names),
    st.builds(records.Gone, _names, _names),
    st.builds(records.Mend, news, few(refs), _names, few(replacements)),
    st.builds(
        records.Base,
        st.integers(1, MOST).map(Commit),
        few(counts),
        few(refs),
        few(st.builds(records.BaseSource, counts, few(refs))),
        news,
        few(
            st.builds(
                records.BaseTree, counts, host_names, host_names, counts, counts, st.booleans()
            )
        ),
    ),
    st.builds(records.Lost, _numbers, news, few(refs), _names)
    | st.builds(
        records.Lost,
        _numbers,
        news,
        few(refs),
        _names,
        host_names,
        host_names,
        st.booleans(),
        signed,
        st.booleans(),
    ),
    st.builds(
        records.GiveUp,
        few(counts),
        few(st.builds(records.GivenUp, host_names, host_names, st.integers(1, MOST).map(Commit))),
    ),
)
heads = st.builds(records.Head, hashes, names, texts, signed, texts, bodies, st.none() | hashes)


@st.composite
def rings(draw: st.DrawFn) -> ring.Ring:
    epochs = draw(st.dictionaries(st.tuples(st.integers(1, 4), st.integers(1, 2**32 - 1)), hashes))
    complete = {(purpose, 1): draw(hashes) for purpose in (1, 2, 3, 4)} | epochs
    rows = tuple(ring.EpochKey(purpose, at, key) for (purpose, at), key in complete.items())
    return ring.Ring(rows, draw(hashes), draw(st.integers(1, MOST)))
