"""The ring: runs that are out never touch each other, and room that is there is given out."""

from hypothesis import given
from hypothesis import strategies as st

from snapfs.jobs.ingest.ring import Ring

SIZE = 100
_STEPS = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 5)), max_size=200)


@given(_STEPS)
def test_runs_do_not_overlap(steps: list[tuple[int, int]]) -> None:
    ring = Ring(SIZE)
    out: dict[int, int] = {}
    for length, which in steps:
        offset = ring.take(length)
        if offset is not None:
            taken = {byte for at, each in out.items() for byte in range(at, at + each)}
            assert taken.isdisjoint(range(offset, offset + max(length, 1)))
            assert offset + length <= SIZE
            out[offset] = max(length, 1)
        elif out:
            back = list(out)[which % len(out)]
            ring.give_back(back)
            del out[back]
        else:
            raise AssertionError("an empty ring has room for all")


def test_what_comes_back_in_turn_makes_room_in_turn() -> None:
    ring = Ring(SIZE)
    assert [ring.take(40), ring.take(40), ring.take(40)] == [0, 40, None]
    ring.give_back(40)
    assert ring.take(40) is None  # the oldest is still out
    ring.give_back(0)
    assert [ring.take(20), ring.take(60)] == [80, 0]
