"""Which packs a prune drops, copies from and leaves alone."""

import pytest

from snapfs.model.pruning import MEBIBYTE, PackState, PrunePlan, PrunePolicy, plan_prune

SIZE = 16 * MEBIBYTE


def _plan(*used: float, size: int = SIZE, **policy: float) -> PrunePlan:
    packs = [PackState(number, b"%d" % number, size, part) for number, part in enumerate(used)]
    return plan_prune(packs, PrunePolicy(**policy))  # type: ignore[arg-type]


def _repacked(plan: PrunePlan) -> list[int]:
    return [pack.number for pack in plan.repack]


def test_what_nothing_needs_goes() -> None:
    plan = _plan(1, 0, 1, 0)
    assert [pack.number for pack in plan.drop] == [1, 3]
    assert (plan.kept_packs, plan.kept_bytes, plan.repack) == (2, 2 * SIZE, [])
    assert plan.freed_bytes == 2 * SIZE


@pytest.mark.parametrize(
    ("allowed", "expected"), [(1, []), (0.3, [2]), (0.2, [1, 2]), (0, [0, 1, 2])]
)
def test_those_that_waste_most_are_copied_until_little_is_wasted(
    allowed: float, expected: list[int]
) -> None:
    assert _repacked(_plan(0.9, 0.5, 0.3, 1, max_unused=allowed)) == expected


def test_a_part_of_a_byte_is_no_waste() -> None:
    """Shares of segments are sums of fractions: a pack that is full may seem to lack a part."""
    assert _repacked(_plan(1 - 1e-9, 0.99, 1 - 1e-12, max_unused=0)) == [1]


def test_no_more_is_copied_than_allowed() -> None:
    assert _repacked(_plan(0.1, 0.2, 0.3, max_unused=0, max_repack=2 * SIZE)) == [0, 1]
    assert _repacked(_plan(0.1, 0.2, max_unused=0, max_repack=SIZE - 1)) == []


def test_small_ones_are_merged_once_it_pays() -> None:
    small = 3 * MEBIBYTE
    assert _repacked(_plan(*[1] * 10, size=small)) == []
    assert _repacked(_plan(*[1] * 11, size=small)) == list(range(11))
    assert _repacked(_plan(*[1] * 11, size=small, max_repack=20 * MEBIBYTE)) == []


def test_damaged_ones_are_left_alone() -> None:
    plan = plan_prune([PackState(1, b"1", SIZE, 0.1, damaged=True)], PrunePolicy(max_unused=0))
    assert (plan.damaged, plan.kept_packs, plan.repack, plan.drop) == (1, 1, [], [])
