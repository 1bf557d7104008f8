"""What each snapshot alone holds: the blocks that no other one needs.

What a snapshot alone holds is of nodes that it alone shows: they are looked for first, in one pass
over the entries. One over the nodes finds all that have blocks or lists in common with those, and
if there are any that several snapshots may show, another one over the entries says of which that is
so. So only contents are decoded that can matter: few where there are many snapshots, all of them,
and twice, where there is one. Each node, list and block of the repository takes four bytes, and
each block that a node and one snapshot alone have sixteen.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import ceil

import msgspec

from snapfs.metadata import contents
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.database import Database, Row
from snapfs.metadata.moments import Moments
from snapfs.metadata.sweep import sweep
from snapfs.model.identity import Commit

_NOBODY = 0
_SHARED = -1
_HOLE = -1
_FEW = 100_000
"blocks of contents that are looked for in SQLite; more are looked for here, in every content"
_AT_ONCE = 10_000
_content_decoder = msgspec.msgpack.Decoder(list[int])
_WITHIN = "e.directory > ?1 AND e.directory <= ?2 AND m.shown < e.last"
_ENTRIES = "FROM entry e CROSS JOIN temp.moment m ON m.number = e.first"
_OWNER = f"SELECT e.node, iif(m.second < e.last, {_SHARED}, m.shown)"
# Of nodes with several names all are told; and of one that was known by another name before, that
# it was, because that name is not.
_OWNERS = (
    f"{_OWNER}, e.file = 1 AND e.node < m.nodes {_ENTRIES} WHERE e.file"
    f" AND {_WITHIN} AND (m.second >= e.last OR e.file = 2 OR e.node < m.nodes)"
)
_OTHERS = f"{_OWNER} {_ENTRIES} WHERE e.node IN (SELECT value FROM temp.asked) AND {_WITHIN}"
_CONTENTS = (
    "SELECT n.number, n.data FROM node n WHERE n.number > ?1 AND n.number <= ?2"
    " AND n.data IS NOT NULL AND n.mode & 61440 = 32768"
)
# Most contents are one block, and then those that have it are equal.
_AMONG = (
    f" AND (NOT {contents.ONE_BLOCK.format('n.data')} OR n.data IN (SELECT value FROM temp.asked))"
)


@dataclass(frozen=True, slots=True)
class Alone:
    """What one snapshot alone holds."""

    plain: int
    "bytes of its blocks"
    stored: int
    "their share of the segments that they lie in: about what forgetting it lets a prune free"


def held_alone(db: Database, moments: Moments) -> dict[Commit, Alone]:
    """For each snapshot that alone holds something how much; needs `Moments` of all sources.

    What is needed for another reason is not looked at: that the state at a source's head stays
    until the next ingest, and what a forgotten snapshot still holds until a prune.
    """
    return _Question(db, moments).answer()


class _Question:
    def __init__(self, db: Database, moments: Moments) -> None:
        self._db = db
        self._share = moments.share()
        self._nodes, self._blocks, self._lists = (
            _bound(db, table) for table in ("node", "block", "list")
        )
        self._wanted = NumberSet(self._blocks)
        "blocks of candidates"
        self._whole: list[bytes] = []
        "contents that are one of them; one more than a few at most"
        self._known = NumberSet(self._lists)
        "lists that were looked into"
        self._touching = NumberSet(self._lists)
        "those in which a wanted block is"

    def answer(self) -> dict[Commit, Alone]:
        owners, told = _Owners(self._nodes), NumberSet(self._nodes)
        others: set[int] = set()
        for node, owner, was_known in sweep(self._db, _OWNERS, prepare=self._share):
            owners.add(node, owner)
            told.add(node)
            if was_known:
                others.add(node)
        self._want(node for node in told if owners.of[node] != _SHARED)
        pairs = self._pairs()
        others.update(node for node in islice(pairs, 0, None, 2) if node not in told)
        if others:

            def prepare(db: Database) -> None:
                self._share(db)
                _ask(db, sorted(others))

            for node, owner in sweep(self._db, _OTHERS, prepare=prepare):
                owners.add(node, owner)
        return self._sums(self._owned(pairs, owners))

    def _want(self, candidates: Iterable[int]) -> None:
        """Take the blocks of these nodes for wanted, and the lists that lead to them."""
        lists: list[int] = []
        for (data,) in self._of_numbers(_CONTENT_OF, candidates):
            self._want_all(data, lists)
        while lists:
            inner = lists.pop()
            self._touching.add(inner)
            self._want_all(self._items(inner), lists)

    def _want_all(self, data: bytes, lists: list[int]) -> None:
        flat = _content_decoder.decode(data)
        for code, length in zip(flat[::2], flat[1::2], strict=True):
            if code >= 0:
                if self._wanted.add(code) and len(self._whole) <= _FEW:
                    self._whole.append(contents.encode_one(code, length))
            elif code != _HOLE and self._known.add(-2 - code):
                lists.append(-2 - code)

    def _pairs(self) -> "array[int]":
        """Node, code, node, code, …: what leads from nodes to wanted blocks."""
        pairs = array("q")
        sql, prepare = _CONTENTS, _nothing
        if len(self._whole) <= _FEW:
            sql, prepare = _CONTENTS + _AMONG, partial(_ask, values=sorted(self._whole))
        for node, data in sweep(self._db, sql, prepare=prepare, over="node"):
            # What another process applies meanwhile is no snapshot's that counts here.
            for code in _codes(data) if node < self._nodes else ():
                if self._leads(code):
                    pairs.extend((node, code))
        return pairs

    def _leads(self, code: int) -> bool:
        """Whether it is a wanted block, or a list in which one is."""
        if code >= 0:
            return code in self._wanted
        if code == _HOLE:
            return False
        number = -2 - code
        if self._known.add(number):
            # All at each level, and not the first that leads: `_owned` goes by them.
            led = [self._leads(each) for each in _codes(self._items(number))]
            if any(led):
                self._touching.add(number)
        return number in self._touching

    def _owned(self, pairs: "array[int]", nodes: "_Owners") -> "array[int]":
        """Who needs each wanted block."""
        blocks, lists = _Owners(self._blocks), _Owners(self._lists)
        todo: list[tuple[int, int]] = []

        def add(code: int, owner: int) -> None:
            if code >= 0:
                blocks.add(code, owner)
            elif code != _HOLE and -2 - code in self._touching and lists.add(-2 - code, owner):
                # Twice at most: for its first owner, and when a second makes all below it shared.
                todo.append((-2 - code, lists.of[-2 - code]))

        for node, code in zip(islice(pairs, 0, None, 2), islice(pairs, 1, None, 2), strict=True):
            if (owner := nodes.of[node]) != _NOBODY:
                add(code, owner)
            while todo:
                inner, owner = todo.pop()
                for code in _codes(self._items(inner)):
                    add(code, owner)
        return blocks.of

    def _sums(self, owners: "array[int]") -> dict[Commit, Alone]:
        plain: dict[int, int] = defaultdict(int)
        stored: dict[int, float] = defaultdict(float)
        alone = (block for block in self._wanted if owners[block] > 0)
        for number, length, share in self._of_numbers(_SHARE_OF, alone):
            plain[owners[number]] += length
            stored[owners[number]] += share
        return {Commit(owner): Alone(plain[owner], ceil(stored[owner])) for owner in sorted(plain)}

    def _items(self, number: int) -> bytes:
        row = self._db.row("SELECT items FROM list WHERE number = ?", (number,))
        return row[0] if row else b"\x90"

    def _of_numbers(self, sql: str, numbers: Iterable[int]) -> Iterator[Row]:
        """The rows of a query about `j.value`, for each of these numbers."""
        left = iter(numbers)
        while some := list(islice(left, _AT_ONCE)):
            yield from self._db.stream(sql, (msgspec.json.encode(some).decode(),))


_CONTENT_OF = (
    "SELECT n.data FROM json_each(?) j CROSS JOIN node n ON n.number = j.value"
    " WHERE n.data IS NOT NULL AND n.mode & 61440 = 32768"
)
_SHARE_OF = (
    "SELECT b.number, b.length, 1.0 * b.length * s.stored / s.plain"
    " FROM json_each(?) j CROSS JOIN block b ON b.number = j.value"
    " CROSS JOIN segment s ON s.number = b.segment WHERE s.plain > 0"
)


class _Owners:
    """Who needs each number: nobody, one snapshot, or several."""

    def __init__(self, bound: int) -> None:
        self.of = array("i", bytes(4 * bound))

    def add(self, number: int, owner: int) -> bool:
        """Note one more owner; whether that changes anything."""
        before = self.of[number]
        if before in (owner, _SHARED):
            return False
        self.of[number] = owner if before == _NOBODY else _SHARED
        return True


def _bound(db: Database, table: str) -> int:
    row = db.row(f"SELECT coalesce(max(number), 0) + 1 FROM {table}")
    return int(row[0]) if row else 1


def _codes(data: bytes) -> Iterator[int]:
    return iter(_content_decoder.decode(data)[::2])


def _ask(db: Database, values: Sequence[int | bytes]) -> None:
    """Give a connection the table `asked` of these values, which are sorted."""
    db.execute("DROP TABLE IF EXISTS temp.asked")
    db.execute("CREATE TEMP TABLE asked (value PRIMARY KEY) WITHOUT ROWID")
    with db.at_once():
        db.execute_many("INSERT INTO temp.asked VALUES (?)", ((value,) for value in values))


def _nothing(_: Database) -> None:
    """For a query that needs no table of its own."""
