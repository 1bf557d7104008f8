"""What a base leaves out of the stream of blocks: copies in packs that were being deleted by then.

The rules only look at what no later record changes, so that a replica drops the same rows whenever
it does, and however often. They look at rows of records up to the one that is restated.
"""

from collections.abc import Callable, Iterator

from snapfs.metadata.bases import Bounds, bounds
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database
from snapfs.metadata.fates import DELETING

_PAGE = 50_000
"rows that are looked at in one query, and deleted in one transaction at most"


def drop_blocks(db: Database, until: int, check: Callable[[], None]) -> None:
    """Delete what a base leaves out, in bounded transactions. Broken off, it is done again.

    Each transaction begins with `check`, which ends it all by raising.
    """
    limit = bounds(db, until)
    doomed = _doomed_packs(db, until)
    places: set[int] = set()
    for dead, held in _pages(db, until, limit, doomed):
        places |= held
        if dead:
            with db.writing():
                check()
                db.execute_many("DELETE FROM block WHERE number = ?", [(each,) for each in dead])
    with db.writing():
        check()
        # Deltas that are still to be applied ask only for suspicions that held after them.
        db.execute("DELETE FROM suspect WHERE last <= ?", (until,))
    for pack in doomed:
        with db.writing():
            check()
            _drop_pack(db, pack, places)


def doomed_blocks(db: Database, until: int) -> NumberSet:
    """Numbers of the blocks that a base as of this record leaves out."""
    limit = bounds(db, until)
    found = NumberSet(limit.blocks)
    for dead, _ in _pages(db, until, limit, _doomed_packs(db, until)):
        for number in dead:
            found.add(number)
    return found


def _doomed_packs(db: Database, until: int) -> NumberSet:
    """Packs that nothing may rely on since a record before. They are never taken back."""
    packs = NumberSet(bounds(db, until).packs)
    for (number,) in db.stream(
        "SELECT p.number FROM fate f JOIN pack p ON p.name = f.name"
        " WHERE f.state >= ? AND f.record <= ? AND p.number < ?",
        (DELETING, until, bounds(db, until).packs),
    ):
        packs.add(number)
    return packs


def _pages(
    db: Database, until: int, limit: Bounds, doomed: NumberSet
) -> Iterator[tuple[list[int], set[int]]]:
    """Blocks that go, page by page, and segments of doomed packs in which others stay.

    A damaged copy stays until it is stored anew, for the record that says so names it.
    """
    if not len(doomed):
        return
    for begin in range(0, limit.blocks, _PAGE):
        dead: list[int] = []
        held: set[int] = set()
        for number, segment, pack, suspect in db.stream(
            "SELECT b.number, s.number, s.pack, EXISTS (SELECT 1 FROM suspect WHERE"
            " block = b.number AND first <= ?1 AND last > ?1)"
            " FROM block b JOIN segment s ON s.number = b.segment"
            " WHERE b.number >= ?2 AND b.number < ?3",
            (until, begin, min(begin + _PAGE, limit.blocks)),
        ):
            if pack not in doomed:
                continue
            if suspect:
                held.add(segment)
            else:
                dead.append(number)
        yield dead, held


def _drop_pack(db: Database, pack: int, places: set[int]) -> None:
    """Delete a pack's segments, but those that name or hold blocks which stay; then the pack."""
    segments = db.rows(
        "SELECT number, EXISTS (SELECT 1 FROM block b"
        " WHERE b.number >= s.block AND b.number < s.block + s.blocks)"
        " FROM segment s WHERE pack = ?",
        (pack,),
    )
    dead = [number for number, names in segments if not names and number not in places]
    db.execute_many("DELETE FROM segment WHERE number = ?", ((number,) for number in dead))
    if len(dead) == len(segments):
        db.execute("DELETE FROM pack WHERE number = ?", (pack,))
