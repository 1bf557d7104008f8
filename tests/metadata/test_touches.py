"""Sums beside entries: whatever is added and taken away, and in whatever portions."""

import tempfile
from itertools import accumulate
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from snapfs.metadata import touches
from snapfs.metadata.replica import Replica
from snapfs.metadata.touches import Touches
from snapfs.model.identity import OPEN
from tests.metadata.past import quickly

_sizes = st.sampled_from([0, 1, 2**61, 2**62 - 1, 2**62, 2**62 + 1, 2**63 - 1])
_row = st.tuples(st.just(3), st.just(5), st.sampled_from([7, OPEN]), _sizes, st.integers(0, 2))
_portions = st.lists(st.lists(st.tuples(_row, st.sampled_from([1, -1])), max_size=4), max_size=5)


_MOST = ((3, 5, 7, 2**62 - 1, 2), 1)


@quickly
@given(portions=_portions)
@example(portions=[[_MOST], [_MOST], [_MOST]])
def test_sums_are_right_modulo_what_an_integer_holds(portions: list[list[tuple]]) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        Replica.open(Path(directory) / "replica.db").db as db,
    ):
        for portion in portions:
            made = Touches()
            for row, sign in portion:
                made.add([row], sign)
            with db.writing():
                made.write(db)
        rows = [(row, sign) for portion in portions for row, sign in portion]
        for record, way in ((5, 1), (7, -1)):
            ends = [(row, sign * way) for row, sign in rows if record in row[1:3]]
            held = db.row(
                f"SELECT sum(entries), {touches.halves('size')}, {touches.halves('linked')}"
                " FROM touched WHERE record = ? GROUP BY record",
                (record,),
            )
            entries, *halves = held or (0, 0, 0, 0, 0)
            size = sum(sign * row[3] for row, sign in ends if row[4])
            linked = sum(sign * row[3] for row, sign in ends if row[4] == 2)
            assert entries == sum(sign for _, sign in ends)
            assert touches.total(*halves[:2]) == size % 2**63
            assert touches.growth(*halves[2:]) == touches.residue(linked)


@given(numbers=st.lists(st.integers(-(2**66), 2**66), max_size=9))
def test_residues_add_up_to_the_residue_of_the_sum(numbers: list[int]) -> None:
    held = [touches.residue(number) for number in numbers]
    assert all(-(2**62) <= number < 2**62 for number in held)
    for exact, kept in zip(accumulate(numbers), accumulate(held), strict=True):
        assert touches.residue(exact) == touches.residue(kept)
