"""Removing what the snapshot does not have: all of that, and nothing else anywhere."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from snapfs.errors import UsageError
from snapfs.jobs.restore import Overwrite
from snapfs.model.finding import Trouble
from tests.build import Thing, file, folder
from tests.jobs.restoring import found, restorer, troubles, wanted
from tests.jobs.test_restore import as_root

THINGS: dict[str | bytes, Thing] = {
    "/": folder(0o755),
    "/a": file(b"a"),
    "/sub": folder(0o750),
    "/sub/b": file(b"b"),
    "/was-directory": file(b"a file now"),
    "/was-file/c": file(b"c"),
}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the target that has to be at the end as it was."""
    directory = tmp_path / "outside"
    (directory / "sub").mkdir(parents=True)
    (directory / "sub" / "kept").write_text("kept")
    before = found(directory)
    yield directory
    assert found(directory) == before


@pytest.fixture
def target(tmp_path: Path, outside: Path) -> Path:
    """A target with much that the snapshot does not have."""
    directory = tmp_path / "target"
    (directory / "sub" / "more" / "deep").mkdir(parents=True)
    (directory / "sub" / "more" / "deep" / "x").write_text("x")
    (directory / "sub" / "more" / "out").symlink_to(outside)
    (directory / "out").symlink_to(outside)
    (directory / "extra").write_text("extra")
    os.mkfifo(directory / "fifo")
    os.link(outside / "sub" / "kept", directory / "linked")
    (directory / "was-directory" / "full").mkdir(parents=True)
    (directory / "was-directory" / "full" / "y").write_text("y")
    (directory / "was-file").write_text("z")
    (directory / os.fsdecode(b"\xff")).mkdir()
    return directory


REMOVED = 11
"of these, what was-directory holds and what the snapshot does not name"


@pytest.mark.parametrize("overwrite", [Overwrite.ALWAYS, Overwrite.IF_CHANGED])
async def test_the_target_becomes_the_snapshot(
    tmp_path: Path, target: Path, overwrite: Overwrite
) -> None:
    before = found(target)
    links = (tmp_path / "outside" / "sub" / "kept").stat().st_nlink
    async with restorer(tmp_path, THINGS) as restoring:
        planned = await restoring.run(target, delete=True, dry_run=True, overwrite=overwrite)
        assert found(target) == before
        report = await restoring.run(target, delete=True, overwrite=overwrite)
    assert found(target) == wanted(THINGS)
    assert planned == report
    assert (report.removed, troubles(report)) == (REMOVED, {})
    assert (links, (tmp_path / "outside" / "sub" / "kept").stat().st_nlink) == (2, 1)


async def test_what_is_there_is_kept_where_nothing_may_be_replaced(
    tmp_path: Path, target: Path
) -> None:
    async with restorer(tmp_path, THINGS) as restoring:
        await restoring.run(target, delete=True, overwrite=Overwrite.NEVER)
    assert set(found(target)) == {
        b"", b"a", b"sub", b"sub/b", b"was-directory", b"was-directory/full",
        b"was-directory/full/y", b"was-file",
    }  # fmt: skip


async def test_each_path_is_told(tmp_path: Path, target: Path) -> None:
    told: list[tuple[str, bytes]] = []
    async with restorer(tmp_path, THINGS) as restoring:
        await restoring.run(target, delete=True, dry_run=True, watch=lambda *one: told.append(one))
    inner = {(str(action), path.removeprefix(os.fsencode(target))) for action, path in told}
    assert {path for action, path in inner if action == "remove"} >= {
        b"/extra", b"/out", b"/fifo", b"/sub/more", b"/sub/more/out", b"/was-directory/full/y",
        b"/\xff",
    }  # fmt: skip
    assert {path for action, path in inner if action == "write"} == {
        b"", b"/a", b"/sub", b"/sub/b", b"/was-directory", b"/was-file", b"/was-file/c",
    }  # fmt: skip
    assert len(told) == len(inner)


