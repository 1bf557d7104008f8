"""Check: a lost block part, made again from the footers of the packs that it lists.

So a check goes on behind it, and can say that no file is lost with it. A part that moves blocks, or
says that some are damaged, lists no packs and cannot be made again: nothing else says so.
"""

import trio

from snapfs.errors import FormatError, NewerFormatError, ObjectNotFoundError
from snapfs.formats import objects, packs
from snapfs.formats.packs import PackRow
from snapfs.formats.parts import BlockPart
from snapfs.formats.records import Body, Condemn, Ingest, Mend
from snapfs.repository.keys import Keys
from snapfs.stores.base import Store


async def rebuild_block_part(store: Store, keys: Keys, body: Body, index: int) -> BlockPart | None:
    """The block part at this place of a record, or None where it cannot be made again.

    Raises StoreError.
    """
    if not isinstance(body, Ingest | Condemn | Mend):
        return None
    refs, new = body.blocks, body.new
    begin = refs[index].first
    total = (new.blocks, new.segments, new.packs)
    end = refs[index + 1].first if index + 1 < len(refs) else total
    if begin[2] == end[2]:
        return None
    rows: list[PackRow] = []
    for name in body.packs[begin[2] : end[2]]:
        row = await _read(store, keys, name)
        if row is None:
            return None
        rows.append(row)
    segments = [segment for row in rows for segment in row.segments]
    found = (sum(len(segment.lengths) for segment in segments), len(segments), len(rows))
    if found != tuple(after - before for before, after in zip(begin, end, strict=True)):
        return None
    return BlockPart(tuple(rows), ())


async def _read(store: Store, keys: Keys, name: bytes) -> PackRow | None:
    """What a pack says of itself."""
    try:
        data = await store.get(objects.pack(name))
        row, _ = await trio.to_thread.run_sync(
            packs.read_whole, data, keys.repository, name, keys.epochs
        )
    except (ObjectNotFoundError, FormatError, NewerFormatError):
        return None
    return row
