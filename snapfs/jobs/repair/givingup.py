"""Repair: parts that nobody has any more are given up.

Names in a lost part cannot be made again, nor can what came after them in the same source be read:
its snapshots from there on are given up, and it begins anew, so that its next ingest captures the
whole tree. Blocks stay, so that it stores nothing again. So it is where blocks of a commit are lost
with the part that lists them. A lost part that says where blocks were moved to is replaced by one
that says nothing: what cannot be found then is found by its key.
"""

from snapfs.formats.parts import BlockPart
from snapfs.formats.records import GivenUp, GiveUp, New, Replacement
from snapfs.jobs.check.examination import Examination
from snapfs.jobs.check.rebuild import first_packs, listed_packs
from snapfs.jobs.repair.mending import publish_mend
from snapfs.metadata.replica import Piece
from snapfs.model.identity import Attempt
from snapfs.repository.repository import Repository


async def give_up_blocks(
    repository: Repository, examination: Examination, piece: Piece, host: str
) -> bool:
    """Go on without the block part that keeps the blocks from being read, and cannot be made again.

    The tree of which it lists new blocks is given up first; whether so. After that another part
    takes its place, which lists the packs before the first that is lost.

    Raises as `give_up_trees`, and DeltaVoidError.
    """
    body = examination.replica.head(piece.record).body
    names, _, _ = listed_packs(body, piece.index)
    tree = examination.tree_of(piece.record) if names else ()
    if tree:
        await give_up_trees(repository, tree, host)
        return True
    rows = await first_packs(repository.store, repository.keys, names)
    ref = await repository.parts.upload(BlockPart(tuple(rows), ()), piece.ref.first)
    replacement = Replacement(piece.record, piece.index, ref)
    await publish_mend(repository, host, New(), (), (), (replacement,))
    return False


async def give_up_trees(repository: Repository, trees: tuple[GivenUp, ...], host: str) -> None:
    """Give up what lost parts with names have made unreadable.

    Raises StoreError, and ViewDamagedError where this machine's view has it: that must be built
    again then, and the record is published.
    """
    body = GiveUp(trees=trees)
    await repository.publish(Attempt(repository.world.random(16)), lambda: body, host)
