"""What only a directory has: the order of system calls, and what each of them can fail with."""

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from snapfs.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from snapfs.stores.durable import TEMPORARY
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore

Call = tuple[str, str]


@pytest.fixture
async def store(tmp_path: Path) -> ThreadedStore:
    return ThreadedStore(Files.create(tmp_path / "repository"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[Call]:
    """The calls that matter, as they come, with what they were for below the root."""
    seen: list[Call] = []

    def short(path: str) -> str:
        name = os.path.relpath(path, root)
        return "new" if TEMPORARY in name else name

    def record(name: str, which: int) -> None:
        real: Callable[..., object] = getattr(os, name)

        def recorded(*arguments: object, **options: object) -> object:
            result = real(*arguments, **options)
            what = arguments[which]
            path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
            seen.append((name, short(path)))
            return result

        monkeypatch.setattr(os, name, recorded)

    for name, which in {"mkdir": 0, "write": 0, "fsync": 0, "link": 1, "rename": 1}.items():
        record(name, which)
    return seen


def breaks(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, at: int = 1
) -> Callable[[], int]:
    """Let the call fail at its n-th use, before any effect. Gives how often it was used."""
    real: Callable[..., object] = getattr(os, name)
    used = 0

    def broken(*arguments: object, **options: object) -> object:
        nonlocal used
        used += 1
        if used == at:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, broken)
    return lambda: used


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def modes_in(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}


@pytest.mark.parametrize(("if_absent", "naming"), [(True, "link"), (False, "rename")])
async def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_caller(
    store: ThreadedStore, calls: list[Call], if_absent: bool, naming: str
) -> None:
    calls.clear()
    await store.put("packs/3f/a", b"content", if_absent=if_absent)
    assert calls == [
        ("mkdir", "packs"),
        ("fsync", "."),
        ("mkdir", "packs/3f"),
        ("fsync", "packs"),
        ("write", "new"),
        ("fsync", "new"),
        (naming, "packs/3f/a"),
        ("fsync", "packs/3f"),
    ]
    calls.clear()
    await store.put("packs/3f/b", b"content", if_absent=if_absent)
    assert [name for name, _ in calls] == ["write", "fsync", naming, "fsync"]


async def test_folders_that_another_process_made_are_brought_to_the_disk_too(
    store: ThreadedStore, root: Path, calls: list[Call]
) -> None:
    (root / "log").mkdir()
    calls.clear()
    await store.put("log/1", b"x")
    assert calls[0] == ("fsync", ".")


async def test_a_loser_makes_the_winners_name_durable(
    store: ThreadedStore, calls: list[Call]
) -> None:
    await store.put("log/1", b"x")
    calls.clear()
    with pytest.raises(ObjectExistsError):
        await store.put("log/1", b"y", if_absent=True)
    assert calls == [("write", "new"), ("fsync", "new"), ("fsync", "log")]


# fsync: 1 the root and 2 `packs` for the new folders, 3 the file, 4 the object's folder.
BEFORE_THE_NAME = [
    ("mkdir", 1),
    ("mkdir", 2),
    ("fsync", 1),
    ("fsync", 2),
    ("write", 1),
    ("fsync", 3),
]


@pytest.mark.parametrize(
    ("call", "at", "if_absent"),
    [(*step, how) for step in BEFORE_THE_NAME for how in (True, False)]
    + [("link", 1, True), ("rename", 1, False)],
)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EIO, StoreError),
        (errno.ESTALE, StoreUnavailableError),
    ],
)
async def test_a_failure_before_the_name_leaves_nothing(
    store: ThreadedStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    at: int,
    if_absent: bool,
    code: int,
    expected: type[StoreError],
) -> None:
    with monkeypatch.context() as broken:
        used = breaks(broken, call, code, at=at)
        with pytest.raises(StoreError) as caught:
            await store.put("packs/3f/a", b"content", if_absent=if_absent)
        assert used() >= at
    assert type(caught.value) is expected
    assert str(root) in caught.value.what
    assert files(root) == []
    await store.put("packs/3f/a", b"again", if_absent=if_absent)
    assert await store.get("packs/3f/a") == b"again"


@pytest.mark.parametrize("if_absent", [True, False])
async def test_a_failure_after_the_name_is_told_and_the_object_is_whole(
    store: ThreadedStore, root: Path, monkeypatch: pytest.MonkeyPatch, if_absent: bool
) -> None:
    breaks(monkeypatch, "fsync", errno.EIO, at=4)
    with pytest.raises(StoreError):
        await store.put("packs/3f/a", b"content", if_absent=if_absent)
    assert await store.get("packs/3f/a") == b"content"
    assert files(root) == [root / "packs/3f/a"]


