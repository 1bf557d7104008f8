"""What ls and stat see: the tree of a snapshot through the kernel."""

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from snapfs.repository.repository import Repository
from tests.build import MTIME, Builder, file, folder, link
from tests.mount.mounting import mounted, run, use

FIRST = "2025-11-13T021320Z"
SECOND = "2025-11-13T031320Z"


async def test_hosts_sources_and_snapshots_are_directories_and_latest_is_a_link(
    repository: Repository, mountpoint: Path
) -> None:
    web = Builder(repository, host="web", source="etc")
    await web.commit({"/etc/hosts": file(b"one")})
    await web.commit({"/etc/hosts": file(b"two")})
    await Builder(repository, host="web", source="home").commit({"/home": folder()})
    await Builder(repository, host="db", source="etc").commit({}, complete=False)
    async with mounted(repository, mountpoint):
        assert await use(os.listdir, mountpoint) == ["db", "web"]
        assert await use(os.listdir, mountpoint / "web") == ["etc", "home"]
        assert await use(os.listdir, mountpoint / "db/etc") == []
        assert await use(os.listdir, mountpoint / "web/etc") == [FIRST, SECOND, "latest"]
        assert await use(os.readlink, mountpoint / "web/etc/latest") == SECOND
        assert await use((mountpoint / "web/etc" / FIRST / "etc/hosts").read_bytes) == b"one"
        assert await use((mountpoint / "web/etc/latest/etc/hosts").read_bytes) == b"two"


async def test_attributes_are_those_of_the_source(builder: Builder, mountpoint: Path) -> None:
    await builder.commit(
        {
            "/": folder(mode=0o1711, uid=3, gid=4, mtime_ns=-1),
            "/file": file(b"x" * 70_000, mode=0o4751, uid=1000, gid=100),
            "/link": link(b"../some where", uid=7),
            "/late": file(mtime_ns=9_999_999_999_123_456_789),
        }
    )
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "web/root" / FIRST
        shown = await use(os.lstat, top)
        assert (stat.S_IMODE(shown.st_mode), shown.st_uid, shown.st_gid) == (0o1711, 3, 4)
        assert shown.st_mtime_ns == -1
        shown = await use(os.lstat, top / "file")
        assert shown.st_mode == stat.S_IFREG | 0o4751
        assert (shown.st_uid, shown.st_gid, shown.st_size) == (1000, 100, 70_000)
        assert shown.st_mtime_ns == shown.st_ctime_ns == shown.st_atime_ns == MTIME
        assert shown.st_blocks == 137
        assert shown.st_blksize >= 128 * 1024
        shown = await use(os.lstat, top / "link")
        assert (shown.st_uid, shown.st_size, stat.S_ISLNK(shown.st_mode)) == (7, 13, True)
        assert await use(os.readlink, top / "link") == "../some where"
        assert (await use(os.stat, top / "late")).st_mtime_ns == 9_999_999_999_123_456_789


async def test_devices_and_fifos_are_shown_as_what_they_are(
    builder: Builder, mountpoint: Path
) -> None:
    null = file(mode=0o666, rdev=os.makedev(1, 3))
    await builder.commit(
        {
            "/null": type(null)(mode=stat.S_IFCHR | 0o666, rdev=os.makedev(1, 3)),
            "/fifo": type(null)(mode=stat.S_IFIFO | 0o600),
        }
    )
    async with mounted(builder.repository, mountpoint) as root:
        shown = await use(os.stat, root / "web/root/latest/null")
        assert stat.S_ISCHR(shown.st_mode)
        assert (os.major(shown.st_rdev), os.minor(shown.st_rdev)) == (1, 3)
        assert stat.S_ISFIFO((await use(os.stat, root / "web/root/latest/fifo")).st_mode)


async def test_an_unchanged_file_is_one_inode_in_all_snapshots(
    builder: Builder, mountpoint: Path
) -> None:
    await builder.commit({"/same": file(b"s"), "/other": file(b"1")})
    await builder.commit({"/same": file(b"s"), "/other": file(b"2")})
    async with mounted(builder.repository, mountpoint) as root:
        source = root / "web/root"

        async def inode(path: str) -> tuple[int, int]:
            shown = await use(os.stat, source / path)
            return shown.st_dev, shown.st_ino

        assert await inode(f"{FIRST}/same") == await inode(f"{SECOND}/same")
        assert await inode(f"{FIRST}/other") != await inode(f"{SECOND}/other")
        assert await inode(FIRST) != await inode(SECOND)
        assert (await inode("latest"))[1] == (await inode(SECOND))[1]


