"""What a prune can give back once certain snapshots are forgotten: what only they need."""

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil

from snapfs.metadata import need
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database
from snapfs.model.identity import Commit


@dataclass(frozen=True, slots=True)
class Freed:
    """What goes."""

    blocks: int
    plain: int
    "bytes of these blocks"
    stored: int
    "their share of the segments that they lie in: about what the store shrinks by"


def freed(db: Database, dropped: Collection[Commit]) -> Freed:
    """What nothing but these snapshots needs, of those that nobody has forgotten yet.

    The state at a source's head stays, unless the source has no other snapshot left. Reads whole
    tables, which must be current for all sources: to be run in a thread.
    """
    before = _needed(db, ())
    after = _needed(db, dropped)
    blocks = plain = 0
    stored = 0.0
    for number, length, share in db.stream(
        "SELECT b.number, b.length, 1.0 * b.length * s.stored / s.plain"
        " FROM block b CROSS JOIN segment s ON s.number = b.segment WHERE s.plain > 0"
    ):
        if number in before and number not in after:
            blocks += 1
            plain += length
            stored += share
    return Freed(blocks, plain, ceil(stored))


def _needed(db: Database, dropped: Collection[Commit]) -> NumberSet:
    needed = need.needed_blocks(db, need.wanted_commits(db, without=frozenset(dropped)))
    need.add_progress(db, needed)
    return needed
