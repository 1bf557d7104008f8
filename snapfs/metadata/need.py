"""What is needed: the blocks of every wanted snapshot, of each source's head, and of progress.

Reads each table once and keeps one bit for each number, so that it is bounded for any repository.
The state at a source's head is needed whether or not a snapshot shows it: its next delta builds on
it. So are the blocks that came with progress since its last complete snapshot, of which a file that
is still being read may be the only user.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

import msgspec

from snapfs.formats import records
from snapfs.formats.records import Head, Ingest, Lost
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database
from snapfs.metadata.leftout_entries import is_shown
from snapfs.model.identity import OPEN

_head_decoder = msgspec.msgpack.Decoder(Head)
_content_decoder = msgspec.msgpack.Decoder(list[int])
_HOLE = -1
_REGULAR = 0o100000
_TYPE = 0o170000


@dataclass(frozen=True, slots=True)
class PackUse:
    """How much of a pack is needed."""

    number: int
    name: bytes
    size: int
    "stored bytes"
    total: int
    "stored bytes of its segments"
    live: float
    "of these, the share of the blocks that are needed; more than 0 where there is any"


def needed_blocks(db: Database, commits: dict[int, list[int]]) -> NumberSet:
    """Numbers of the blocks that are needed, where `commits` are wanted: see `wanted_commits`."""
    nodes = _needed_nodes(db, commits)
    return _blocks_of(db, nodes)


def wanted_commits(
    db: Database, *, forgotten_since_ns: int | None = None, without: Set[int] = frozenset()
) -> dict[int, list[int]]:
    """For each anchor the commits whose state is needed, in order.

    Those of snapshots that are not forgotten, or were after `forgotten_since_ns` (by the clock of
    the host that forgot them), and each source's head. As if those `without` had been forgotten
    as well: a source that has had no others begins anew.
    """
    wanted: dict[int, list[int]] = defaultdict(list)
    dropped: set[int] = set()
    for number, anchor, forgotten in db.stream(
        "SELECT number, anchor, forgotten FROM snapshot WHERE complete"
        " AND number NOT IN (SELECT snapshot FROM lapsed) ORDER BY number"
    ):
        if number in without:
            dropped.add(anchor)
        elif forgotten is None or _is_after(db, forgotten, forgotten_since_ns):
            wanted[anchor].append(number)
    for head, anchor in db.rows("SELECT head, anchor FROM source"):
        if wanted[anchor] or anchor not in dropped:
            wanted[anchor].append(head)
    return {anchor: sorted(set(commits)) for anchor, commits in wanted.items()}


def held(db: Database, forgotten_since_ns: int | None) -> tuple[int, int]:
    """How many forgotten snapshots are wanted all the same, and when the last of them was forgotten
    (nanoseconds since 1970, by the clock of the host that forgot it; 0 where there is none).
    """
    records = [
        record
        for (record,) in db.rows(
            "SELECT forgotten FROM snapshot WHERE complete AND forgotten IS NOT NULL"
            " AND number NOT IN (SELECT snapshot FROM lapsed)"
        )
        if _is_after(db, record, forgotten_since_ns)
    ]
    return len(records), max((record_time(db, record) for record in set(records)), default=0)


def commits_of(db: Database, snapshots: Iterable[int]) -> dict[int, list[int]]:
    """The commits of certain snapshots alone, in the form of `wanted_commits`."""
    wanted: dict[int, list[int]] = defaultdict(list)
    for number in sorted(snapshots):
        row = db.row("SELECT anchor FROM snapshot WHERE number = ?", (number,))
        if row:
            wanted[row[0]].append(number)
    return dict(wanted)


def numbers_of(db: Database, ids: Iterable[bytes]) -> list[int]:
    """The numbers of the snapshots that have these ids."""
    rows = (db.row("SELECT number FROM snapshot WHERE id = ?", (id_,)) for id_ in ids)
    return [int(row[0]) for row in rows if row]


def add_progress(db: Database, needed: NumberSet) -> None:
    """Add the blocks that came with progress since each source's last complete snapshot.

    Not those of a source that began anew since: what builds on them is void.
    """
    for number, first in db.rows(
        "SELECT s.number, l.blocks FROM snapshot s JOIN log l USING (number)"
        " JOIN source o ON o.number = s.source AND o.anchor = s.anchor WHERE NOT s.complete"
        " AND s.number > coalesce((SELECT max(number) FROM snapshot c"
        "  WHERE c.source = s.source AND c.complete), 0)"
    ):
        row = db.row("SELECT head FROM log WHERE number = ?", (number,))
        assert row is not None
        body = _head_decoder.decode(row[0]).body
        assert isinstance(body, Ingest | Lost)
        needed.add_range(first, first + records.new_ids(body).blocks)


def needed_after(db: Database, record: int) -> NumberSet:
    """Numbers of the blocks that deltas of later records than this one may have made needed.

    What these take over from the states before them was needed already.
    """
    row = db.row("SELECT nodes FROM log WHERE number = ?", (record + 1,))
    return _blocks_of_nodes(db, row[0]) if row else NumberSet(0)


def pack_names(db: Database, blocks: NumberSet) -> set[bytes]:
    """Names of the packs in which these blocks lie now."""
    return {
        name
        for number in blocks
        for (name,) in db.rows(
            "SELECT p.name FROM block b JOIN segment s ON s.number = b.segment"
            " JOIN pack p ON p.number = s.pack WHERE b.number = ?",
            (number,),
        )
    }


def pack_uses(db: Database, needed: NumberSet) -> Iterator[PackUse]:
    """How much of each pack is needed, in order of number; of those on their way out too."""
    live: dict[int, float] = defaultdict(float)
    for number, share, pack in db.stream(
        "SELECT b.number, 1.0 * b.length * s.stored / s.plain, s.pack"
        " FROM block b JOIN segment s ON s.number = b.segment"
    ):
        if number in needed:
            live[pack] += share
    for number, name, size, total in db.stream(
        "SELECT p.number, p.name, p.size, coalesce(sum(s.stored), 0)"
        " FROM pack p LEFT JOIN segment s ON s.pack = p.number GROUP BY p.number"
    ):
        # Blocks that share a place count once too often: the pack is then simply full.
        yield PackUse(number, name, size, total, min(live[number], total))


def fates(db: Database) -> dict[bytes, tuple[int, int]]:
    """State and record of everything that is on its way out, by name."""
    return {name: (state, record) for name, state, record in db.rows("SELECT * FROM fate")}


def damaged_packs(db: Database, needed: NumberSet) -> set[int]:
    """Numbers of the packs that hold blocks which are needed and known to be damaged."""
    return {
        pack
        for number, pack in db.rows(
            "SELECT b.number, s.pack FROM suspect d JOIN block b ON b.number = d.block"
            f" JOIN segment s ON s.number = b.segment WHERE d.last = {OPEN}"
        )
        if number in needed
    }


def record_time(db: Database, number: int) -> int:
    """When a record was written, by its host's clock, in nanoseconds since 1970."""
    row = db.row("SELECT head FROM log WHERE number = ?", (number,))
    return int(_head_decoder.decode(row[0]).time) if row else 0