async def test_hard_links_share_their_inode_and_count_their_names(
    builder: Builder, mountpoint: Path
) -> None:
    twice = file(b"two names")
    await builder.commit({"/a": twice, "/dir/b": twice, "/c": file(b"two names")})
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "web/root/latest"
        a, b, c = [await use(os.stat, top / name) for name in ("a", "dir/b", "c")]
        assert a.st_ino == b.st_ino != c.st_ino
        assert (a.st_nlink, c.st_nlink) == (2, 1)


async def test_sparse_files_take_only_what_they_hold(builder: Builder, mountpoint: Path) -> None:
    pieces = [item for at in range(1500) for item in (at.to_bytes(2, "big") * 300, 5000)]
    await builder.commit(
        {
            "/hole": file(1 << 40),
            "/mixed": file(b"x" * 1000, 1 << 20, b"y" * 24),
            "/lists": file(*pieces),
        }
    )
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "web/root/latest"
        hole, mixed, lists = [await use(os.stat, top / n) for n in ("hole", "mixed", "lists")]
        assert (hole.st_size, hole.st_blocks) == (1 << 40, 0)
        assert (mixed.st_size, mixed.st_blocks) == ((1 << 20) + 1024, 2)
        assert (lists.st_size, lists.st_blocks) == (1500 * 5600, -(-1500 * 600 // 512))
        expected = b"".join(bytes(i) if isinstance(i, int) else i for i in pieces)
        assert await use((top / "lists").read_bytes) == expected
        assert await use((top / "mixed").read_bytes) == b"x" * 1000 + bytes(1 << 20) + b"y" * 24


async def test_any_name_of_any_bytes(builder: Builder, mountpoint: Path) -> None:
    names = [
        b"\xff\xfe" + b"n" * 253,
        b"new\nline",
        b"\x01",
        "naïve".encode(),
        b"latest",
        b"...",
        b"-",
    ]
    await builder.commit({b"/" + name: file(name) for name in names})
    async with mounted(builder.repository, mountpoint) as root:
        top = os.fsencode(root / "web/root/latest")
        assert await use(os.listdir, top) == sorted(names)
        for name in names:
            assert await use(_read, top + b"/" + name) == name


async def test_deep_paths(builder: Builder, mountpoint: Path) -> None:
    depth = 300
    await builder.commit({"/" + "d/" * depth + "leaf": file(b"deep")})
    async with mounted(builder.repository, mountpoint) as root:
        output = await run("find", root / "web/root" / FIRST, "-type", "d")
        assert len(output.splitlines()) == depth + 1
        leaf = root / "web/root/latest" / Path(*["d"] * depth) / "leaf"
        assert await use(leaf.read_bytes) == b"deep"


async def test_parents_are_found_upwards(builder: Builder, mountpoint: Path) -> None:
    await builder.commit({"/a/b": folder()})
    async with mounted(builder.repository, mountpoint) as root:
        levels = [root, *(root / p for p in ("web", "web/root", f"web/root/{FIRST}"))]
        levels += [levels[-1] / "a", levels[-1] / "a/b"]
        inodes = [(await use(os.stat, level)).st_ino for level in levels]
        for above, level in zip(inodes, levels[1:], strict=False):
            listed = await use(_list_with_dots, level)
            assert listed[".."] == above
            assert listed["."] == (await use(os.stat, level)).st_ino


def _read(path: bytes) -> bytes:
    with open(path, "rb") as opened:
        return opened.read()


def _list_with_dots(path: Path) -> dict[str, int]:
    output = subprocess.run(["ls", "-aif", path], capture_output=True, text=True, check=True).stdout
    return {line.split()[1]: int(line.split()[0]) for line in output.splitlines()}


async def test_extended_attributes(builder: Builder, mountpoint: Path) -> None:
    pairs = ((b"security.thing", b"\0\x01"), (b"user.a", b"value"), (b"user.empty", b""))
    await builder.commit({"/file": file(b"", xattrs=pairs), "/dir": folder(xattrs=pairs[1:])})
    async with mounted(builder.repository, mountpoint) as root:
        top = root / "web/root/latest"
        assert await use(os.listxattr, top / "file") == [name.decode() for name, _ in pairs]
        assert await use(os.listxattr, top / "dir") == ["user.a", "user.empty"]
        assert await use(os.listxattr, top) == await use(os.listxattr, root) == []
        for name, value in pairs:
            assert await use(os.getxattr, top / "file", name) == value
        for path in (top / "file", top, root):
            with pytest.raises(OSError) as caught:
                await use(os.getxattr, path, "user.missing")
            assert caught.value.errno == errno.ENODATA


async def test_statfs_has_no_size_and_names_of_255_bytes(
    builder: Builder, mountpoint: Path
) -> None:
    await builder.commit({})
    async with mounted(builder.repository, mountpoint) as root:
        shown = await use(os.statvfs, root)
        assert (shown.f_blocks, shown.f_namemax) == (0, 255)
        assert shown.f_flag & os.ST_RDONLY
