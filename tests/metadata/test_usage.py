"""Sums: of directories, of what snapshots alone hold, of what grew, of the repository."""

from collections import Counter
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.metadata import alone, contents
from snapfs.metadata.alone import held_alone
from snapfs.metadata.growth import gained
from snapfs.metadata.usage import UsageQuestions
from snapfs.model.content import Listed
from snapfs.model.identity import Commit
from tests.build import Thing, file
from tests.metadata.past import (
    BLOCK,
    SOURCES,
    Past,
    Shown,
    connections,
    quickly,
    steps,
    tell,
    type_of,
)

_MANY = [number.to_bytes(2, "big") * 32 for number in range(3000)]
"blocks: so many that a content names them by lists"


def size_of(thing: Thing) -> int:
    return thing.size if type_of(thing) == 0o100000 else 0


@quickly
@given(story=steps, connections=connections)
def test_directories_of_a_snapshot(story: list[tuple], connections: int) -> None:
    tell(story, _check_directories, connections=connections)


def _check_directories(past: Past) -> None:
    for source in SOURCES:
        for number, tree in past.shown(source).items():
            for depth in (0, 1, 5):
                assert _told(past, number, depth) == _usage(tree, depth)


def _told(past: Past, number: Commit, depth: int) -> dict[bytes, tuple[int, int]]:
    """Entries and bytes of the directories of a snapshot down to some depth."""
    root = past.repository.tree.root(number)
    assert root is not None and root.child is not None
    found = UsageQuestions(past.repository.db).directory(root.child, number, depth)
    return {one.path: (one.entries, one.size) for one in found}


def _usage(tree: Shown, depth: int) -> dict[bytes, tuple[int, int]]:
    found = {}
    for path, thing in tree.items():
        if type_of(thing) == 0o040000 and path.rstrip(b"/").count(b"/") <= depth:
            below = [at for at in tree if at != path and at.startswith(path.rstrip(b"/") + b"/")]
            # A directory without entries is not told apart from one that is not there any more.
            if below or path == b"/":
                found[path] = (len(below), sum(size_of(tree[at]) for at in below))
    return found


def test_a_directory_that_went_is_not_told() -> None:
    story = [
        ("commit", "root", {b"d": {b"x": file(b"1")}}),
        ("commit", "root", {b"a": file(b"22")}),
        ("commit", "root", {b"a": file(b"22"), b"d": {b"x": file(b"333")}}),
    ]

    def check(past: Past) -> None:
        assert [_told(past, number, 1) for number in past.snapshots] == [
            {b"/": (2, 1), b"/d": (1, 1)}, {b"/": (1, 2)}, {b"/": (3, 5), b"/d": (1, 3)},
        ]  # fmt: skip

    tell(story, check)


def test_sizes_that_add_up_to_more_than_an_integer_holds() -> None:
    """Of files that are nothing but holes: anybody can make them."""
    half, more = 2**62, 2**61
    held = file(half + 7)
    story = [
        ("linked", "root", {b"/a": file(more), b"/d/b": file(more)}),
        ("linked", "root", {b"/a": file(half + 5), b"/d/b": held, b"/d/c": held}),
        ("linked", "root", {b"/%d" % number: file(half + 5 + number) for number in range(4)}),
        ("linked", "root", {b"/a": file(b"1")}),
    ]

    def check(past: Past) -> None:
        told = [_told(past, number, 0)[b"/"] for number in past.snapshots]
        # Of the third nobody can say what it holds, as it is more than 2^63.
        assert [told[0], told[1], told[3]] == [(3, 2 * more), (4, 2 * half + 12), (1, 1)]
        assert told[2] == (4, (4 * half + 26) % 2**63)
        first, _, _, last = past.moments().of(past.number("root"))
        assert dict(gained(past.repository.db, last, first)) == {b"/": more - 1, b"/d": more}
        sums: Counter[tuple[int, int]] = Counter()
        for directory, begin, end, size in past.repository.db.rows(
            "SELECT directory, first, last, size FROM entry WHERE file"
        ):
            sums[(directory, begin)] += size
            sums[(directory, end)] -= size
        for directory, record, size in past.repository.db.rows(
            "SELECT directory, record, size FROM touched"
        ):
            assert (sums[(directory, record)] - size) % 2**63 == 0

    tell(story, check)


def test_a_directory_beside_a_file_whose_names_add_up_to_too_much() -> None:
    huge, plain = 7 * 2**60, 2**61
    held = file(huge)

    def check(past: Past) -> None:
        assert _told(past, next(iter(past.snapshots)), 1) == {
            b"/": (5, huge + plain), b"/a": (1, huge), b"/b": (2, plain),
        }  # fmt: skip

    tell([("linked", "root", {b"/a/x": held, b"/b/x": held, b"/b/y": file(plain)})], check)


