"""Repair of this machine's databases: moved aside, built again, and never while others use them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from snapfs.errors import BusyError, ViewDamagedError
from snapfs.formats import objects
from snapfs.jobs.repair import view
from snapfs.model.identity import Commit
from snapfs.repository.repository import open_view
from snapfs.repository.state import State
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS
from tests.jobs.checking import assert_sound, found, scene
from tests.jobs.ingesting import machine
from tests.jobs.repairing import (
    DRY,
    corrupt,
    directories,
    quarantined,
    repaired,
    without_copies,
)
from tests.manifest import manifest_of_tree


@asynccontextmanager
async def left_alone(directory: Path) -> AsyncIterator[tuple[MemoryStore, State]]:
    """A repository, and the state of a machine on which nothing runs."""
    async with scene(directory) as made:
        store = made.store
    yield store, State(directories(directory), KEYS.repository)


def _change(sql: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        connection = apsw.Connection(str(path))
        connection.execute(sql)
        connection.close()

    return damage


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "garbage": _garbage,
    "emptied tables": _change("DELETE FROM entry"),
    "a wrong row": _change("UPDATE node SET size = size + 1 WHERE number = 3"),
    "a page": corrupt,
    "another schema": _change("PRAGMA user_version = 77"),
    "of another repository": _change("UPDATE fact SET value = 'ff' WHERE name = 'repository'"),
}


@pytest.mark.parametrize("case", DAMAGE)
async def test_a_damaged_view(case: str, tmp_path: Path) -> None:
    async with left_alone(tmp_path) as (store, state):
        DAMAGE[case](state.replica)
        damaged = state.replica.read_bytes()
        objects_before = dict(store.objects)
        report = await repaired(store, tmp_path)
        (name,) = quarantined(tmp_path)
        assert report.set_aside == (name,)
        assert report.sound
        assert (state.directory / name).read_bytes() == damaged
        assert store.objects == objects_before
        async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
            await assert_sound(repository)
        assert not list(state.directory.glob("repair-*"))
        again = await repaired(store, tmp_path)
        assert (again.set_aside, again.sound) == ((), True)


async def test_a_dry_run(tmp_path: Path) -> None:
    async with left_alone(tmp_path) as (store, state):
        for damage in (DAMAGE["a wrong row"], _garbage):
            damage(state.replica)
            before = state.replica.read_bytes()
            report = await repaired(store, tmp_path, DRY)
            assert report.set_aside == (state.replica.name,)
            assert not report.sound
            assert state.replica.read_bytes() == before
            assert quarantined(tmp_path) == []


async def test_not_while_somebody_has_it_open(tmp_path: Path) -> None:
    async with left_alone(tmp_path) as (store, state):
        DAMAGE["a wrong row"](state.replica)
        async with open_view(store, directories(tmp_path), KEYS, World()):
            with pytest.raises(BusyError):
                await repaired(store, tmp_path)
            assert quarantined(tmp_path) == []
        assert (await repaired(store, tmp_path)).sound


async def test_with_a_lost_record(tmp_path: Path) -> None:
    """The new view has what comes before it. The old one is set aside, whatever it may be worth."""
    async with left_alone(tmp_path) as (store, state):
        del store.objects[objects.record(Commit(4))]
        without_copies(tmp_path)
        _garbage(state.replica)
        report = await repaired(store, tmp_path)
        assert not report.sound
        (name,) = quarantined(tmp_path)
        assert (state.directory / name).read_bytes().startswith(b"no database")
        async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
            assert repository.replica.tip().number == 3


async def test_with_a_lost_part(tmp_path: Path) -> None:
    """The new view has what comes before the part, and follows when it is mended."""
    async with scene(tmp_path) as made:
        store, part = made.store, made.part(4, blocks=True)
    _garbage(State(directories(tmp_path), KEYS.repository).replica)
    del store.objects[part]
    without_copies(tmp_path)
    report = await repaired(store, tmp_path)
    assert (report.parts, report.sound) == (1, True)
    assert len(report.set_aside) == 1


@pytest.mark.parametrize("at", [0, 1, 2, 3])
async def test_an_end_between_two_renames(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is the old one, the new one, or none: whoever comes next finds a sound view."""
    async with left_alone(tmp_path) as (store, state):
        DAMAGE["a wrong row"](state.replica)
        # A write-ahead log that was left by a process that ended in the middle.
        for suffix in ("-wal", "-shm"):
            state.replica.with_name(state.replica.name + suffix).write_bytes(b"left over" * 500)
        rename, done = Path.rename, 0

        def failing(path: Path, target: Path) -> Path:
            nonlocal done
            done += 1
            if done > at:
                raise OSError(5, "power failed")
            return rename(path, target)

        async def replace() -> None:
            await view.rebuild_view(store, KEYS, World(), state)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", failing)
            with pytest.raises(Exception, match="power failed"):
                await replace()
        async with open_view(store, directories(tmp_path), KEYS, World()) as repository:
            await repository.catch_up_all()
            if at:
                await assert_sound(repository)
        report = await repaired(store, tmp_path)
        assert report.sound
        assert report.found is not None
        assert bool(found(report.found)) == (at == 0)


async def test_names_of_the_same_second(tmp_path: Path) -> None:
    world = World(now_ns=lambda: 10**18)
    names = []
    for data in (b"first", b"second"):
        (tmp_path / "x.db").write_bytes(data)
        (tmp_path / "x.db-wal").write_bytes(data)
        names.append(view.set_aside(tmp_path / "x.db", world))
    assert names == ["x.db.quarantine-20010909T014640Z", "x.db.quarantine-20010909T014640Z-2"]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"first", b"second"]
    assert (tmp_path / (names[1] + "-wal")).read_bytes() == b"second"


@pytest.mark.parametrize("damage", [_garbage, corrupt, _change("PRAGMA user_version = 9")])
async def test_damaged_confirmations(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """They are moved aside; the next ingest reads everything once and stores nothing."""
    store, tree = MemoryStore(), tmp_path / "tree"
    tree.mkdir()
    for number in range(300):
        (tree / f"{number:0100}").write_bytes(b"%d" % number)
    async with machine(store, tmp_path, tree) as host:
        await host.capture()
        local = host.repository.state.local
    damage(local)
    report = await repaired(store, tmp_path)
    assert report.set_aside == tuple(quarantined(tmp_path))
    assert [name.startswith("local.db.quarantine-") for name in report.set_aside] == [True]
    async with machine(store, tmp_path, tree) as host:
        again = await host.capture()
        assert again.counts.bytes_read > 0
        assert again.counts.bytes_new == 0
        assert await host.stored(again.snapshot) == manifest_of_tree(tree)


async def test_opening_says_what_to_do(tmp_path: Path) -> None:
    async with left_alone(tmp_path) as (store, state):
        _garbage(state.replica)
        with pytest.raises(ViewDamagedError, match="snapfs repair"):
            async with open_view(store, directories(tmp_path), KEYS, World()):
                pass
