"""Two snapshots differ in what a comparison of all their paths finds."""

from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.metadata import contents
from snapfs.metadata.differences import Differences, Side
from snapfs.model.content import Stored
from snapfs.model.identity import Commit
from tests.build import Thing, file
from tests.metadata.past import (
    BLOCK,
    SOURCES,
    Past,
    Shown,
    connections,
    differing,
    quickly,
    steps,
    tell,
    type_of,
)

Told = tuple[str, bytes, bytes | None, set[str]]


def _pieces(count: int) -> list[bytes]:
    """So many blocks."""
    return [number.to_bytes(2, "big") * (BLOCK // 2) for number in range(count)]


@quickly
@given(story=steps, connections=connections, many=st.sampled_from([0, 500]))
def test_any_two_snapshots(story: list[tuple], connections: int, many: int) -> None:
    with patch("snapfs.metadata.successive._MANY", many):  # what can have moved is asked first
        tell(story, _check_all, connections=connections)


def _check_all(past: Past) -> None:
    numbers = [number for source in SOURCES for number in past.shown(source)]
    for old, new in product(numbers, repeat=2):
        assert _told(past, old, new) == _expected(past.snapshots[old], past.snapshots[new])


def _told(past: Past, old: Commit, new: Commit, path: bytes = b"/") -> list[Told]:
    found = Differences(past.repository.db).between(_side(past, old), _side(past, new), path)
    return [
        (str(one.kind), one.path, one.renamed_from, {str(aspect) for aspect in one.changed})
        for one in found
    ]


def _side(past: Past, number: Commit) -> Side:
    snapshot = past.repository.snapshots.by_number(number)
    assert snapshot is not None
    return Side(snapshot.anchor, snapshot.number)


def _expected(old: Shown, new: Shown) -> list[Told]:
    origins = _renamed(old, new)
    told: list[Told] = []
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if path in origins:
            assert after is not None
            origin = origins[path]
            told.append(("renamed", path, origin, differing(old[origin], after)))
        elif before is None:
            told.append(("added", path, None, set()))
        elif after is None:
            if path not in origins.values():
                told.append(("removed", path, None, set()))
        elif changed := differing(before, after):
            kind = "modified" if changed & {"type", "content"} else "metadata"
            told.append((kind, path, None, changed))
    return told


def _renamed(old: Shown, new: Shown) -> dict[bytes, bytes]:
    lost = sorted(path for path in old.keys() - new.keys() if _has_content(old[path]))
    came = sorted(path for path in new.keys() - old.keys() if _has_content(new[path]))
    origins: dict[bytes, bytes] = {}
    for by_name in (True, False):
        for path in came:
            for origin in lost:
                if path in origins or old[origin].content != new[path].content:
                    continue
                if not by_name or origin.rpartition(b"/")[2] == path.rpartition(b"/")[2]:
                    origins[path] = origin
                    lost.remove(origin)
                    break
    return origins


def _has_content(thing: Thing) -> bool:
    return type_of(thing) == 0o100000 and thing.size > 0


@pytest.mark.parametrize("few", [1, 500])
def test_below_a_path_only(few: int) -> None:
    story = [
        ("commit", "root", {b"a": {b"x": file(b"1")}, b"ab": file(b"1"), b"c": file(b"1")}),
        ("commit", "root", {b"a": {b"x": file(b"2")}, b"ab": file(b"2"), b"c": file(b"2")}),
        ("commit", "home", {b"a": {b"x": file(b"3")}, b"ab": file(b"3"), b"c": file(b"3")}),
    ]

    def check(past: Past) -> None:
        first, second, other = past.snapshots
        inside = [("modified", b"/a/x", None, {"content"})]
        assert _told(past, first, second, b"/a") == inside
        assert _told(past, first, other, b"/a") == inside
        alone = [("modified", b"/c", None, {"content"})]
        assert _told(past, first, second, b"/c") == alone
        assert _told(past, first, other, b"/c") == alone
        assert _told(past, first, second, b"/nothing") == []
        assert _told(past, first, other, b"/nothing") == []
        assert _told(past, first, second, b"/nothing/at/all") == []

    with patch("snapfs.metadata.successive._FEW", few):  # where more were touched, from the path
        tell(story, check)


@quickly
@given(story=steps, few=st.sampled_from([1, 500]))
def test_below_any_path_is_what_all_differences_have_there(story: list[tuple], few: int) -> None:
    with patch("snapfs.metadata.successive._FEW", few):
        tell(story, _check_below)


def _check_below(past: Past) -> None:
    for source in SOURCES:
        shown = past.shown(source)
        paths = {path for tree in shown.values() for path in tree} - {b"/"}
        for old, new in product(shown, repeat=2):
            changed = {(one[0], one[1]) for one in _told(past, old, new)}
            if any(kind == "renamed" for kind, _ in changed):
                continue  # from or to what is elsewhere: within a path it came or went
            for path in paths:
                inside = {one for one in changed if (one[1] + b"/").startswith(path + b"/")}
                assert {(one[0], one[1]) for one in _told(past, old, new, path)} == inside


def test_the_order_is_that_of_the_paths_bytes() -> None:
    def shape(data: bytes) -> dict:
        inner = {b"x": file(data), b"x-": file(data), b"x.d": {b"y": file(data)}}
        return {b"a": inner, b"a-": file(data), b"a.d": {b"z": file(data)}, b"a0": file(data)}

    def check(past: Past) -> None:
        paths = [one[1] for one in _told(past, *past.snapshots)]
        assert paths == [b"/a-", b"/a.d/z", b"/a/x", b"/a/x-", b"/a/x.d/y", b"/a0"]

    tell([("commit", "root", shape(b"1")), ("commit", "root", shape(b"2"))], check)


def test_of_equal_files_the_first_that_went_becomes_the_first_that_came() -> None:
    story = [
        ("commit", "root", {b"a": file(b"1"), b"b": file(b"1"), b"c": file(b"1")}),
        ("commit", "root", {b"x": file(b"1"), b"y": file(b"1")}),
    ]

    def check(past: Past) -> None:
        first, second = past.snapshots
        renamed = {one[1]: one[2] for one in _told(past, first, second)}
        assert renamed == {b"/x": b"/a", b"/y": b"/b", b"/c": None}
        assert len(_told(past, second, first)) == 3

    tell(story, check)


@pytest.mark.parametrize(
    "held",
    [
        file(b"1"), file(b"1" * 64 + b"2" * 64), file(b"".join(_pieces(8))), file(900, b"1"),
        file(b"".join(_pieces(2500))),
    ],
    ids=["one block", "two blocks", "many blocks", "a hole first", "lists"],
)  # fmt: skip
def test_what_moved_is_seen_whatever_its_content_begins_with(held: Thing) -> None:
    """Numbers of blocks are compared as bytes; others of files that came are all new."""
    more = {b"%d" % number: file(b"other %d" % number) for number in range(300)}
    story = [
        ("commit", "root", {b"a": held, **more}),
        ("commit", "root", {b"b": held, b"new": file(b"new")}),
    ]

    def check(past: Past) -> None:
        # An ingest names lists that it knows; those that are built here are new each time.
        past.repository.replica.db.execute(
            "UPDATE node SET data = (SELECT data FROM node WHERE size = ?1 AND data IS NOT NULL"
            " ORDER BY number LIMIT 1) WHERE size = ?1 AND data IS NOT NULL",
            (held.size,),
        )
        first, second = past.snapshots
        told = {one[1]: one[2] for one in _told(past, first, second) if one[0] != "removed"}
        assert told == {b"/b": b"/a", b"/new": None}
        back = {one[1]: one[2] for one in _told(past, second, first)}
        assert back[b"/a"] == b"/b"

    with patch("snapfs.metadata.successive._MANY", 0):
        tell(story, check)


def test_a_file_that_kept_its_name_is_no_copy_that_came_with_it() -> None:
    story = [
        ("commit", "root", {b"old/1": file(b"1"), b"old/2": file(b"1")}),
        ("commit", "root", {b"a": file(b"1"), b"new/2": file(b"1"), b"new/z": file(b"1")}),
    ]

    def check(past: Past) -> None:
        renamed = {one[1]: one[2] for one in _told(past, *past.snapshots) if one[0] != "removed"}
        assert renamed[b"/new/2"] == b"/old/2"
        assert renamed[b"/a"] == b"/old/1"
        assert renamed[b"/new/z"] is None

    tell(story, check)


def test_two_stored_copies_of_a_block_are_the_same_content() -> None:
    story = [
        ("commit", "root", {b"a": file(b"1", mtime_ns=1)}),
        ("commit", "root", {b"a": file(b"1", mtime_ns=2)}),
    ]

    def check(past: Past) -> None:
        db = past.repository.replica.db
        db.execute(
            "INSERT INTO block SELECT 99, tag, key, segment, offset, length FROM block LIMIT 1"
        )
        db.execute(
            "UPDATE node SET data = ? WHERE mtime_ns = 2", (contents.encode([Stored(99, 1)]),)
        )
        assert _told(past, *past.snapshots) == [("metadata", b"/a", None, {"time"})]

    tell(story, check)


def test_growth_is_what_files_became_more() -> None:
    story = [
        ("commit", "root", {b"a": file(b"1" * 10), b"d": {b"x": file(b"2" * 5)}}),
        ("commit", "root", {b"a": file(b"1" * 30), b"e": {b"y": file(b"2" * 5)}}),
    ]

    def check(past: Past) -> None:
        first, second = past.snapshots
        differences = Differences(past.repository.db)
        found = list(differences.between(_side(past, first), _side(past, second)))
        assert {one.path: one.growth for one in found} == {
            b"/a": 20, b"/d": 0, b"/e": 0, b"/e/y": 0,
        }  # fmt: skip

    tell(story, check)