@pytest.mark.parametrize("connections", [1, 2])
def test_a_file_with_several_names_is_counted_once(connections: int) -> None:
    held = file(b"x" * 1000)

    def check(past: Past) -> None:
        assert _told(past, next(iter(past.snapshots)), 0) == {b"/": (4, 1001)}

    tell([("linked", "root", {b"/a": held, b"/d/b": held, b"/c": file(b"1")})], check,
         connections=connections)  # fmt: skip


@quickly
@given(story=steps, connections=connections, few=st.sampled_from([0, 100_000]))
def test_what_each_snapshot_alone_holds(story: list[tuple], connections: int, few: int) -> None:
    with patch("snapfs.metadata.alone._FEW", few):  # beyond it, every content is looked at
        tell(story, _check_alone, connections=connections)


def _check_alone(past: Past) -> None:
    blocks = {
        number: {block for thing in tree.values() for block in _blocks(thing)}
        for source in SOURCES
        for number, tree in past.shown(source).items()
    }
    holders = Counter(block for held in blocks.values() for block in held)
    expected = {
        number: sum(len(block) for block in held if holders[block] == 1)
        for number, held in blocks.items()
    }
    found = held_alone(past.repository.db, past.moments())
    assert {number: one.plain for number, one in found.items()} == {
        number: size for number, size in expected.items() if size
    }
    assert all(one.stored > 0 for one in found.values())


def _alone(past: Past) -> dict[Commit, int]:
    found = held_alone(past.repository.db, past.moments())
    return {number: one.plain for number, one in found.items()}


def _blocks(thing: Thing) -> set[bytes]:
    data = b"".join(piece for piece in thing.content if isinstance(piece, bytes))
    return {data[at : at + BLOCK] for at in range(0, len(data), BLOCK)}


def test_a_node_that_moved_to_another_name_is_not_of_one_snapshot_alone() -> None:
    held, others = file(b"x" * 50), [file(b"1" * 7), file(b"2" * 9)]

    def check(past: Past) -> None:
        _, second, third = past.snapshots
        # As an ingest does where one of several names is left: the node stays.
        past.repository.replica.db.execute(
            "UPDATE entry SET node = (SELECT node FROM entry WHERE name = x'61') WHERE name = x'62'"
        )
        assert _alone(past) == {second: 7, third: 9}

    story = [
        ("linked", "root", {b"/a": held}),
        ("linked", "root", {b"/b": held, b"/c": others[0]}),
        ("linked", "root", {b"/b": held, b"/c": others[1]}),
    ]
    tell(story, check)


def test_a_name_of_several_that_went_is_not_all_that_there_was_of_a_file() -> None:
    held = file(b"x" * 50)

    def check(past: Past) -> None:
        _, second, _ = past.snapshots
        past.repository.replica.db.execute(
            "UPDATE entry SET last = ? WHERE name = x'61'", (second,)
        )
        assert _alone(past) == {}

    tell([("linked", "root", {b"/a": held, b"/b": held})] * 3, check)


def test_what_is_applied_meanwhile_does_not_matter() -> None:
    def check(past: Past) -> None:
        question = alone._Question(past.repository.db, past.moments())
        past.repository.replica.db.execute(
            "INSERT INTO node SELECT number + 1000, mode, uid, gid, mtime, mtime_ns, size, nlink,"
            " rdev, data, xattrs FROM node"
        )
        (first,) = past.snapshots
        assert {number: one.plain for number, one in question.answer().items()} == {first: 50}

    tell([("linked", "root", {b"/a": file(b"x" * 50)})], check)


@pytest.mark.parametrize("few", [0, 100_000])
def test_a_block_that_another_file_keeps_is_not_of_one_alone(few: int) -> None:
    def check(past: Past) -> None:
        first = next(iter(past.snapshots))
        assert _alone(past) == {first: 3}

    story = [
        ("linked", "root", {b"/a": file(b"x" * 50), b"/b": file(b"x" * 50), b"/c": file(b"old")}),
        *[("linked", "root", {b"/b": file(b"x" * 50)})] * 2,
    ]
    with patch("snapfs.metadata.alone._FEW", few):
        tell(story, check)


@pytest.mark.parametrize("few", [0, 100_000])
def test_a_block_in_a_list_that_another_file_keeps_is_not_of_one_alone(few: int) -> None:
    shared = b"".join(_MANY)

    def check(past: Past) -> None:
        first = next(iter(past.snapshots))
        assert _alone(past) == {first: 64}

    # The same blocks at other places: no list has another one's key.
    things = {b"/a": file(b"1" * 64 + shared), b"/b": file(b"2" * 64 + b"3" * 64 + shared)}
    story = [("linked", "root", things), *[("linked", "root", {b"/b": things[b"/b"]})] * 2]
    with patch("snapfs.metadata.alone._FEW", few):
        tell(story, check)


