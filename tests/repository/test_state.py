"""This machine's directories: private, and pinned to the repository that was there."""

import stat
from pathlib import Path

import pytest

from snapfs.errors import LocalError, ViewDamagedError, WrongRepositoryError
from snapfs.formats.slots import Derivation, Recipe, SlotKind
from snapfs.model.identity import RepositoryId
from snapfs.repository.repository import open_view
from snapfs.repository.state import (
    Directories,
    Place,
    State,
    check_place,
    known_place,
    make_private,
    remember_place,
)
from snapfs.repository.viewlock import view_held
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, built

ONE, OTHER = RepositoryId(b"1" * 16), RepositoryId(b"2" * 16)


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    return Directories(tmp_path / "a" / "state", tmp_path / "a" / "cache")


def test_directories_that_are_made_are_for_this_user_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "a" / "b" / "c")
    make_private(tmp_path / "a" / "b" / "c")
    modes = [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in (".", "a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o700, 0o700, 0o700]


def test_a_place_is_pinned_to_its_repository(directories: Directories) -> None:
    assert check_place(directories, "s3://b/x", ONE) is None
    remember_place(directories, "s3://b/x", Place(ONE, "slot"))
    assert check_place(directories, "s3://b/x", ONE) == Place(ONE, "slot")
    assert check_place(directories, "s3://b/y", OTHER) is None
    with pytest.raises(WrongRepositoryError, match="32323232"):
        check_place(directories, "s3://b/x", OTHER)
    remember_place(directories, "s3://b/x", Place(ONE, "another"))
    assert known_place(directories, "s3://b/x") == Place(ONE, "another")


def test_a_note_that_cannot_be_read_is_none(directories: Directories) -> None:
    remember_place(directories, "here", Place(ONE, None))
    (note,) = (directories.state / "places").iterdir()
    for text in ("", "[]", "{}", '{"repository": 5}', '{"repository": "xy"}'):
        note.write_text(text)
        assert known_place(directories, "here") is None
    remember_place(directories, "here", Place(OTHER, None))
    assert known_place(directories, "here") == Place(OTHER, None)


def test_a_recipe_that_no_slot_may_have_is_none(directories: Directories) -> None:
    recipe = Recipe(SlotKind.PASSPHRASE, Derivation(), "AAAAAAAAAAAAAAAAAAAAAA==")
    remember_place(directories, "here", Place(ONE, "slot", recipe))
    assert known_place(directories, "here") == Place(ONE, "slot", recipe)
    (note,) = (directories.state / "places").iterdir()
    sound = note.read_text()
    for old, new in (
        ('"memory": 65536', '"memory": 655360000'), ("AAAA==", "AA=="), ("AAAA==", "AAAA"),
        ('"lanes": 4', '"lanes": "many"'), ('"kind"', '"sort"'),
    ):  # fmt: skip
        assert old in sound
        note.write_text(sound.replace(old, new))
        assert known_place(directories, "here") == Place(ONE, "slot", None)


def test_a_state_that_cannot_be_made_is_a_local_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    directories = Directories(tmp_path / "file" / "state", tmp_path / "cache")
    with pytest.raises(LocalError) as raised:
        State(directories, ONE)
    assert "SNAPFS_STATE_DIR" in raised.value.hint
    with pytest.raises(LocalError):
        remember_place(directories, "here", Place(ONE, None))


async def test_a_replica_of_another_repository_is_not_used(tmp_path: Path) -> None:
    async with built(MemoryStore(), tmp_path) as repository:
        path = repository.state.replica
        repository.replica.db.execute("UPDATE fact SET value = 'ff' WHERE name = 'repository'")
    directories = Directories(tmp_path / "state", tmp_path / "cache")
    with pytest.raises(ViewDamagedError, match="another repository") as raised:
        async with open_view(MemoryStore(), directories, KEYS, World()):
            raise AssertionError("opened")
    assert str(path) in raised.value.what
    assert "snapfs repair" in raised.value.hint


async def test_a_garbage_replica_says_what_to_do_and_is_built_again(tmp_path: Path) -> None:
    store = MemoryStore()
    async with built(store, tmp_path) as repository:
        path = repository.state.replica
    path.write_bytes(b"garbage" * 1000)
    for rest in ("-wal", "-shm"):
        path.with_name(path.name + rest).unlink(missing_ok=True)
    with pytest.raises(ViewDamagedError) as raised:
        async with built(store, tmp_path):
            raise AssertionError("opened")
    assert "snapfs repair" in raised.value.hint
    path.unlink()
    async with built(store, tmp_path) as repository:
        assert repository.replica.tip().number == 1


async def test_a_program_with_other_tables_has_a_view_of_its_own(
    directories: Directories, tmp_path: Path
) -> None:
    """An older program may go on with its view; once it has ended that is removed."""
    store = MemoryStore()
    async with built(store, tmp_path / "a"):
        pass
    state = State(directories, KEYS.repository)
    older = [state.directory / f"replica-0.db{suffix}" for suffix in ("", "-wal", "-shm")]
    kept = [state.directory / name for name in ("replica-999.db", "replica-0.db.quarantine-x")]
    for path in (*older, *kept):
        path.write_bytes(b"tables that nobody knows")
    async with view_held(state), open_view(store, directories, KEYS, World()) as repository:
        await repository.log.catch_up()
        assert all(path.exists() for path in older)
    async with open_view(store, directories, KEYS, World()):
        assert not any(path.exists() for path in older)
    assert all(path.exists() for path in kept)
