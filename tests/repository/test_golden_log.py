"""Recorded logs are read for ever: their replay gives the same trees with the same numbers."""

from pathlib import Path

import pytest

from tests.build import built
from tests.repository.golden_log import GOLDEN, dump, load


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.tar")))
async def test_a_recorded_log_gives_what_it_gave(name: str, tmp_path: Path) -> None:
    store, expected = load(name)
    async with built(store, tmp_path) as repository:
        found = await dump(repository)
    assert found == expected
    assert len(expected["snapshots"]) > 1


def test_there_is_a_recorded_log() -> None:
    assert list(GOLDEN.glob("*.tar"))
