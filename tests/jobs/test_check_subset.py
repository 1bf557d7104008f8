"""Which packs are read: what the words mean, and that a share is one."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import UsageError
from snapfs.jobs.check.subset import (
    EVERYTHING,
    Amount,
    Candidate,
    Nth,
    Share,
    Subset,
    choose,
    parse_subset,
)

PACKS = st.lists(
    st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, 2**26)), max_size=40
).map(lambda rows: [Candidate(at, name, size) for at, (name, size) in enumerate(rows, start=1)])


@pytest.mark.parametrize(
    ("text", "subset"),
    [
        ("5%", Share(5.0)), ("0.5 %", Share(0.5)), ("100%", EVERYTHING), ("2G", Amount(2 << 30)),
        ("700", Amount(700)), ("1/7", Nth(1, 7)), ("7 / 7", Nth(7, 7)), ("1/1", Nth(1, 1)),
    ],
)  # fmt: skip
def test_what_is_understood(text: str, subset: Subset) -> None:
    assert parse_subset(text) == subset


@pytest.mark.parametrize(
    "text", ["", "0%", "101%", "5 percent", "0/3", "4/3", "1/0", "-1", "0", "G", "1/2/3", "٣%"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_subset(text)


@given(PACKS, st.integers(1, 9), st.integers())
def test_parts_divide_all(packs: list[Candidate], parts: int, seed: int) -> None:
    chosen = [choose(packs, Nth(part, parts), random.Random(seed)) for part in range(1, parts + 1)]
    assert sorted(number for part in chosen for number in part) == [each.number for each in packs]


@given(PACKS, st.integers(1, 100), st.integers())
def test_a_share(packs: list[Candidate], percent: int, seed: int) -> None:
    chosen = choose(packs, Share(percent), random.Random(seed))
    assert len(chosen) == len(set(chosen))
    assert len(chosen) >= Fraction(percent, 100) * len(packs)
    assert len(chosen) < Fraction(percent, 100) * len(packs) + 1


@given(PACKS, st.integers(1, 2**28), st.integers())
def test_an_amount(packs: list[Candidate], size: int, seed: int) -> None:
    sizes = {each.number: each.size for each in packs}
    chosen = choose(packs, Amount(size), random.Random(seed))
    total = sum(sizes[number] for number in chosen)
    assert total >= min(size, sum(sizes.values()))
    assert total < size + max(sizes.values(), default=1)


def test_a_share_is_another_each_time() -> None:
    packs = [Candidate(at, bytes(16), 1) for at in range(1000)]
    assert choose(packs, Share(10), random.Random(1)) != choose(packs, Share(10), random.Random(2))
