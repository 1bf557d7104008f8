"""Runs of snapshots that show the same, from intervals of commits."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from snapfs.model.versions import Aspect, Aspects, Held, timeline

states = st.lists(st.sampled_from(["a", "b", None]), max_size=12)
"what holds at commits 1, 2, 3, …"


def compare(before: str, after: str) -> Aspects:
    return () if before == after else (Aspect.CONTENT,)


@given(held=states, snapshots=st.sets(st.integers(1, 12)))
def test_a_timeline_is_what_the_snapshots_show_in_turn(
    held: list[str | None], snapshots: set[int]
) -> None:
    at = dict(enumerate(held, start=1))
    shown = [(number, at.get(number)) for number in sorted(snapshots)]
    expected = [
        (state, [number for number, _ in group])
        for state, group in groupby(shown, key=lambda one: one[1])
    ]
    if expected and expected[0][0] is None:
        expected.pop(0)
    intervals = [Held(number, number + 1, state) for number, state in at.items() if state]
    found = list(timeline(intervals, sorted(snapshots), compare))
    assert [(one.state, one.first, one.last) for one in found] == [
        (state, numbers[0], numbers[-1]) for state, numbers in expected
    ]


def test_what_changed_is_told_across_a_gap() -> None:
    held = [Held(1, 3, "a"), Held(5, 7, "b"), Held(8, 9, "b")]
    found = [(one.state, one.changed) for one in timeline(held, [1, 2, 3, 4, 5, 6, 7, 8], compare)]
    assert found == [("a", ()), (None, ()), ("b", (Aspect.CONTENT,)), (None, ()), ("b", ())]
