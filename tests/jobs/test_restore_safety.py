"""Nothing outside of the target is touched, whatever the repository says and the target holds."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import UsageError
from snapfs.jobs.restore import Overwrite
from snapfs.model.finding import Trouble
from tests.build import Thing, file, folder, link
from tests.jobs.restoring import Restorer, Seen, found, restorer, troubles, wanted


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the target that has to be at the end as it was."""
    directory = tmp_path / "outside"
    (directory / "sub").mkdir(parents=True)
    (directory / "kept").write_text("kept")
    (directory / "sub" / "a").write_text("kept, too")
    before = found(directory)
    yield directory
    assert found(directory) == before


def forge(restoring: Restorer, name: bytes, new: bytes) -> None:
    """Give entries another name in the replica, behind the back of the checks of the log."""
    db = restoring.repository.replica.db
    db.execute("UPDATE entry SET name = ? WHERE name = ?", (new, name))


@pytest.mark.parametrize(
    ("there", "options", "is_its_own"),
    [
        (["elsewhere"], {}, False),
        (["elsewhere"], {"delete": True}, True),
        (["elsewhere"], {"dry_run": True}, False),
        ([], {}, True),
        (["name", ".snapfs-restore-0-1"], {}, True),
    ],
)
async def test_a_target_that_holds_other_things_keeps_its_own_attributes(
    tmp_path: Path, there: list[str], options: dict[str, bool], is_its_own: bool
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name in there:
        (target / name).write_text("there")
    target.chmod(0o1777)
    things: dict[str | bytes, Thing] = {"/ada": folder(mode=0o700), "/ada/name": file(b"1")}
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(target, path=b"/ada", **options)
        assert report.is_clean
        assert stat.S_IMODE(target.stat().st_mode) == (0o700 if is_its_own else 0o1777)
        where_it_was = {os.fsencode(target): folder(mode=0o700), f"{target}/name": file(b"2")}
    async with restorer(tmp_path / "again", where_it_was) as restoring:
        (target / "elsewhere").write_text("there")
        await restoring.run(target, path=os.fsencode(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


@pytest.mark.parametrize("inner", ["", "packs/00", "packs/absent"])
@pytest.mark.parametrize("options", [{}, {"deleted": True}, {"dry_run": True}])
async def test_nothing_is_restored_into_a_repository(
    tmp_path: Path, inner: str, options: dict[str, bool]
) -> None:
    spared = tmp_path / "repository"
    (spared / "packs/00").mkdir(parents=True)
    (tmp_path / "link").symlink_to(spared)
    async with restorer(tmp_path, {"/a": file(b"1")}) as restoring:
        for place in (spared, tmp_path / "link"):
            with pytest.raises(UsageError, match="belongs to the repository"):
                await restoring.run(place / inner, spared=(os.fsencode(spared),), **options)
    assert [*spared.rglob("a")] == []


BAD_NAMES = [b"..", b".", b"", b"../outside/kept", b"sub/a", b"/etc/passwd-", b"x\0y"]


@pytest.mark.parametrize("bad", BAD_NAMES)
async def test_names_that_lead_elsewhere_are_refused(
    tmp_path: Path, outside: Path, bad: bytes
) -> None:
    things = {"/a/evil": file(b"evil"), "/a/good": file(b"good"), "/a/sub": folder()}
    async with restorer(tmp_path, things) as restoring:
        forge(restoring, b"evil", bad)
        report = await restoring.run(tmp_path / "target")
    if bad:  # a page of entries begins behind the empty name, so that one is never met
        assert troubles(report) == {Trouble.REFUSED: 1}
    assert set(found(tmp_path / "target")) == {b"", b"a", b"a/good", b"a/sub"}


@pytest.mark.parametrize("bad", [b"..", b"../outside", b"/"])
async def test_directories_that_lead_elsewhere_are_refused(
    tmp_path: Path, outside: Path, bad: bytes
) -> None:
    things = {"/a/evil/kept": file(b"evil"), "/a/good": file(b"good")}
    async with restorer(tmp_path, things) as restoring:
        forge(restoring, b"evil", bad)
        report = await restoring.run(tmp_path / "target")
    assert troubles(report) == {Trouble.REFUSED: 1}
    assert set(found(tmp_path / "target")) == {b"", b"a", b"a/good"}


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Path]:
    """Removed at once: where its test fails it is deeper than pytest's own cleaning can go."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "target"], check=True)


async def test_a_directory_within_itself_is_refused(endless: Path) -> None:
    async with restorer(endless, {"/a/b/c/d": file(b"d")}) as restoring:
        db = restoring.repository.replica.db
        db.execute(
            "UPDATE entry SET child = (SELECT child FROM entry WHERE name = 'a' OR name = x'61')"
            " WHERE name = x'63'"
        )
        report = await restoring.run(endless / "target")
    assert troubles(report) == {Trouble.REFUSED: 1}
    assert set(found(endless / "target")) == {b"", b"a", b"a/b"}


@pytest.mark.parametrize("link_first", [True, False])
async def test_a_link_and_a_directory_of_one_name(
    tmp_path: Path, outside: Path, link_first: bool
) -> None:
    things = {"/x": link(os.fsencode(outside)), "/y/kept": file(b"evil"), "/y/sub/a": file(b"evil")}
    async with restorer(tmp_path, things) as restoring:
        db = restoring.repository.replica.db
        # Two versions of one name that hold at once, which no log can bring about.
        early, late = (b"x", b"y") if link_first else (b"y", b"x")
        db.execute("UPDATE entry SET first = 1 WHERE name = ?", (early,))
        db.execute("UPDATE entry SET first = 2 WHERE name = ?", (late,))
        forge(restoring, b"y", b"x")
        await restoring.run(tmp_path / "target")
    seen = found(tmp_path / "target")
    if stat.S_ISDIR(seen[b"x"].mode):
        assert seen[b"x/kept"].content == b"evil"
    else:
        assert set(seen) == {b"", b"x"}


@pytest.mark.parametrize("overwrite", list(Overwrite))
async def test_links_that_stand_in_the_target_are_not_followed(
    tmp_path: Path, outside: Path, overwrite: Overwrite
) -> None:
    things: dict[str | bytes, Thing] = {
        "/dir/kept": file(b"new"),
        "/dir/sub/a": file(b"new"),
        "/file": file(b"new"),
        "/fifo": Thing(mode=stat.S_IFIFO | 0o600),
        "/link": link(b"new"),
    }
    target = tmp_path / "target"
    target.mkdir()
    for name in ("file", "fifo", "link"):
        (target / name).symlink_to(outside / "kept")
    (target / "dir").symlink_to(outside)
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(target, overwrite=overwrite)
    if overwrite in (Overwrite.ALWAYS, Overwrite.IF_CHANGED):
        assert found(target) == wanted(things)
        assert report.is_clean
    else:
        # Those links are newer than what the snapshot has.
        assert troubles(report) == {Trouble.REFUSED: 1}
        assert report.skipped >= 3
        assert os.readlink(target / "dir") == str(outside)


async def test_files_with_names_elsewhere_are_not_written_into(
    tmp_path: Path, outside: Path
) -> None:
    twice = file(b"evil, and in two places", mode=0o4777)
    things = {"/kept": file(b"evil", mode=0o4777), "/a": twice, "/b": twice}
    target = tmp_path / "target"
    target.mkdir()
    for name in ("kept", "a", "b"):
        os.link(outside / "kept", target / name)
    links = (outside / "kept").stat().st_nlink
    assert links == 4
    async with restorer(tmp_path, things) as restoring:
        await restoring.run(target)
        assert found(target) == wanted(things)


async def test_a_hard_link_to_what_was_swapped_for_a_link_outside(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone replaces the directory of the first name while the restore runs."""
    twice = file(b"twice")
    things = {"/first/kept": twice, "/second": twice}
    target = tmp_path / "target"
    original = os.dup

    def dup(descriptor: int) -> int:
        # The walk to the first name begins with a copy of the target's descriptor.
        if (target / "first" / "kept").exists() and not (target / "first").is_symlink():
            (target / "first" / "kept").unlink()
            (target / "first").rmdir()
            (target / "first").symlink_to(outside)
        return original(descriptor)

    monkeypatch.setattr(os, "dup", dup)
    async with restorer(tmp_path, things) as restoring:
        await restoring.run(target)
    assert (target / "second").read_bytes() == b"twice"
    assert (target / "second").stat().st_nlink == 1


async def test_a_first_name_that_became_another_inode_is_not_linked_to(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = file(b"twice")
    target = tmp_path / "target"
    original = os.dup

    def dup(descriptor: int) -> int:
        first = target / "a"
        if first.exists() and first.read_bytes() == b"twice":
            first.unlink()
            os.link(outside / "kept", first)
        return original(descriptor)

    monkeypatch.setattr(os, "dup", dup)
    async with restorer(tmp_path, {"/a": twice, "/b": twice}) as restoring:
        await restoring.run(target)
    assert (target / "b").read_bytes() == b"twice"
    (target / "a").unlink()


async def test_impossible_attributes_are_findings(tmp_path: Path) -> None:
    things = {
        "/a": link(b"with\0nul"),
        "/b": Thing(mode=0o644),
        "/c": file(b"c", xattrs=((b"user.nul\0", b"x"), (b"no-namespace", b"x"))),
        "/d": file(b"d", uid=2**32 - 1, gid=2**32 - 1),
        "/e": file(b"e", mtime_ns=(2**63 - 1) * 10**9),
        b"/" + b"n" * 300: file(b"too long"),
        "/good": file(b"good"),
    }
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(tmp_path / "target")
    told = troubles(report)
    assert told[Trouble.REFUSED] == 3
    assert told[Trouble.METADATA] >= 3
    seen = found(tmp_path / "target")
    assert set(seen) == {b"", b"c", b"d", b"e", b"good"}
    assert [seen[name].content for name in (b"c", b"d", b"e")] == [b"c", b"d", b"e"]


async def test_an_acl_of_the_target_is_not_inherited(tmp_path: Path) -> None:
    from tests.jobs.test_restore import DEFAULT

    target = tmp_path / "target"
    target.mkdir()
    os.setxattr(target, "system.posix_acl_default", DEFAULT)
    things = {"/a": file(b"a", mode=0o600), "/b/c": file(b"c", mode=0o640)}
    async with restorer(tmp_path, things) as restoring:
        await restoring.run(target)
    assert found(target) == wanted(things)


def test_seen_tells_states_apart() -> None:
    """The oracle of these tests: a difference in any field is one."""
    seen = Seen(0o100644, 0, 0, 0, 0, b"", (), frozenset())
    assert seen != Seen(0o100600, 0, 0, 0, 0, b"", (), frozenset())