async def test_a_short_write_is_continued(
    store: ThreadedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    await store.put("a", bytes(range(100)))
    assert await store.get("a") == bytes(range(100))


async def test_a_file_system_without_fsync_of_folders_is_good_enough(
    store: ThreadedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, "fsync", errno.EINVAL, at=2)
    await store.put("a", b"x")
    assert await store.get("a") == b"x"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
async def test_without_hard_links_an_exclusive_rename_does(
    store: ThreadedStore, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    await store.put("log/1", b"first", if_absent=True)
    with pytest.raises(ObjectExistsError):
        await store.put("log/1", b"second", if_absent=True)
    assert await store.get("log/1") == b"first"
    assert files(root) == [root / "log/1"]


async def test_with_neither_links_nor_exclusive_rename_it_says_so(
    store: ThreadedStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, "link", errno.EPERM)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    with pytest.raises(StoreError, match="neither hard links nor exclusive renaming"):
        await store.put("log/1", b"x", if_absent=True)
    assert files(root) == []


async def test_a_read_that_is_cut_short_is_told(
    store: ThreadedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("a", b"content")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, at: real(fd, length, at)[:3])
    for length in (None, 5):
        with pytest.raises(StoreUnavailableError, match="read 3 of"):
            await store.get("a", length=length)


async def test_files_and_folders_are_their_users_alone(store: ThreadedStore, root: Path) -> None:
    await store.put("packs/3f/a", b"x", if_absent=True)
    await store.put("packs/3f/b", b"x")
    assert modes_in(root) == {
        "repository": 0o700,
        "packs": 0o700,
        "3f": 0o700,
        "a": 0o600,
        "b": 0o600,
    }


async def test_a_missing_root_is_never_an_empty_store(tmp_path: Path) -> None:
    store = ThreadedStore(Files(tmp_path / "absent"))
    for verb in (
        lambda: store.get("a/b"),
        lambda: store.put("a", b""),
        lambda: store.put("a/b", b"", if_absent=True),
        lambda: store.delete("a"),
        lambda: anext(store.list("a/"), None),
    ):
        with pytest.raises(StoreError, match="no such directory") as caught:
            await verb()
        assert not isinstance(caught.value, ObjectNotFoundError)
    assert "absent" not in os.listdir(tmp_path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
async def test_what_is_forbidden_names_the_path_and_a_next_step(
    store: ThreadedStore, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    breaks(monkeypatch, "mkdir", code)
    with pytest.raises(StoreError) as caught:
        await store.put("packs/a", b"x")
    assert f"{root}/packs/a" in caught.value.what
    assert caught.value.hint


async def test_create_makes_parents_and_keeps_what_is_there(tmp_path: Path) -> None:
    first = ThreadedStore(Files.create(tmp_path / "a/b/c"))
    await first.put("x", b"1")
    again = ThreadedStore(Files.create(tmp_path / "a/b/c"))
    assert await again.get("x") == b"1"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="not a directory"):
        ThreadedStore(Files.create(tmp_path / "file"))


async def test_a_listing_shows_nothing_but_objects(store: ThreadedStore, root: Path) -> None:
    await store.put("packs/a", b"x")
    (root / "packs" / f"{TEMPORARY}left").write_bytes(b"half")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "x").write_bytes(b"")
    (root / "é").write_bytes(b"")
    assert [item.name async for item in store.list("")] == ["packs/a"]


async def test_a_listing_opens_only_the_folders_that_it_needs(
    store: ThreadedStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("log/1", "packs/3e/a", "packs/3f/a", "packs/40/a"):
        await store.put(name, b"")
    opened: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        opened.append(os.path.relpath(path, root))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = [item.name async for item in store.list("packs/", after="packs/3f/")]
    assert found == ["packs/3f/a", "packs/40/a"]
    assert opened == ["packs", "packs/3f", "packs/40"]
    opened.clear()
    assert [item.name async for item in store.list("packs/3f/")] == ["packs/3f/a"]
    assert opened == ["packs/3f"]


async def test_sweeping_takes_old_temporaries_only(store: ThreadedStore, root: Path) -> None:
    await store.put("packs/a", b"x")
    for name, time in (("old", 1_000), ("young", 3_000)):
        path = root / "packs" / f"{TEMPORARY}{name}"
        path.write_bytes(b"half")
        os.utime(path, (time, time))
    os.utime(root / "packs/a", (1_000, 1_000))
    assert await store.sweep(before=2_000) == 1
    assert {path.name for path in files(root)} == {"a", f"{TEMPORARY}young"}


async def test_a_cancelled_caller_does_not_wait_for_the_disk(
    store: ThreadedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released = threading.Event(), threading.Event()
    real = os.fsync

    def hangs(fd: int) -> None:
        entered.set()
        released.wait()
        real(fd)

    monkeypatch.setattr(os, "fsync", hangs)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.put, "a", b"x")
            await trio.to_thread.run_sync(entered.wait)
            nursery.cancel_scope.cancel()
    finally:
        released.set()