def _is_after(db: Database, record: int, since_ns: int | None) -> bool:
    return since_ns is not None and record_time(db, record) >= since_ns


def _needed_nodes(db: Database, commits: dict[int, list[int]]) -> NumberSet:
    """The nodes whose entry holds at one of the wanted commits of its tree."""
    anchors: dict[int, int] = dict(db.rows("SELECT number, anchor FROM snapshot"))
    needed = NumberSet(_bound(db, "node"))
    for first, last, node in db.stream("SELECT first, last, node FROM entry"):
        if is_shown(commits.get(anchors[first], ()), first, last):
            needed.add(node)
    return needed


def count_entries(db: Database, commits: dict[int, list[int]]) -> tuple[int, int]:
    """How many versions of names there are, and how many that none of these commits shows."""
    anchors: dict[int, int] = dict(db.rows("SELECT number, anchor FROM snapshot"))
    count = dead = 0
    for first, last in db.stream("SELECT first, last FROM entry"):
        count += 1
        dead += not is_shown(commits.get(anchors[first], ()), first, last)
    return count, dead


def _blocks_of(db: Database, nodes: NumberSet) -> NumberSet:
    return _gathered(db, (data for number, data in _contents(db, 0) if number in nodes))


def _blocks_of_nodes(db: Database, first: int) -> NumberSet:
    """The blocks of all nodes from this number on."""
    return _gathered(db, (data for _, data in _contents(db, first)))


def _contents(db: Database, first: int) -> Iterator[tuple[int, bytes]]:
    """Number and content of the regular files among the nodes from this number on."""
    for number, data in db.stream(
        "SELECT number, data FROM node WHERE number >= ? AND data IS NOT NULL AND mode & ? = ?",
        (first, _TYPE, _REGULAR),
    ):
        yield int(number), data


def _gathered(db: Database, contents: Iterable[bytes]) -> NumberSet:
    """The blocks of these contents, and of the lists in them."""
    blocks = NumberSet(_bound(db, "block"))
    lists = NumberSet(_bound(db, "list"))
    todo: list[int] = []
    for data in contents:
        _take(data, blocks, lists, todo)
        _take_lists(db, blocks, lists, todo)
    return blocks


def _take_lists(db: Database, blocks: NumberSet, lists: NumberSet, todo: list[int]) -> None:
    while todo:
        row = db.row("SELECT items FROM list WHERE number = ?", (todo.pop(),))
        if row:
            _take(row[0], blocks, lists, todo)


def _take(data: bytes, blocks: NumberSet, lists: NumberSet, todo: list[int]) -> None:
    for code in _content_decoder.decode(data)[::2]:
        if code >= 0:
            blocks.add(code)
        elif code != _HOLE and lists.add(-2 - code):
            todo.append(-2 - code)


def _bound(db: Database, table: str) -> int:
    row = db.row(f"SELECT coalesce(max(number), 0) + 1 FROM {table}")
    assert row is not None
    return int(row[0])
