"""What is in the target already: what is replaced, what is kept, and what a dry run says."""

import os
import stat
from pathlib import Path

import pytest

from snapfs.jobs.restore import Overwrite
from snapfs.model.finding import Trouble
from tests.build import Builder, Thing, file, folder, link
from tests.jobs.restoring import found, restorer, temporaries, troubles, wanted

pytestmark = pytest.mark.usefixtures("making")
DAY = 86_400 * 10**9
TIME = 1_600_000_000 * 10**9
TWICE = file(b"twice", mtime_ns=TIME)

SNAPSHOT: dict[str | bytes, Thing] = {
    "/": folder(0o755, mtime_ns=TIME),
    "/older": file(b"snapshot", mtime_ns=TIME),
    "/newer": file(b"snapshot", mtime_ns=TIME),
    "/alike": file(b"snapshot", mtime_ns=TIME),
    "/missing": file(b"snapshot", mtime_ns=TIME),
    "/sub": folder(0o750, mtime_ns=TIME),
    "/sub/deep": file(b"snapshot", mtime_ns=TIME),
    "/one": TWICE,
    "/two": TWICE,
}


def put(path: Path, content: str, time_ns: int, mode: int = 0o644) -> None:
    path.write_text(content)
    path.chmod(mode)
    os.utime(path, ns=(time_ns, time_ns))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target in use."""
    directory = tmp_path / "target"
    (directory / "sub").mkdir(parents=True)
    put(directory / "older", "mine", TIME - DAY)
    put(directory / "newer", "mine", TIME + DAY)
    put(directory / "alike", "the same", TIME)  # as long, and of the same time
    put(directory / "sub" / "deep", "mine", TIME + DAY)
    put(directory / "other", "mine", TIME)
    (directory / "sub").chmod(0o711)
    return directory


def contents(target: Path) -> dict[str, str]:
    names = ("older", "newer", "alike", "missing", "sub/deep", "other")
    return {name: (target / name).read_text() for name in names if (target / name).exists()}


@pytest.mark.parametrize(
    ("overwrite", "mine"),
    [
        (Overwrite.ALWAYS, set()),
        (Overwrite.NEVER, {"older", "newer", "alike", "sub/deep"}),
        (Overwrite.IF_CHANGED, {"alike"}),
        (Overwrite.IF_NEWER, {"newer", "alike", "sub/deep"}),
    ],
)
async def test_what_is_replaced(
    tmp_path: Path, target: Path, overwrite: Overwrite, mine: set[str]
) -> None:
    before = contents(target)
    async with restorer(tmp_path, SNAPSHOT) as restoring:
        planned = await restoring.run(target, overwrite=overwrite, dry_run=True)
        assert contents(target) == before
        report = await restoring.run(target, overwrite=overwrite)
    seen = contents(target)
    assert planned == report
    assert seen.pop("other") == "mine"
    assert {name for name, content in seen.items() if content != "snapshot"} == mine
    assert len(seen) == 5
    kept_directories = 1 if overwrite is Overwrite.NEVER else 0  # the target is shared with other
    assert report.skipped == len(mine) + kept_directories
    assert (report.files, report.hard_links) == (5 - len(mine) + 1, 1)
    assert stat.S_IMODE((target / "sub").stat().st_mode) == (
        0o711 if overwrite is Overwrite.NEVER else 0o750
    )
    assert (target / "one").stat().st_ino == (target / "two").stat().st_ino


async def test_a_dry_run_foresees_directories_that_stand_in_the_way(tmp_path: Path) -> None:
    """An empty one is replaced; one with something in it is not, and nor is it without --delete."""
    target = tmp_path / "target"
    (target / "full" / "inner").mkdir(parents=True)
    (target / "empty").mkdir()
    things = {"/full": file(b"f"), "/empty": file(b"e"), "/one": TWICE, "/two": TWICE}
    (target / "one" / "inner").mkdir(parents=True)
    async with restorer(tmp_path, things) as restoring:
        planned = await restoring.run(target, dry_run=True)
        assert {finding.path for finding in planned.findings} == {
            bytes(target / "full"), bytes(target / "one")
        }  # fmt: skip
        whole = await restoring.run(target, dry_run=True, delete=True)
        assert whole.findings == ()
        assert await restoring.run(target) == planned
        assert await restoring.run(target, delete=True) == whole


@pytest.mark.parametrize("change", ["mode", "owner", "xattr", "extra name", "time", "kind"])
async def test_any_difference_counts_as_a_change(tmp_path: Path, change: str) -> None:
    target = tmp_path / "target"
    things = {"/a": file(b"snapshot", mtime_ns=TIME), "/b": file(b"other", mtime_ns=TIME)}
    async with restorer(tmp_path, things) as restoring:
        await restoring.run(target)
        again = await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
        assert (again.files, again.skipped) == (0, 2)
        path = target / "a"
        match change:
            case "mode":
                path.chmod(0o600)
            case "owner":
                os.chown(path, 5, 5)
            case "xattr":
                os.setxattr(path, "user.new", b"x")
            case "extra name":
                os.link(path, tmp_path / "elsewhere")
            case "time":
                os.utime(path, ns=(TIME, TIME + 1))
            case "kind":
                path.unlink()
                path.symlink_to("x")
        report = await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
        assert (report.files, report.skipped) == (1, 1)
        assert found(target) == wanted(things)


async def test_names_that_should_be_one_inode_are_joined(tmp_path: Path) -> None:
    target = tmp_path / "target"
    things = {"/a": TWICE, "/b": TWICE, "/c": TWICE}
    async with restorer(tmp_path, things) as restoring:
        await restoring.run(target)
        (target / "b").unlink()
        put(target / "b", "twice", TIME)
        (target / "c").unlink()
        report = await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
        assert (report.files, report.hard_links, report.skipped) == (0, 2, 1)
        assert found(target) == wanted(things)
        report = await restoring.run(target)
        assert (report.files, report.hard_links, report.skipped) == (1, 2, 0)
        assert found(target) == wanted(things)


async def test_what_stands_in_the_way(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "empty").mkdir(parents=True)
    (target / "full" / "of").mkdir(parents=True)
    (target / "directory").write_text("a file")
    things = {
        "/empty": file(b"replaces an empty directory"),
        "/full": link(b"never"),
        "/directory/in": file(b"it"),
    }
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(target)
    (finding,) = report.findings
    assert (finding.trouble, finding.path) == (Trouble.REFUSED, os.fsencode(target / "full"))
    assert "not empty" in finding.detail
    assert (target / "empty").read_bytes() == b"replaces an empty directory"
    assert (target / "directory" / "in").read_bytes() == b"it"
    assert (target / "full" / "of").is_dir()
    assert temporaries(target) == []


async def test_a_dry_run_creates_nothing(tmp_path: Path) -> None:
    async with restorer(tmp_path, SNAPSHOT) as restoring:
        planned = await restoring.run(tmp_path / "target", dry_run=True)
        assert not (tmp_path / "target").exists()
        assert planned == await restoring.run(tmp_path / "target")


async def test_a_newer_snapshot_over_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    later: dict[str | bytes, Thing] = {
        **SNAPSHOT,
        "/older": file(b"changed", mtime_ns=TIME + 1),
        "/sub/more": file(b"more"),
        "/two": file(b"alone now", mtime_ns=TIME),
    }
    async with restorer(tmp_path, SNAPSHOT) as restoring:
        await restoring.run(target)
        builder: Builder = restoring.builder
        await builder.commit(later)
        report = await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
    assert found(target) == wanted(later)
    # `one` had a second name, and is written anew for having lost it.
    assert (report.files, report.hard_links) == (3, 0) or report.files == 4
    assert troubles(report) == {}
