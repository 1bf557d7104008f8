"""When a base is made: what it costs stands against what it spares."""

from dataclasses import replace

import pytest

from snapfs.model.compaction import DEAD, PARTS, ROWS, SHARE, Growth

LITTLE = Growth(parts=PARTS, part_bytes=50_000, base_bytes=100_000, entries=ROWS, dead=0)


@pytest.mark.parametrize(
    "growth",
    [
        replace(LITTLE, part_bytes=50_001),
        replace(LITTLE, part_bytes=1, base_bytes=0),
        replace(LITTLE, dead=2_501),
    ],
)
def test_much_that_came_and_much_that_is_dead_pays(growth: Growth) -> None:
    assert (SHARE, ROWS, DEAD) == (0.5, 10_000, 0.25)
    assert growth.pays


@pytest.mark.parametrize(
    "growth",
    [
        LITTLE,
        replace(LITTLE, parts=PARTS - 1, part_bytes=10**9),
        replace(LITTLE, dead=2_500),
        replace(LITTLE, entries=ROWS - 1, dead=ROWS - 1),
        Growth(0, 0, 0, 0, 0),
    ],
)
def test_little_does_not(growth: Growth) -> None:
    assert not growth.pays
