"""What is found is what a walk through every snapshot would find."""

import stat
from fnmatch import fnmatchcase
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from snapfs.metadata.search import Match, Search
from snapfs.model.criteria import Criteria
from tests.build import NANOSECONDS, Thing, file, link
from tests.metadata.past import SOURCES, Past, connections, quickly, steps, tell, type_of

_fields = st.sampled_from(
    [
        *({"pattern": pattern} for pattern in (b"a", b"*.txt", b"[!ab]*", b"B.TXT", b"*")),
        *({"types": types} for types in ((0o100000,), (0o040000, 0o120000))),
        {"smallest": 1}, {"smallest": 70}, {"largest": 1}, {"smallest": 1, "largest": 1},
        {"newer_ns": 0}, {"newer_ns": 5 * NANOSECONDS}, {"older_ns": 5 * NANOSECONDS + 1},
        {"owner": "1000"}, {},
    ]
)  # fmt: skip
_modes = st.sampled_from([{}, {"deleted": True}, {"any_version": True}])
criteria = st.builds(lambda fields, mode: Criteria(**fields, **mode), _fields, _modes)


@quickly
@given(story=steps, wanted=criteria, connections=connections)
def test_all_snapshots_at_once(story: list[tuple], wanted: Criteria, connections: int) -> None:
    # What is left behind when a source begins anew is told apart: see the test below.
    story = [step for step in story if step[0] != "recall"]
    tell(story, lambda past: _check(past, wanted), connections=connections)


def _check(past: Past, wanted: Criteria) -> None:
    found = list(Search(past.repository.db, past.moments()).find(wanted))
    for match in found:
        source = _name_of(past, match)
        assert match.deleted == (match.path not in list(past.shown(source).values())[-1])
        for moment in (match.first, match.last):
            assert _same(past.snapshots[moment.number][match.path], match)
    states = {(_name_of(past, one), one.path, _state(one)) for one in found}
    assert states == {state for source in SOURCES for state in _expected(past, source, wanted)}
    if not wanted.any_version:
        for match in found:
            shown = past.shown(_name_of(past, match))
            assert match.last.number == max(at for at, tree in shown.items() if match.path in tree)
        assert len({(match.source, match.path) for match in found}) == len(found)


def _expected(past: Past, source: str, wanted: Criteria) -> set[tuple]:
    trees = list(past.shown(source).values())
    found = set()
    for path in {path for tree in trees for path in tree} - {b"/"}:
        states = [tree[path] for tree in trees if path in tree]
        if wanted.deleted and path in trees[-1]:
            continue
        for thing in states if wanted.any_version else states[-1:]:
            if _meets(path, thing, wanted):
                found.add((source, path, (thing.mode, thing.uid, thing.mtime_ns, thing.size)))
    return found


def _meets(path: bytes, thing: Thing, wanted: Criteria) -> bool:
    name = path.rpartition(b"/")[2].decode("latin-1")
    size = thing.size if type_of(thing) == 0o100000 else None
    sized = wanted.smallest is not None or wanted.largest is not None
    return all(
        (
            wanted.pattern is None or fnmatchcase(name, wanted.pattern.decode("latin-1")),
            not wanted.types or type_of(thing) in wanted.types,
            not sized or size is not None,
            wanted.smallest is None or (size or 0) >= wanted.smallest,
            wanted.largest is None or (size or 0) <= wanted.largest,
            wanted.newer_ns is None or thing.mtime_ns > wanted.newer_ns,
            wanted.older_ns is None or thing.mtime_ns < wanted.older_ns,
            wanted.owner is None or thing.uid == int(wanted.owner),
        )
    )


def _state(match: Match) -> tuple[int, int, int, int]:
    held = match.node.attributes
    return held.mode, held.uid, held.mtime_ns, held.size


def _same(thing: Thing, match: Match) -> bool:
    return (thing.mode, thing.uid, thing.mtime_ns, thing.size) == _state(match)


def _name_of(past: Past, match: Match) -> str:
    source = past.repository.snapshots.source_by_number(match.source)
    assert source is not None
    return source.name


def _found(past: Past, wanted: Criteria) -> list[tuple[bytes, bool]]:
    search = Search(past.repository.db, past.moments())
    return sorted((one.path, one.deleted) for one in search.find(wanted))


