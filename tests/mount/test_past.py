"""The past in the mount: names that are resolved and never listed, and what they lead to."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from snapfs.formats import records
from snapfs.model import timenames
from snapfs.model.identity import Commit
from snapfs.mount import following
from snapfs.mount.held import Held
from snapfs.mount.history import PastDirectory
from snapfs.mount.options import MountOptions
from snapfs.mount.view import Found, Sight, View
from tests.build import Builder, file, folder, link, publish
from tests.mount.mounting import getdents, mounted, run, use

FIRST = "2025-11-13T021320Z"
SECOND = "2025-11-13T031320Z"
THIRD = "2025-11-13T041320Z"
ODD = b"\xff od\nd.txt"


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question looks at the log: no test waits for a view to grow old."""
    monkeypatch.setattr(following, "FRESH", 0.0)


async def _tag(builder: Builder, number: Commit, name: str) -> None:
    attempt = builder.repository.replica.head(number).attempt
    body = records.Tag((attempt,), (name,), ())
    await publish(builder.repository, body, "web")


async def _three(builder: Builder) -> list[Commit]:
    """Snapshots of a file that changes twice, one that goes, one that comes, and a quiet one."""
    quiet = {"/quiet/still": file(b"still"), b"/dir/" + ODD: file(b"odd")}
    return [
        await builder.commit(
            {"/dir/f.txt": file(b"1"), "/dir/gone/deep": file(b"deep"), "/kind": file(), **quiet}
        ),
        await builder.commit(
            {"/dir/f.txt": file(b"22", mtime_ns=10**18), "/dir/gone/deep": file(b"deep"),
             "/kind": file(), **quiet}
        ),
        await builder.commit(
            {"/dir/f.txt": file(b"333"), "/dir/new/leaf": file(b"leaf"), "/kind/x": file(),
             **quiet}
        ),
    ]  # fmt: skip


# --- links by time and tag


async def test_names_of_times_and_tags_are_links_to_the_snapshot(
    builder: Builder, mountpoint: Path
) -> None:
    numbers = await _three(builder)
    await _tag(builder, numbers[0], "before upgrade")
    meant = {
        "@latest": THIRD, "@2025-11-13": THIRD, "@2025-11-13T02:13Z": FIRST,
        "@2025-11-13T04:00+01:00": FIRST, "@GMT-2025.11.13-03.30.00": SECOND,
        "@tag:before upgrade": FIRST, "@now": THIRD, f"@{SECOND}": SECOND, "@yesterday": THIRD,
    }  # fmt: skip
    async with mounted(builder.repository, mountpoint) as root:
        source = root / "web/root"
        for name, target in meant.items():
            assert await use(os.readlink, source / name) == target, name
        for name in (
            "@2025-11-12",
            "@-99y",
            "@tag:none",
            "@",
            "@x",
            "@\udcff",
            "@0001-01-01",
            "@9999-12-32",
        ):
            assert not await use(os.path.lexists, source / name), name
        assert await use((source / "@2025-11-13T02:13Z/dir/f.txt").read_bytes) == b"1"
        await builder.forget(numbers[2])
        assert await use(os.readlink, source / "@latest") == SECOND


