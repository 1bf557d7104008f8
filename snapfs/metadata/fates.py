"""Apply: what is said of packs and parts on their way out, and what may still rely on them."""

from snapfs.errors import DeltaVoidError, UploadVoidError
from snapfs.formats import records
from snapfs.formats.records import (
    AddsPacks,
    Base,
    Body,
    Condemn,
    Delete,
    Gone,
    Ingest,
    Lost,
    Mend,
    Recall,
)
from snapfs.metadata import standins
from snapfs.metadata.database import Database
from snapfs.model.identity import Commit

CONDEMNED, DELETING, GONE = 1, 2, 3


def check_fates(db: Database, body: Body) -> None:
    """Raise DeltaVoidError where a body relies on what is being deleted, or adds what is on its way
    out, or deletes what is not condemned any more."""
    if isinstance(body, Delete):
        _check_delete(db, body)
    for name in _relied(body):
        if _state(db, name) >= DELETING:
            raise DeltaVoidError(f"{name.hex()}, which is relied on, is being deleted")
    if isinstance(body, AddsPacks) and not standins.listed_packs(db).isdisjoint(body.packs):
        raise UploadVoidError("what was uploaded is in use already: others took it for left over")
    for name in _added(body):
        if _state(db, name):
            raise DeltaVoidError(f"{name.hex()}, which is added, is on its way out")


def _check_delete(db: Database, body: Delete) -> None:
    for name in body.deleting + body.parts:
        if _state(db, name) not in (CONDEMNED, DELETING):
            raise DeltaVoidError(f"{name.hex()}, which was to be deleted, is in use")


def apply_fates(db: Database, body: Condemn | Delete | Gone, record: Commit) -> None:
    """Apply what a body says of packs and parts."""
    match body:
        case Condemn():
            _doom(db, body.condemned + body.parts, CONDEMNED, record)
        case Delete():
            rescue(db, body.rescued)
            _doom(db, body.deleting + body.parts, DELETING, record)
        case Gone():
            _doom(db, body.gone + body.parts, GONE, record)


def _doom(db: Database, names: tuple[bytes, ...], state: int, record: Commit) -> None:
    """Move them on, never back. Since when nothing may rely on one of them stays known."""
    db.execute_many(
        "INSERT INTO fate VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET state = excluded.state,"
        f" record = iif(state >= {DELETING}, record, excluded.record) WHERE excluded.state > state",
        ((name, state, record) for name in names),
    )


def rescue(db: Database, names: tuple[bytes, ...]) -> None:
    """Have them be in use again."""
    db.execute_many("DELETE FROM fate WHERE name = ?", ((name,) for name in names))


def _relied(body: Body) -> tuple[bytes, ...]:
    """The packs and parts that must stay for a body to hold."""
    parts = tuple(ref.name for ref in records.named_parts(body))
    match body:
        case Ingest():
            return body.rescued + body.packs + parts
        case Condemn() | Mend() | Lost():
            return body.packs + parts
        case Base():
            return parts
        case Recall() | Delete():
            return body.rescued
    return ()


def _added(body: Body) -> tuple[bytes, ...]:
    """What a body adds that no body of its kind can rescue; an ingest names it as rescued."""
    parts = tuple(ref.name for ref in records.named_parts(body))
    if isinstance(body, Condemn | Mend):
        return body.packs + parts
    return parts if isinstance(body, Base) else ()


def _state(db: Database, name: bytes) -> int:
    """What is said of a pack or part; 0 for nothing."""
    row = db.row("SELECT state FROM fate WHERE name = ?", (name,))
    return int(row[0]) if row else 0
