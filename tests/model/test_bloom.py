"""The filter never denies what it holds, and seldom says that it may hold what it does not."""

import random

from snapfs.model.bloom import BloomFilter


def _hash(chance: random.Random) -> int:
    return chance.getrandbits(64) - 2**63


def test_it_holds_what_was_added_and_little_else() -> None:
    chance = random.Random(1)
    held = [_hash(chance) for _ in range(200_000)]
    found = BloomFilter()
    assert not any(found.may_hold(_hash(chance)) for _ in range(1000))
    for each in held:
        found.add(each)
    assert all(map(found.may_hold, held))
    # 0.03 % by the formula: (1 - e^(-3 · 200,000 / 2^23))^3
    assert sum(found.may_hold(_hash(chance)) for _ in range(100_000)) < 100
