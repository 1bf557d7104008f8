"""Repair: lost block parts, written again from the packs that they list."""

from snapfs.formats.records import Mend, New, Replacement
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.check.rebuild import rebuild_block_part
from snapfs.jobs.repair.mending import publish
from snapfs.metadata.replica import Piece
from snapfs.repository.repository import Repository

_AT_ONCE = 1000
"parts that one record replaces"


async def mend_parts(repository: Repository, examination: Examination, host: str) -> int:
    """Write the block parts that can be made again; how many.

    Raises StoreError, DeltaVoidError; what was published until then holds.
    """
    pieces = examination.rebuilt
    mended = 0
    for at in range(0, len(pieces), _AT_ONCE):
        written = [
            await _write(repository, examination, piece) for piece in pieces[at : at + _AT_ONCE]
        ]
        replacements = tuple(each for each in written if each is not None)
        if replacements:
            await publish(repository, Mend(New(), (), (), replacements), host)
            mended += len(replacements)
    return mended


async def _write(
    repository: Repository, examination: Examination, piece: Piece
) -> Replacement | None:
    body = examination.replica.head(piece.record).body
    part = await rebuild_block_part(repository.store, repository.keys, body, piece.index)
    if part is None:
        return None  # its packs could be read a moment ago
    ref = await repository.parts.upload(part, piece.ref.first)
    return Replacement(piece.record, piece.index, ref)