def test_patterns_of_paths_and_letters_of_either_case() -> None:
    shape = {b"home": {b"ann": {b"Report.PDF": file(b"1")}, b"x.pdf": file(b"2")}}

    def check(past: Past) -> None:
        def paths(pattern: bytes, **more: bool) -> list[bytes]:
            return [path for path, _ in _found(past, Criteria(pattern=pattern, **more))]

        assert paths(b"*.pdf") == [b"/home/x.pdf"]
        assert paths(b"*.pdf", ignore_case=True) == [b"/home/ann/Report.PDF", b"/home/x.pdf"]
        assert paths(b"[X-Z].PDF", ignore_case=True) == [b"/home/x.pdf"]
        assert paths(b"r?PORT.[^x]*", ignore_case=True) == [b"/home/ann/Report.PDF"]
        assert paths(b"/home/*.pdf", ignore_case=True) == [b"/home/x.pdf"]
        assert paths(b"ANN/*.pdf", ignore_case=True) == [b"/home/ann/Report.PDF"]
        assert paths(b"/home/**") == [
            b"/home/ann", b"/home/ann/Report.PDF", b"/home/x.pdf",
        ]  # fmt: skip
        assert paths(b"/**/x.pdf") == [b"/home/x.pdf"]
        assert paths(b"/home/ann/*.PDF") == [b"/home/ann/Report.PDF"]
        assert paths(b"/home/ann/**") == [b"/home/ann/Report.PDF"]
        assert paths(b"ann/x.pdf") == paths(b"/nowhere/x.pdf") == []

    tell([("commit", "root", shape)], check)


def test_what_was_left_behind_is_deleted_only_if_the_new_tree_lacks_it() -> None:
    story = [
        ("commit", "root", {b"a": file(b"1"), b"gone": file(b"2")}),
        ("forget", "root", 0),
        ("commit", "root", {b"a": file(b"3")}),
        ("recall", "root", 0),
    ]

    def check(past: Past) -> None:
        assert _found(past, Criteria(deleted=True)) == [(b"/gone", True)]

    tell(story, check)


def test_what_only_forgotten_snapshots_had_is_not_found() -> None:
    story = [
        ("commit", "root", {b"a": file(b"1")}),
        ("forget", "root", 0),
        ("commit", "root", {b"b": file(b"2")}),
    ]
    tell(story, lambda past: _finds(past, Criteria(any_version=True), [(b"/b", False)]))


def _finds(past: Past, wanted: Criteria, expected: list[tuple[bytes, bool]]) -> None:
    assert _found(past, wanted) == expected


def test_owners_are_known_by_name() -> None:
    def check(past: Past) -> None:
        past.repository.replica.db.execute("INSERT INTO owner VALUES (1, 0, 1000, ?)", (b"ann",))
        past.repository.replica.db.execute("INSERT INTO owner VALUES (2, 0, 0, ?)", (b"ann",))
        assert _found(past, Criteria(owner="ann", types=(0o100000,))) == [(b"/a", False)]
        assert _found(past, Criteria(owner="bob")) == []

    shape = {b"a": file(b"1", uid=1000), b"b": file(b"2")}
    tell([("commit", "root", shape)], check)


def test_times_within_one_second_are_told_apart() -> None:
    second = 5 * NANOSECONDS
    times = {b"a": second - 1, b"b": second, b"c": second + 1, b"d": -1}

    def check(past: Past) -> None:
        def names(**wanted: int) -> str:
            found = _found(past, Criteria(types=(0o100000,), **wanted))
            return "".join(path.decode()[1:] for path, _ in found)

        assert (names(newer_ns=second), names(older_ns=second + 1)) == ("c", "abd")
        assert (names(newer_ns=second - 1), names(older_ns=second)) == ("bc", "ad")
        assert (names(newer_ns=-2), names(older_ns=-1)) == ("abcd", "")

    shape = {name: file(b"1", mtime_ns=time) for name, time in times.items()}
    tell([("commit", "root", shape)], check)


def test_each_type_alone_and_together() -> None:
    shape = {b"f": file(b"1"), b"d": {b"l": link(b"f")}, b"p": Thing(mode=stat.S_IFIFO | 0o600)}
    kinds = {b"/f": stat.S_IFREG, b"/d": stat.S_IFDIR, b"/d/l": stat.S_IFLNK, b"/p": stat.S_IFIFO}

    def check(past: Past) -> None:
        for count in range(1, len(kinds) + 1):
            for wanted in combinations(kinds, count):
                found = _found(past, Criteria(types=tuple(kinds[path] for path in wanted)))
                assert found == [(path, False) for path in sorted(wanted)]

    tell([("commit", "root", shape)], check)
