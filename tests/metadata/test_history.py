"""Versions of paths, and the names of directories, are what the snapshots show one by one."""

from itertools import groupby

from hypothesis import given

from snapfs.metadata.history import History
from snapfs.metadata.tree import Node
from snapfs.model.versions import Version
from tests.build import Thing
from tests.metadata.past import SOURCES, Past, differing, quickly, steps, tell, type_of

Line = tuple[int, int, tuple | None, set[str]]


@quickly
@given(story=steps)
def test_versions_are_the_runs_of_equal_states(story: list[tuple]) -> None:
    tell(story, _check_versions)


@quickly
@given(story=steps)
def test_a_directory_tells_every_name_it_ever_had(story: list[tuple]) -> None:
    tell(story, _check_names)


def _check_versions(past: Past) -> None:
    history = History(past.repository.db, past.moments())
    for source in SOURCES:
        shown = past.shown(source)
        for path in {path for tree in past.snapshots.values() for path in tree}:
            found = [_line(one) for one in history.versions(past.number(source), path)]
            assert found == _expected([(number, tree.get(path)) for number, tree in shown.items()])


def _line(version: Version[Node]) -> Line:
    if version.state is None:
        return version.first, version.last, None, set()
    attributes = version.state.attributes
    state = (attributes.mode, attributes.uid, attributes.mtime_ns, attributes.size)
    return version.first, version.last, state, {str(aspect) for aspect in version.changed}


def _expected(states: list[tuple[int, Thing | None]]) -> list[Line]:
    runs = [(thing, [number for number, _ in group])
            for thing, group in groupby(states, key=lambda one: one[1])]  # fmt: skip
    if runs and runs[0][0] is None:
        runs.pop(0)
    lines: list[Line] = []
    before: Thing | None = None
    for thing, numbers in runs:
        if thing is None:
            lines.append((numbers[0], numbers[-1], None, set()))
            continue
        state = (thing.mode, thing.uid, thing.mtime_ns, thing.size)
        changed = differing(before, thing) if before else set()
        lines.append((numbers[0], numbers[-1], state, changed))
        before = thing
    return lines


def _check_names(past: Past) -> None:
    history = History(past.repository.db, past.moments())
    for source in SOURCES:
        shown = past.shown(source)
        trees = list(shown.values())
        for path in {path for tree in trees for path in tree}:
            found = {
                one.name: (one.first.number, one.last.number, one.deleted)
                for one in history.names(past.number(source), path)
            }
            inside = path.rstrip(b"/") + b"/"
            names = {
                at.removeprefix(inside)
                for tree in trees
                for at in tree
                if at.startswith(inside) and at != b"/" and b"/" not in at.removeprefix(inside)
            }
            assert found == {
                name: (
                    min(number for number, tree in shown.items() if inside + name in tree),
                    max(number for number, tree in shown.items() if inside + name in tree),
                    inside + name not in trees[-1],
                )
                for name in names
            }


def test_a_path_that_was_a_file_and_a_directory() -> None:
    story = [
        ("commit", "root", {b"x": _file(b"one")}),
        ("commit", "root", {b"x": {b"inner": _file(b"two")}}),
        ("commit", "root", {b"x": _file(b"one")}),
    ]

    def check(past: Past) -> None:
        history = History(past.repository.db, past.moments())
        types = [
            (type_of(Thing(mode=one.state.attributes.mode)), list(one.changed))
            for one in history.versions(past.number("root"), b"/x")
            if one.state is not None
        ]
        assert [kind for kind, _ in types] == [0o100000, 0o040000, 0o100000]
        assert all("type" in changed and "content" not in changed for _, changed in types[1:])
        (inner,) = history.names(past.number("root"), b"/x")
        assert inner.deleted and inner.versions == 1

    tell(story, check)


def test_a_tree_that_was_left_behind_ends_with_its_last_snapshot() -> None:
    story = [
        ("commit", "root", {b"x": _file(b"one"), b"y": _file(b"one")}),
        ("forget", "root", 0),
        ("commit", "root", {b"x": _file(b"other")}),
        ("recall", "root", 0),
    ]

    def check(past: Past) -> None:
        first, second = past.snapshots
        history = History(past.repository.db, past.moments())
        number = past.number("root")
        x = [(one.first, one.last) for one in history.versions(number, b"/x")]
        assert x == [(first, first), (second, second)]
        y = [(one.first, one.state is None) for one in history.versions(number, b"/y")]
        assert y == [(first, False), (second, True)]

    tell(story, check)


def _file(data: bytes) -> Thing:
    return Thing(mode=0o100644, content=(data,))
