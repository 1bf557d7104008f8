"""Check: a lost block part, made again from the footers of the packs that it lists.

So a check goes on behind it, and can say that no file is lost with it. A part that moves blocks, or
says that some are damaged, lists no packs and cannot be made again: nothing else says so.
"""

from collections.abc import Sequence

import trio

from snapfs.errors import FormatError, NewerFormatError, ObjectNotFoundError
from snapfs.formats import objects, packs
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart
from snapfs.formats.records import AddsPacks, Body
from snapfs.repository.keys import Keys
from snapfs.stores.base import Store


async def rebuild_block_part(store: Store, keys: Keys, body: Body, index: int) -> BlockPart | None:
    """The block part at this place of a record, or None where it cannot be made again.

    Raises StoreError.
    """
    names, begin, end = listed_packs(body, index)
    if not names:
        return None
    rows = await first_packs(store, keys, names)
    segments = [segment for row in rows for segment in row.segments]
    found = (sum(len(segment.lengths) for segment in segments), len(segments), len(rows))
    if found != tuple(after - before for before, after in zip(begin, end, strict=True)):
        return None
    return BlockPart(tuple(rows), ())


def listed_packs(
    body: Body, index: int
) -> tuple[tuple[bytes, ...], tuple[int, int, int], tuple[int, int, int]]:
    """The packs that the block part at this place of a record lists, and the positions at which it
    begins and ends. None, where it is a part that moves blocks."""
    if not isinstance(body, AddsPacks):
        return (), (0, 0, 0), (0, 0, 0)
    refs, new = body.blocks, body.new
    begin = refs[index].first
    total = (new.blocks, new.segments, new.packs)
    end = refs[index + 1].first if index + 1 < len(refs) else total
    return body.packs[begin[2] : end[2]], begin, end


async def first_packs(store: Store, keys: Keys, names: Sequence[bytes]) -> list[PackRow]:
    """What packs say of themselves, up to the first that is lost or damaged. Raises StoreError."""
    rows: list[PackRow] = []
    for name in names:
        row = await read_pack_row(store, keys, name)
        if row is None:
            break
        rows.append(row)
    return rows


async def read_pack_row(store: Store, keys: Keys, name: bytes) -> PackRow | None:
    """What a pack says of itself, once all of it was read; None if it is lost or damaged.

    Raises StoreError.
    """
    try:
        data = await store.get(objects.pack(name))
        row, _ = await trio.to_thread.run_sync(
            packs.read_whole, data, keys.repository, name, keys.epochs
        )
    except (ObjectNotFoundError, FormatError, NewerFormatError):
        return None
    return row