def test_a_node_that_moved_after_two_snapshots_had_it_is_not_of_the_third_alone() -> None:
    held = file(b"x" * 50)

    def check(past: Past) -> None:
        past.repository.replica.db.execute(
            "UPDATE entry SET node = (SELECT node FROM entry WHERE name = x'61') WHERE name = x'62'"
        )
        assert _alone(past) == {}

    tell([("linked", "root", {b"/a": held})] * 2 + [("linked", "root", {b"/b": held})], check)


@pytest.mark.parametrize("few", [0, 100_000])
def test_a_content_that_is_one_list_is_looked_into(few: int) -> None:
    """Which no ingest makes: below a thousand blocks there is no list, and above two at least."""

    def check(past: Past) -> None:
        db = past.repository.replica.db
        (node, data), (other, _) = db.rows("SELECT number, data FROM node WHERE size = 50")
        db.execute("INSERT INTO list VALUES (1, 1, x'00', 50, ?)", (data,))
        listed = contents.encode([Listed(1, 50)])
        db.execute("UPDATE node SET data = ? WHERE number = ?", (listed, node))
        db.execute("UPDATE node SET data = ? WHERE number = ?", (data, other))
        assert _alone(past) == {}

    things = {b"/a": file(b"x" * 50), b"/b": file(b"x" * 50)}
    story = [("linked", "root", things), *[("linked", "root", {b"/a": things[b"/a"]})] * 2]
    with patch("snapfs.metadata.alone._FEW", few):
        tell(story, check)


@pytest.mark.parametrize("few", [0, 100_000])
def test_a_list_that_several_contents_share_is_not_of_one_alone(few: int) -> None:
    shared = b"".join(_MANY)

    def check(past: Past) -> None:
        first, second = past.snapshots
        assert _alone(past) == {first: 3, second: 5}

    story = [
        ("linked", "root", {b"/a": file(shared + b"old"), b"/b": file(shared)}),
        ("linked", "root", {b"/a": file(shared + b"newer"), b"/b": file(shared)}),
    ]
    with patch("snapfs.metadata.alone._FEW", few):
        tell(story, check)


@pytest.mark.parametrize("few", [0, 100_000])
def test_lists_of_blocks_are_looked_into(few: int) -> None:
    changed = [*_MANY[:-1], b"end" * 10]

    def check(past: Past) -> None:
        first, second = past.snapshots
        assert _alone(past) == {first: 64, second: 30}

    story = [
        ("linked", "root", {b"/a": file(b"".join(_MANY))}),
        ("linked", "root", {b"/a": file(b"".join(changed))}),
    ]
    with patch("snapfs.metadata.alone._FEW", few):
        tell(story, check)


@quickly
@given(story=steps, connections=connections)
def test_growth_of_directories(story: list[tuple], connections: int) -> None:
    story = [step for step in story if step[0] != "recall"]
    tell(story, _check_growth, connections=connections)


def _check_growth(past: Past) -> None:
    moments = past.moments()
    for source in SOURCES:
        line = moments.of(past.number(source))
        for old in line:
            for new in line:
                found = dict(gained(past.repository.db, old, new))
                assert found == _growth(past, old.number, new.number)


def _growth(past: Past, old: Commit, new: Commit) -> dict[bytes, int]:
    grown: Counter[bytes] = Counter()
    for path, thing in past.snapshots[new].items():
        grown[path.rpartition(b"/")[0] or b"/"] += size_of(thing)
    for path, thing in past.snapshots[old].items():
        grown[path.rpartition(b"/")[0] or b"/"] -= size_of(thing)
    return {path: size for path, size in grown.items() if size}


def test_totals() -> None:
    story = [
        ("commit", "root", {b"a": file(b"1" * 50), b"b": file(b"1" * 50)}),
        ("commit", "home", {b"a": file(b"1" * 50), b"c": file(b"2" * 10)}),
        ("forget", "home", 0),
    ]

    def check(past: Past) -> None:
        totals = UsageQuestions(past.repository.db).totals()
        assert (totals.sources, totals.snapshots) == (1, 1)
        assert (totals.plain, totals.blocks, totals.packs) == (60, 2, 2)
        name, size = past.repository.db.rows("SELECT name, size FROM pack")[0]
        past.repository.replica.db.execute("INSERT INTO fate VALUES (?, 3, 9)", (name,))
        after = UsageQuestions(past.repository.db).totals()
        assert after.stored == totals.stored - size
        assert (after.packs, after.blocks) == (1, 1)

    tell(story, check)
