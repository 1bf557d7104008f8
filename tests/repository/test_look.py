"""Reading where something is lost: what does not build on it is shown, and all when it is back."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from snapfs.errors import DamagedError, LogCutError, LogGapError
from snapfs.formats import objects
from snapfs.formats.records import Condemn, Delete, New
from snapfs.metadata.compare import differences
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.world import World
from snapfs.stores.base import Store
from tests.build import KEYS
from tests.jobs.checking import Scene, big, other_machine, scene
from tests.jobs.repairing import directories

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


# --- another process of this machine goes on with the heads meanwhile


class _Meanwhile:
    """A store in which something happens at the first get of one object."""

    def __init__(self, store: Store, name: str, happens: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._name = name
        self._happens = happens
        self.done = False

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._store, verb)

    async def get(self, name: str, **span: Any) -> bytes:
        if name == self._name and not self.done:
            self.done = True
            await self._happens()
        return await self._store.get(name, **span)


@asynccontextmanager
async def overtaken(
    made: Scene, directory: Path, records: range, at: str
) -> AsyncIterator[tuple[Repository, Repository]]:
    """Two processes of a new machine. While the first gets `at`, after its blocks are applied,
    these records come, and the second applies their heads."""
    hidden = {
        name: made.store.objects.pop(name)
        for name in (objects.record(Commit(number)) for number in records)
    }

    async def come() -> None:
        made.store.objects.update(hidden)
        await second.log.catch_up()

    store = _Meanwhile(made.store, at, come)
    place = directories(directory)
    async with (
        open_view(store, place, KEYS, World()) as first,  # type: ignore[arg-type]
        open_view(made.store, place, KEYS, World()) as second,
    ):
        yield first, second
    assert store.done


async def test_entries_come_no_further_than_blocks(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        lost, at = made.part(6, blocks=True), made.part(2, blocks=False)
        del made.store.objects[lost]
        async with overtaken(made, tmp_path / "2", range(5, 7), at) as (first, _):
            await first.look(None)
            assert 6 not in shown(first)


@pytest.mark.parametrize("strict", [True, False])
async def test_blocks_that_are_not_applied_yet_are_not_lost(strict: bool, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.web.commit({"/a": big(1), "/b": big(5), "/d": big(7), "/n": big(6)})
        at = made.part(4, blocks=False)
        async with overtaken(made, tmp_path / "2", range(5, 8), at) as (first, second):
            await (first.catch_up_all() if strict else first.look(None))
            assert first.lost is None
            await first.catch_up_all()
            assert differences(first.db, made.repository.db) == []
            assert differences(second.db, made.repository.db) == []


async def test_a_key_means_the_same_copy_whoever_applies_when(tmp_path: Path) -> None:
    """An entry that came before its blocks would refer to a copy that is being deleted."""
    async with scene(tmp_path) as made:
        pack = made.head(3).packs[0]
        publish = made.repository.publish
        await publish(Attempt(os.urandom(16)), lambda: Condemn((pack,), New(), (), ()), "x")
        await publish(Attempt(os.urandom(16)), lambda: Delete((pack,)), "x")
        await made.mail.commit({"/again": big(4)})
        await made.web.commit({"/a": big(1), "/b": big(5), "/d": big(7), "/n": big(4)})
        at = made.part(4, blocks=False)
        async with overtaken(made, tmp_path / "2", range(7, 11), at) as (first, _):
            await first.look(None)
            assert first.lost is None
            await first.catch_up_all()
            assert differences(first.db, made.repository.db) == []
