"""Looking at the whole repository from a replay: what is needed, what is left over.

Nothing here trusts the live database; where it differs from the replay, nothing is pruned.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import trio

from snapfs.errors import BusyError, ViewDamagedError
from snapfs.formats import objects, records
from snapfs.jobs.prune.options import PruneOptions
from snapfs.metadata import need
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.compare import differences
from snapfs.metadata.database import Database
from snapfs.metadata.fates import CONDEMNED, DELETING
from snapfs.metadata.replica import Replica
from snapfs.metadata.superseded import superseded_parts
from snapfs.model.identity import Commit
from snapfs.model.pruning import PackState
from snapfs.repository.replay import catch_up_apart
from snapfs.repository.repository import Repository

_TRIES = 20
"looks at a view that other processes of this machine are just bringing up to the log's head"


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object that no record names, or one that bases have replaced."""

    name: bytes
    is_pack: bool
    size: int
    replaced: bool


@dataclass(slots=True)
class Survey:
    """What a replay says."""

    replica: Replica
    seen: Commit
    "the last record that was looked at"
    needed: NumberSet
    fates: dict[bytes, tuple[int, int]]
    "state and record of what is on its way out"
    packs: list[PackState]
    "those in use"
    to_delete: list[tuple[bytes, int]]
    "condemned packs that nothing needs, long enough ago; with their size"
    parts_to_delete: list[bytes]
    to_rescue: list[bytes]
    "condemned packs and parts that turned out to be needed"
    waiting: int
    unfinished: list[bytes]
    "a Delete named them and no Gone: their deletion was interrupted"
    held: int
    "forgotten snapshots that can be brought back"
    held_until_ns: int
    "when that ends for the last of them"


async def check_view(repository: Repository, replica: Replica) -> None:
    """Raise ViewDamagedError where the live database is not what the log gives.

    The live one is looked at as it is at one record, to which the replay is brought: others go on
    committing. BusyError where its streams are never all at one record.
    """
    for _ in range(_TRIES):
        await repository.catch_up_all()
        with Database.open_readonly(repository.state.replica) as live:
            live.execute("BEGIN")
            view = Replica(live)
            tip = view.tip().number
            if replica.tip().number <= tip and view.is_whole():
                await catch_up_apart(repository, replica, tip)
                tables = await trio.to_thread.run_sync(differences, live, replica.db)
                break
    else:
        raise BusyError("others commit all the time: nothing is pruned", hint="try again later")
    if tables:
        raise ViewDamagedError(
            f"the local database differs from the log (in {', '.join(tables)}): nothing is pruned",
            hint="'snapfs repair' builds it again",
        )


def survey(replica: Replica, options: PruneOptions, now_ns: int) -> Survey:
    """Look at everything. Reads whole tables: to be run in a thread."""
    db = replica.db
    # Nothing waits where 0 is said, whatever the clocks of those hosts say.
    since = now_ns - options.forgotten_for_ns if options.forgotten_for_ns else None
    commits = need.wanted_commits(db, forgotten_since_ns=since)
    needed = need.needed_blocks(db, commits)
    need.add_progress(db, needed)
    note_names(replica)
    fates = need.fates(db)
    held, last = need.held(db, since)
    until = last + options.forgotten_for_ns if held else 0
    found = Survey(replica, replica.tip().number, needed, fates, [], [], [], [], 0, [], held, until)
    damaged = need.damaged_packs(db, needed)
    known: set[bytes] = set()
    for use in need.pack_uses(db, needed):
        state, record = fates.get(use.name, (0, 0))
        if state == 0:
            used = use.live / use.total if use.total else 0.0
            found.packs.append(
                PackState(use.number, use.name, use.size, used, use.number in damaged)
            )
        elif state == CONDEMNED:
            known.add(use.name)
            old = _is_old(replica, record, options, now_ns)
            _sort(found, use.name, use.size, needed=use.live > 0, old=old)
    for name, (state, record) in fates.items():
        if state == DELETING:
            found.unfinished.append(name)
        elif state == CONDEMNED and name not in known:
            old = _is_old(replica, record, options, now_ns)
            _sort_part(found, name, named=is_named(replica, name), old=old)
    return found


def _is_old(replica: Replica, record: int, options: PruneOptions, now_ns: int) -> bool:
    """Whether what this record condemned has waited long enough; clocks count for no more."""
    if options.condemned_for_ns == 0:
        return True
    return need.record_time(replica.db, record) <= now_ns - options.condemned_for_ns


def _sort(found: Survey, name: bytes, size: int, *, needed: bool, old: bool) -> None:
    if needed:
        found.to_rescue.append(name)
    elif old:
        found.to_delete.append((name, size))
    else:
        found.waiting += 1


def _sort_part(found: Survey, name: bytes, *, named: bool, old: bool) -> None:
    """A part, or a pack that no record has named."""
    if named:
        found.to_rescue.append(name)
    elif old:
        found.parts_to_delete.append(name)
    else:
        found.waiting += 1


def note_names(replica: Replica) -> None:
    """Note in temporary tables what records name, apart from what bases have replaced."""
    db = replica.db
    db.execute("DROP TABLE IF EXISTS temp.named")
    db.execute("DROP TABLE IF EXISTS temp.replaced")
    db.execute("CREATE TEMP TABLE named (name BLOB PRIMARY KEY) WITHOUT ROWID")
    db.execute("CREATE TEMP TABLE replaced (name BLOB PRIMARY KEY) WITHOUT ROWID")
    replaced = [(ref.name,) for ref in superseded_parts(db)]
    db.execute_many("INSERT OR IGNORE INTO replaced VALUES (?)", replaced)
    db.execute("INSERT INTO named SELECT name FROM pack")
    db.execute_many("INSERT OR IGNORE INTO named VALUES (?)", _part_names(replica))
    db.execute("DELETE FROM named WHERE name IN (SELECT name FROM temp.replaced)")


def _part_names(replica: Replica) -> Iterator[tuple[bytes]]:
    for number in range(1, replica.tip().number + 1):
        named = records.named_parts(replica.head(Commit(number)).body)
        yield from ((ref.name,) for ref in named)


def is_named(replica: Replica, name: bytes) -> bool:
    """Whether any record names this pack or part, and no bases have replaced it."""
    return replica.db.row("SELECT 1 FROM temp.named WHERE name = ?", (name,)) is not None


def _is_replaced(replica: Replica, name: bytes) -> bool:
    return replica.db.row("SELECT 1 FROM temp.replaced WHERE name = ?", (name,)) is not None


async def find_orphans(
    repository: Repository, replica: Replica, options: PruneOptions, now_ns: int
) -> list[Orphan]:
    """Objects that nobody has condemned yet, and that are of no use.

    No record names them, and they are old enough to be left over; or bases have replaced them.
    """
    fates = need.fates(replica.db)
    limit = (now_ns - options.orphaned_for_ns) / 10**9
    found = []
    for prefix, is_pack in ((objects.PACKS, True), (objects.PARTS, False)):
        async for item in repository.store.list(prefix):
            name = objects.pack_name(item.name) if is_pack else objects.part_name(item.name)
            if name is None or name in fates or is_named(replica, name):
                continue
            replaced = _is_replaced(replica, name)
            if replaced or item.modified <= limit:
                found.append(Orphan(name, is_pack, item.size, replaced))
    return found