async def test_what_nobody_foresaw_fails_one_request_and_not_the_mount(
    builder: Builder, mountpoint: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    await _three(builder)
    async with mounted(builder.repository, mountpoint) as root:
        with monkeypatch.context() as patch:
            patch.setattr(timenames, "resolve", lambda *_: [].pop())
            with pytest.raises(OSError, match="Input/output error"):
                await use(os.lstat, root / "web/root/@now")
        assert await use(os.readlink, root / "web/root/@now") == THIRD
    assert "unexpected IndexError" in caplog.text


async def test_a_tag_leads_to_its_snapshots(builder: Builder, mountpoint: Path) -> None:
    numbers = await _three(builder)
    for number in numbers[:2]:
        await _tag(builder, number, "gold")
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "by-tag/gold"
        assert await use(os.listdir, top) == ["web"]
        assert await use(os.listdir, top / "web/root") == [FIRST, SECOND]
        assert await use((top / f"web/root/{SECOND}/dir/f.txt").read_bytes) == b"22"
        assert await use(os.path.islink, top / f"web/root/{SECOND}")
        assert await use(os.listdir, root / "by-tag") == []
        assert not await use(os.path.lexists, root / "by-tag/silver")
        await builder.forget(numbers[1])
        assert await use(os.listdir, top / "web/root") == [FIRST]


async def test_a_host_that_is_called_like_it_wins(builder: Builder, mountpoint: Path) -> None:
    await Builder(builder.repository, host="by-tag").commit({"/file": file(b"1")})
    async with mounted(builder.repository, mountpoint) as root:
        assert await use((root / "by-tag/root/latest/file").read_bytes) == b"1"


# --- versions


async def test_versions_of_a_file_are_files(builder: Builder, mountpoint: Path) -> None:
    await _three(builder)
    async with mounted(builder.repository, mountpoint) as root:
        versions = root / "web/root/.versions/dir/f.txt"
        names = [f"{FIRST}-1.txt", f"{SECOND}-2.txt", f"{THIRD}-3.txt"]
        assert await use(os.listdir, versions) == names
        assert [await use((versions / name).read_bytes) for name in names] == [b"1", b"22", b"333"]
        assert (await use(os.stat, versions / names[1])).st_mtime_ns == 10**18
        same = [versions / names[1], root / "web/root" / SECOND / "dir/f.txt"]
        assert len({(await use(os.stat, path)).st_ino for path in same}) == 1
        assert not await use(os.path.exists, versions / f"{FIRST}-2.txt")


async def test_versions_of_a_directory_are_all_names_that_it_had(
    builder: Builder, mountpoint: Path
) -> None:
    await _three(builder)
    async with mounted(builder.repository, mountpoint) as root:
        top = os.fsencode(root / "web/root/.versions")
        assert await use(os.listdir, top) == [b"dir", b"kind", b"quiet"]
        names = [b"f.txt", b"gone", b"new", ODD]
        assert await use(os.listdir, top + b"/dir") == names
        assert await use(os.listdir, top + b"/dir/gone/deep") == [f"{FIRST}-4".encode()]
        assert await use(os.listdir, top + b"/dir/" + ODD) == [f"{FIRST}-3.txt".encode()]
        # What was a file once and a directory then has both.
        assert await use(os.listdir, top + b"/kind") == [f"{FIRST}-0".encode(), b"x"]
        assert not await use(os.path.exists, top + b"/never")


async def test_versions_that_no_snapshot_shows_are_not_shown(
    builder: Builder, mountpoint: Path
) -> None:
    numbers = await _three(builder)
    await builder.commit({"/dir/f.txt": file(b"half")}, complete=False)
    async with mounted(builder.repository, mountpoint) as root:
        versions = root / "web/root/.versions/dir/f.txt"
        assert len(await use(os.listdir, versions)) == 3
        await builder.forget(numbers[1])
        assert await use(os.listdir, versions) == [f"{FIRST}-1.txt", f"{THIRD}-3.txt"]
        assert not await use(os.path.exists, versions / f"{SECOND}-2.txt")


async def test_many_versions_and_names_are_listed_whole(builder: Builder, mountpoint: Path) -> None:
    names = [f"{at:04}" for at in range(1300)]
    await builder.commit({f"/d/{name}": file(name.encode()) for name in names})
    await builder.commit({"/d/other": file()})
    async with mounted(builder.repository, mountpoint) as root:
        assert await use(os.listdir, root / "web/root/.versions/d") == [*names, "other"]
        assert await use(os.listdir, root / "web/root/.deleted/d") == names


# --- what is gone


async def test_what_is_gone_stands_in_its_last_state(builder: Builder, mountpoint: Path) -> None:
    numbers = await _three(builder)
    async with mounted(builder.repository, mountpoint) as root:
        gone = root / "web/root/.deleted"
        found = (await run("find", gone, "-mindepth", "1", "-printf", "%P %y\n")).splitlines()
        assert found == ["dir d", "dir/gone d", "dir/gone/deep f"]
        assert await use((gone / "dir/gone/deep").read_bytes) == b"deep"
        for there in ("dir/f.txt", "quiet", "dir/new", "kind"):
            assert not await use(os.path.lexists, gone / there), there
        await builder.forget(numbers[2])
        assert await use(os.listdir, gone) == []
        await builder.commit({"/quiet/still": file(b"still")})
        assert await use(os.listdir, gone / "dir/gone") == ["deep"]
        assert await use((gone / "dir/f.txt").read_bytes) == b"22"


# --- what differs


async def test_differences_of_two_snapshots(builder: Builder, mountpoint: Path) -> None:
    await _three(builder)
    async with mounted(builder.repository, mountpoint) as root:
        pair = root / f"web/root/.changes/@{FIRST}..@latest"
        command = ("find", pair, "-mindepth", "1", "-printf", "%P %y %s\n")
        found = sorted(line.replace(" d 0", " d") for line in (await run(*command)).splitlines())
        assert found == [
            "added d", "added/dir d", "added/dir/new d", "added/dir/new/leaf f 4",
            "added/kind d", "added/kind/x f 0",
            "modified d", "modified.old d", "modified.old/dir d", "modified.old/dir/f.txt f 1",
            "modified/dir d", "modified/dir/f.txt f 3",
            "removed d", "removed/dir d", "removed/dir/gone d", "removed/dir/gone/deep f 4",
            "removed/kind f 0",
        ]  # fmt: skip
        assert await use((pair / "modified/dir/f.txt").read_bytes) == b"333"
        assert await use((pair / "modified.old/dir/f.txt").read_bytes) == b"1"
        back = root / f"web/root/.changes/latest..{FIRST}"
        assert await use((back / "removed/dir/new/leaf").read_bytes) == b"leaf"
        same = root / "web/root/.changes/@latest..latest"
        assert await use(os.listdir, same / "modified") == []
        for name in ("@latest", "@latest..", "@latest..@1999-01-01", "..", "x..y"):
            inner = root / "web/root/.changes" / name / "added"
            assert name == ".." or not await use(os.path.lexists, inner), name


async def test_one_pair_under_two_names_is_two_directories(
    builder: Builder, mountpoint: Path
) -> None:
    await _three(builder)
    async with mounted(builder.repository, mountpoint) as root:
        changes = root / "web/root/.changes"
        here = await use(os.open, changes / f"{FIRST}..{THIRD}/modified/dir", os.O_RDONLY)
        await use(os.listdir, changes / f"@{FIRST}..@latest/modified/dir")
        inside = os.fspath(changes / f"{FIRST}..{THIRD}/modified/dir")
        assert await use(os.readlink, f"/proc/self/fd/{here}") == inside
        await use(os.close, here)


# --- who sees it


async def test_programs_that_walk_the_mount_see_nothing_of_it(
    builder: Builder, mountpoint: Path, tmp_path: Path
) -> None:
    numbers = await _three(builder)
    await _tag(builder, numbers[0], "gold")
    async with mounted(builder.repository, mountpoint) as root:
        source = root / "web/root"
        for name in (".versions", ".deleted", ".changes/@latest..@latest", "@latest"):
            assert await use(os.path.exists, source / name)
        await use(os.listdir, root / "by-tag/gold")
        found = await run("find", root)
        assert "by-tag" not in found
        assert not {".versions", ".deleted", ".changes"} & set(found.replace("\n", "/").split("/"))
        assert "@" not in found
        assert await use(os.listdir, root) == ["web"]
        assert await use(os.listdir, source) == [FIRST, SECOND, THIRD, "latest"]
        await run("cp", "-r", root / "web", tmp_path / "copy")
        assert sorted(os.listdir(tmp_path / "copy/root")) == [FIRST, SECOND, THIRD, "latest"]
        assert ".versions" not in await run("du", "-a", root)


async def test_plain_mounts_have_none_of_it(builder: Builder, mountpoint: Path) -> None:
    numbers = await _three(builder)
    await _tag(builder, numbers[0], "gold")
    async with mounted(builder.repository, mountpoint, MountOptions(plain=True)) as root:
        source = root / "web/root"
        assert await use((source / "latest/dir/f.txt").read_bytes) == b"333"
        for name in (".versions", ".deleted", ".changes", "@latest", f"@{FIRST}"):
            assert not await use(os.path.lexists, source / name)
        assert not await use(os.path.lexists, root / "by-tag")
        with pytest.raises(OSError):
            await use(os.getxattr, source / "latest/dir/f.txt", "user.snapfs.first")


async def test_a_file_of_such_a_name_in_a_snapshot_is_itself(
    builder: Builder, mountpoint: Path
) -> None:
    await builder.commit(
        {"/.versions": file(b"mine"), "/@latest": link(b"x"), "/.deleted/a": file()}
    )
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "web/root/latest"
        assert await use((top / ".versions").read_bytes) == b"mine"
        assert await use(os.readlink, top / "@latest") == "x"
        assert await use(os.listdir, top / ".deleted") == ["a"]
        names = [f"{FIRST}-4"]
        assert await use(os.listdir, root / "web/root/.versions/.versions") == names


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root and setpriv")
async def test_what_is_closed_in_snapshots_is_closed_in_the_past(
    builder: Builder, public: Path
) -> None:
    tree = {
        "/shut": folder(mode=0o700),
        "/shut/in": file(b"open"),
        "/secret": file(b"s", mode=0o600),
    }
    await builder.commit(tree)
    await builder.commit({"/other": file()})
    async with mounted(builder.repository, public, MountOptions(allow_other=True)) as root:
        source = root / "web/root"
        secrets = [
            f".versions/shut/in/{FIRST}-4", f".versions/secret/{FIRST}-1", ".deleted/shut/in",
            f".changes/{FIRST}..{SECOND}/removed/shut/in", f"{FIRST}/shut/in",
        ]  # fmt: skip
        for secret in secrets:
            assert await use((source / secret).read_bytes) in (b"open", b"s")
            assert not await use(_can_read, source / secret), secret
        assert await use(_can_read, source / f"{SECOND}/other")
        assert await use(_can_read, source / f".versions/other/{SECOND}-0")


def _can_read(path: Path) -> bool:
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", path]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# --- extended attributes


async def test_attributes_tell_a_file_s_history_and_are_not_listed(
    builder: Builder, mountpoint: Path
) -> None:
    twice = file(b"x" * 200_000)
    await builder.commit({"/a": twice, "/b": file(b"x" * 200_000), "/c": file(b"1")})
    await builder.commit({"/a": twice, "/b": file(b"x" * 200_000), "/c": file(b"2")})
    await builder.commit({"/a": twice, "/c": file(b"3"), "/hole": file(1 << 20)})
    async with mounted(builder.repository, mountpoint) as root:
        source = root / "web/root"

        async def fact(path: str, name: str) -> str:
            return (await use(os.getxattr, source / path, f"user.snapfs.{name}")).decode()

        assert [await fact("latest/a", name) for name in ("first", "last", "versions")] == [
            FIRST, THIRD, "1"
        ]  # fmt: skip
        assert await fact(f"{FIRST}/b", "last") == SECOND
        assert [await fact(f"{SECOND}/c", name) for name in ("first", "last", "versions")] == [
            SECOND, SECOND, "3"
        ]  # fmt: skip
        assert await fact("latest/a", "content") == await fact(f"{FIRST}/b", "content")
        assert await fact("latest/a", "content") != await fact("latest/c", "content")
        assert await fact("latest/a", "blocks") == "4"
        assert 0 < int(await fact("latest/a", "stored")) < 200_000
        packs = (await fact("latest/a", "packs")).split()
        assert len(packs) == 1
        assert len(packs[0]) == 32
        assert await fact("latest/hole", "blocks") == "0"
        assert await use(os.listxattr, source / "latest/a") == []
        for path, name in (("latest/a", "none"), ("latest", "first"), (".versions", "first")):
            with pytest.raises(OSError):
                await fact(path, name)


async def test_directories_of_the_past_are_let_go_of(
    builder: Builder, mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[Held[object]] = []
    create = Held.__init__

    def created(self: Held[object]) -> None:
        create(self)
        tables.append(self)

    monkeypatch.setattr(Held, "__init__", created)
    names = [f"{at:04}" for at in range(700)]
    await builder.commit({f"/dir/{name}": file() for name in names})
    async with mounted(builder.repository, mountpoint) as root:
        versions = root / "web/root/.versions"
        # What an answer has no room for is told again, and the kernel has not counted it.
        assert await use(getdents, versions / "dir", 300) == [".", "..", *names]
        [table] = tables
        assert len(table) > len(names)
        if os.geteuid() == 0:
            await use(Path("/proc/sys/vm/drop_caches").write_text, "2")
            assert len(table) <= 2
        assert await use(os.listdir, versions / "dir") == names


@pytest.mark.parametrize("position", [0, 1, 127, 128, 129, 200, 299, 300])
def test_any_position_in_a_listing_may_be_asked_for(position: int) -> None:
    names = [b"%03d" % at for at in range(300)]
    view = cast("View", SimpleNamespace(entries=lambda _: (Found(name) for name in names)))
    nothing = cast("Sight", None)
    directory = PastDirectory(view)
    for start in (position, 0, position):
        found: list[bytes] = []
        while chunk := directory.behind(start + len(found), nothing):
            # As if there were no room for the last.
            found += [one.name for one in chunk[: max(len(chunk) - 1, 1)]]
        assert found == names[start:]
