"""Reading where something is lost: what does not build on it is shown, and all when it is back."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import DamagedError, LogCutError, LogGapError
from snapfs.formats import objects
from snapfs.metadata.compare import differences
from snapfs.model.identity import Commit
from snapfs.repository.repository import Repository
from tests.jobs.checking import Scene, other_machine, scene

CASES: dict[str, tuple[Callable[[Scene], str], type[Exception], set[int], set[int]]] = {
    # what is lost; what strict catching up raises; snapshots that are known; those that are shown
    "entries": (
        lambda made: made.part(4, blocks=False), DamagedError, {2, 3, 4, 5, 6}, {2, 3, 5},
    ),
    "first entries": (
        lambda made: made.part(2, blocks=False), DamagedError, {2, 3, 4, 5, 6}, {3, 5},
    ),
    "blocks": (
        lambda made: made.part(4, blocks=True), DamagedError, {2, 3, 4, 5, 6}, {2, 3},
    ),
    "a record": (lambda made: objects.record(Commit(4)), LogGapError, {2, 3}, {2, 3}),
    "the first record": (lambda made: objects.record(Commit(1)), LogGapError, set(), set()),
}  # fmt: skip


def shown(repository: Repository) -> set[int]:
    return {
        standing.number
        for source in repository.snapshots.sources()
        for standing in repository.snapshots.standings(source.number)
        if standing.shown
    }


@pytest.mark.parametrize("damage", [True, False])
@pytest.mark.parametrize("case", CASES)
async def test_what_does_not_build_on_it_is_there(
    case: str, damage: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost, error, known, readable = CASES[case]
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        name = lost(made)
        kept = made.store.objects[name]
        if damage:
            made.flip(name, 90)
        else:
            del made.store.objects[name]
        with pytest.raises(error):
            await other.catch_up_all()
        for _ in range(2):
            await other.look(None)
            assert isinstance(other.lost, error)
            assert {one.number for one in other.snapshots.stream()} == known
            assert shown(other) == readable
        warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert len(warnings) == 1, "said once, and not at each look"
        assert "cannot be shown" in warnings[0].message
        with pytest.raises(error):
            await other.catch_up_all()

        made.store.objects[name] = kept
        await other.look(None)
        assert other.lost is None
        await made.repository.catch_up_all()
        assert shown(other) == {2, 3, 4, 5, 6}
        assert differences(other.db, made.repository.db) == []


async def test_sources_that_are_not_asked_for_do_not_matter(tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        del made.store.objects[made.part(4, blocks=False)]
        await other.look([2])
        assert other.lost is None
        assert shown(other) == {3, 5}
        await other.look([1])
        assert isinstance(other.lost, DamagedError)
        assert shown(other) == {2, 3, 5}


async def test_a_log_that_was_cut_or_replaced_is_no_loss_to_read_around(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        del made.store.objects[objects.record(Commit(6))]
        with pytest.raises(LogCutError):
            await made.repository.look(None)
