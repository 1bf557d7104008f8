"""Rows that a writer gone mad could seal: refused before anything is done with them."""

from typing import Any

import msgspec
import pytest

from snapfs.errors import FormatError
from snapfs.formats import bases, packs, parts
from snapfs.model.identity import PackName
from tests.formats import samples


def entries(**changed: object) -> bytes:
    return samples.encode_part(msgspec.structs.replace(samples.ENTRY_PART, **changed))


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0", b"../../x"])
def test_names_that_would_lead_out_of_the_tree_are_refused(name: bytes) -> None:
    for row in [
        parts.DirectoryRow(b"/", False, (name,), ()),
        parts.DirectoryRow(b"/a", False, (), ((b"fine", 0), (name, 0))),
    ]:
        with pytest.raises(FormatError):
            samples.read_entries(entries(directories=(row,)))


@pytest.mark.parametrize(
    "path", [b"a", b"//", b"/a/", b"/a//b", b"/../x", b"/a/..", b"/.", b"/a/./b", b"/a\0"]
)
def test_paths_that_would_lead_out_of_the_tree_are_refused(path: bytes) -> None:
    row = parts.DirectoryRow(path, False, (), ())
    with pytest.raises(FormatError):
        samples.read_entries(entries(directories=(row,)))


@pytest.mark.parametrize("path", [b"/", b"/a", b"/...", b"/.a/..b/c..", b"/\xff\n"])
def test_odd_paths_are_paths(path: bytes) -> None:
    row = parts.DirectoryRow(path, False, (), ())
    assert samples.read_entries(entries(directories=(row,))).directories == (row,)


K = samples.key("k")


@pytest.mark.parametrize(
    "items",
    [
        (-1,),
        (0, 5, 1),
        (0, 0),
        (0, -5),
        (0, K),
        (K[:31],),
        ((2,),),
        ((K[:5],), 9),
        (2**63, 5),
        (0, 2**63),
        (-5, 7, 9, 9),
        ((0,), (1,)),
    ],
)
def test_contents_that_cannot_be_are_refused(items: parts.Items) -> None:
    node = msgspec.structs.replace(samples.ENTRY_PART.nodes[1], items=items)
    with pytest.raises(FormatError):
        samples.read_entries(entries(nodes=(node,)))


def test_a_list_cannot_hold_itself_or_a_later_one() -> None:
    for at in (0, 1, 2**40):
        loop = parts.ListRow(K, 5, ((at,), 5, 0, 1))
        with pytest.raises(FormatError):
            samples.read_entries(entries(lists=(loop,), nodes=()))


ROW = samples.BLOCK_PART.packs[0]


@pytest.mark.parametrize(
    "change",
    [
        {"name": bytes(15)},
        {"size": -1},
        {"size": 4353 + 8},
        {"size": (64 << 20) + 1},
        {"header": bytes(9000), "size": 20_000},
        {"segments": (packs.SegmentRow(200, K, (1, 1)),)},
        {"segments": (packs.SegmentRow(200, b"", ()),)},
        {"segments": (packs.SegmentRow(200, K, (0,)),)},
        {"segments": (packs.SegmentRow(200, K, (-5,)),)},
        {"segments": (packs.SegmentRow(0, K, (1,)),)},
        {"segments": (packs.SegmentRow(200, K, ((4 << 20) + 1,)),)},
        {"segments": (packs.SegmentRow(6 << 20, K, (1,)),), "size": 60 << 20},
    ],
)
def test_packs_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    part = parts.BlockPart((msgspec.structs.replace(ROW, **change),), ())
    with pytest.raises(FormatError):
        samples.read_blocks(samples.encode_part(part))


def test_a_move_names_a_place_for_each_block() -> None:
    part = parts.BlockPart((), (parts.MoveRow(PackName(bytes(16)), 0, (1, 2), (3,)),))
    with pytest.raises(FormatError):
        samples.read_blocks(samples.encode_part(part))


@pytest.mark.parametrize(
    "change",
    [
        {"begin": 3},
        {"end": 8},
        {"blocks": samples.BLOCK_BASE.blocks[::-1]},
        {"blocks": samples.BLOCK_BASE.blocks[:1] * 2},
    ],
)
def test_blocks_of_a_base_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        samples.read_block_base(
            samples.encode_base(msgspec.structs.replace(samples.BLOCK_BASE, **change))
        )


_ENTRY, _NODE, _LIST = (
    samples.ENTRY_BASE.entries[0], samples.ENTRY_BASE.nodes[1], samples.ENTRY_BASE.lists[0],
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"entries": (msgspec.structs.replace(_ENTRY, name=name),)}
            for name in (b"", b".", b"..", b"a/b", b"a\0", b"../../x", b"//")
        ),
        {"directories": (bases.BaseDirectory(3, 2, b".."),)},
        {"directories": (bases.BaseDirectory(2, 2, b"x"),)},
        {"begin": (1, b"/", 4)},
        {"end": (2, b"a", 5)},
        {"entries": samples.ENTRY_BASE.entries[::-1]},
        {"entries": (_ENTRY, _ENTRY)},
        {"entries": (msgspec.structs.replace(_ENTRY, last=3),)},
        *(
            {"nodes": (msgspec.structs.replace(_NODE, extents=extents),)}
            for extents in ((8,), (8, 899), (8, 901), (8, -1, 8, 901), (8, 900, 8))
        ),
        {"lists": (msgspec.structs.replace(_LIST, extents=(-7, 300)),)},
    ],
)
def test_entries_of_a_base_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        samples.read_entry_base(
            samples.encode_base(msgspec.structs.replace(samples.ENTRY_BASE, **change))
        )
