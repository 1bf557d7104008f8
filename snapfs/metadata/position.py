"""How far a view of the log has come: the last record that it knows, and each of its streams.

Only reads. Apart from what moves a view on, which questions need not load.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from snapfs.formats.records import NO_HASH
from snapfs.metadata.database import Database
from snapfs.model.identity import NO_COMMIT, Commit

BLOCKS = 0
"the stream of block parts; a source's number is the stream of its entries"


@dataclass(frozen=True, slots=True)
class Tip:
    """The last record that a view knows."""

    number: Commit
    hash: bytes


def tip(db: Database) -> Tip:
    """The last record known; number 0 where there is none."""
    row = db.row("SELECT number, hash FROM log ORDER BY number DESC LIMIT 1")
    return Tip(Commit(row[0]), row[1]) if row else Tip(NO_COMMIT, NO_HASH)


def fact(db: Database, name: str) -> str | None:
    """A fact about the repository: see the table."""
    row = db.row("SELECT value FROM fact WHERE name = ?", (name,))
    return str(row[0]) if row else None


def streams(db: Database) -> list[int]:
    """All streams: that of the blocks, and those of the entries of each known source."""
    return [BLOCKS, *(row[0] for row in db.rows("SELECT number FROM source"))]


def stand_at_tip(db: Database, these: Iterable[int]) -> bool:
    """Whether these streams have nothing to apply. Looks, and moves none."""
    behind = db.row(
        "SELECT 1 FROM json_each(?) WHERE value NOT IN"
        " (SELECT stream FROM cursor WHERE record > ?) LIMIT 1",
        (msgspec.json.encode([*these]).decode(), tip(db).number),
    )
    return behind is None
