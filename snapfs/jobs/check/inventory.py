"""Check: the objects. What the store lists against what records name."""

from snapfs.errors import ObjectNotFoundError
from snapfs.formats import objects
from snapfs.jobs.check.report import Orphans, ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.model.identity import OPEN
from snapfs.stores.base import Store

_BATCH = 1000
_LAST_RESORT = (
    "; what is nowhere any more is lost: 'snapfs forget' the snapshots that show it, and once"
    " 'snapfs prune' has taken them a check is clean again"
)
PACK_HINT = (
    "bring the object back from a copy of the storage; else 'snapfs repair' saves what is whole"
    " in it, and lets the next ingest store anew what is still at its source" + _LAST_RESORT
)
READ_HINT = PACK_HINT.replace("'snapfs repair'", "'snapfs repair --read-data'")
"for what only those see who read it"
_SUSPECT_HINT = (
    "an ingest stores them anew where their content is still at its source; if the pack was brought"
    " back from a copy, 'snapfs repair' sees that it is whole" + _LAST_RESORT
)
_ABSENT = (
    "SELECT n.name, n.record, p.number FROM check_named n LEFT JOIN pack p ON p.name = n.id"
    " WHERE n.hash IS NULL AND n.id NOT IN (SELECT id FROM check_leaving)"
    " AND n.name NOT IN (SELECT name FROM check_stored) ORDER BY n.name"
)
_OTHER_SIZE = (
    "SELECT n.name, p.number, p.size, s.size FROM check_named n JOIN pack p ON p.name = n.id"
    " JOIN check_stored s ON s.name = n.name"
    " WHERE s.size <> p.size AND n.id NOT IN (SELECT id FROM check_leaving) ORDER BY n.name"
)


async def note_stored(store: Store, scratch: Scratch) -> None:
    """Note all packs and parts that the store has. Raises StoreError."""
    for prefix in (objects.PARTS, objects.PACKS):
        rows: list[tuple[str, int]] = []
        async for item in store.list(prefix):
            rows.append((item.name, item.size))
            if len(rows) == _BATCH:
                _insert(scratch, rows)
                rows = []
        _insert(scratch, rows)


async def check_packs(store: Store, scratch: Scratch, *, listed: bool) -> None:
    """Report packs that are missing or of another size; note what is lost with them.

    Packs whose blocks have all moved elsewhere, as those are that a repair left, are no problem.
    Nor are those that no part lists, where all parts are applied (`listed`): they were given up.

    Raises StoreError.
    """
    db = scratch.db
    for name, record, number in db.rows(_ABSENT):
        if scratch.is_emptied(number) if number is not None else listed:
            continue
        if await _is_there(store, name):
            continue  # a listing may lag behind
        detail = f"is missing (stored by record {record})"
        scratch.report(ProblemKind.PACK, name, detail, PACK_HINT)
        if number is not None:
            scratch.lose_pack(number, size=0)
    for name, number, size, found in db.rows(_OTHER_SIZE):
        if scratch.is_emptied(number):
            continue
        detail = f"has {found} bytes instead of {size}"
        scratch.report(ProblemKind.PACK, name, detail, PACK_HINT)
        scratch.lose_pack(number, size=found)
    db.execute(
        "INSERT OR IGNORE INTO check_lost_pack"
        " SELECT number, 0, 1 FROM pack WHERE name IN (SELECT id FROM check_leaving)"
    )


def note_suspects(scratch: Scratch) -> None:
    """Take for lost what a repair has found damaged, and nobody has stored anew; report its packs.

    So a check that reads no data knows of damage that was found by reading.
    """
    db = scratch.db
    suspects = f"FROM suspect d JOIN block b ON b.number = d.block AND d.last = {OPEN}"
    db.execute(
        "INSERT OR IGNORE INTO check_lost_place SELECT b.segment, b.offset, s.pack"
        f" {suspects} JOIN segment s ON s.number = b.segment"
    )
    for pack, count in db.rows(
        f"SELECT p.name, count(*) {suspects} JOIN segment s ON s.number = b.segment"
        " JOIN pack p ON p.number = s.pack WHERE p.name NOT IN (SELECT id FROM check_leaving)"
        " GROUP BY p.name ORDER BY p.name"
    ):
        detail = f"holds blocks that a repair found damaged: {count}"
        scratch.report(ProblemKind.PACK, objects.pack(pack), detail, _SUSPECT_HINT)


def absent_packs(scratch: Scratch) -> bool:
    """Whether the store lacks packs that records name and none has given up."""
    return scratch.db.row(_ABSENT) is not None


def orphans(scratch: Scratch) -> Orphans:
    """What the store has and no record names."""
    row = scratch.db.row(
        "SELECT count(*), coalesce(sum(size), 0) FROM check_stored"
        " WHERE name NOT IN (SELECT name FROM check_named)"
    )
    assert row is not None
    return Orphans(int(row[0]), int(row[1]))


async def _is_there(store: Store, name: str) -> bool:
    try:
        await store.get(name, length=1)
    except ObjectNotFoundError:
        return False
    return True


def _insert(scratch: Scratch, rows: list[tuple[str, int]]) -> None:
    with scratch.db.writing():
        scratch.db.execute_many("INSERT OR REPLACE INTO check_stored VALUES (?, ?)", rows)