async def test_a_target_that_is_a_link(tmp_path: Path, target: Path) -> None:
    (tmp_path / "alias").symlink_to(target)
    async with restorer(tmp_path, THINGS) as restoring:
        await restoring.run(tmp_path / "alias", delete=True)
    assert found(target) == wanted(THINGS)


async def test_a_link_in_place_of_a_directory(tmp_path: Path, outside: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "sub").symlink_to(outside / "sub")
    async with restorer(tmp_path, THINGS) as restoring:
        await restoring.run(target, delete=True)
    assert found(target) == wanted(THINGS)


async def test_what_must_not_be_asked(tmp_path: Path, target: Path) -> None:
    before = found(target)
    things = {**THINGS, "/empty": folder()}
    async with restorer(tmp_path, things) as restoring:
        with pytest.raises(UsageError, match="system"):
            await restoring.run("/", delete=True, dry_run=True)
        with pytest.raises(UsageError, match="is none"):
            await restoring.run(target, delete=True, path=b"/sub/b")
        with pytest.raises(UsageError, match="is empty"):
            await restoring.run(target, delete=True, path=b"/empty")
        with pytest.raises(UsageError, match="belongs to the repository"):
            await restoring.run(restoring.repository.state.directory / "new", delete=True)
        spared = (os.fsencode(target),)
        with pytest.raises(UsageError, match="belongs to the repository"):
            await restoring.run(target / "sub", delete=True, spared=spared)
    assert found(target) == before


@pytest.mark.parametrize("place", ["extra-directory/deep/repository", "sub"])
async def test_the_repository_in_the_target_stays(tmp_path: Path, place: str) -> None:
    target = tmp_path / "target"
    spared = target / place
    spared.mkdir(parents=True)
    (spared / "packs").write_text("the only copy")
    (target / "other").mkdir()
    async with restorer(tmp_path, THINGS) as restoring:
        report = await restoring.run(target, delete=True, spared=(os.fsencode(spared),))
    assert (spared / "packs").read_text() == "the only copy"
    assert not (target / "other").exists()
    assert troubles(report) == {Trouble.REFUSED: 1}


@as_root
@pytest.mark.parametrize("bind", [True, False])
async def test_what_is_mounted_in_the_target_stays(tmp_path: Path, bind: bool) -> None:
    target = tmp_path / "target"
    place = target / "extra" / "mounted"
    place.mkdir(parents=True)
    (target / "extra" / "beside").write_text("goes")
    shown = tmp_path / "shown"
    shown.mkdir()
    how = ["--bind", shown] if bind else ["-t", "tmpfs", "none"]
    if await _run("mount", *how, place):
        pytest.skip("nothing can be mounted here")
    try:
        (place / "new").write_text("x")
        async with restorer(tmp_path, THINGS) as restoring:
            report = await restoring.run(target, delete=True)
        assert (place / "new").exists()
    finally:
        assert await _run("umount", place) == 0
    assert troubles(report) == {Trouble.REFUSED: 1}
    assert os.listdir(target / "extra") == ["mounted"]


async def test_a_directory_that_is_swapped_for_a_link(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone does that between the look at it and its opening."""
    target = tmp_path / "target"
    (target / "extra").mkdir(parents=True)
    original = os.open

    def swapping(path: str | bytes, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == b"extra" and not (target / "extra").is_symlink():
            (target / "extra").rmdir()
            (target / "extra").symlink_to(outside)
        return original(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    async with restorer(tmp_path, THINGS) as restoring:
        report = await restoring.run(target, delete=True)
    assert (target / "extra").is_symlink()
    assert troubles(report) == {Trouble.REFUSED: 1}


async def test_deep_directories(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    depth = 1500
    descriptor = os.open(target, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    try:
        async with restorer(tmp_path, THINGS) as restoring:
            report = await restoring.run(target, delete=True)
    finally:
        await _run("rm", "-rf", target / "d")
    assert report.removed == depth
    assert not stat.S_ISLNK(os.lstat(target).st_mode)


async def _run(*words: str | Path) -> int:
    done = await trio.run_process(words, check=False, capture_stderr=True)
    return done.returncode
