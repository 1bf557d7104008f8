"""Everything that a tree can hold is in its snapshot."""

import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.jobs.ingest import walk
from snapfs.metadata import local
from snapfs.metadata.compare import differences
from snapfs.model.finding import Trouble
from snapfs.repository.replay import replayed
from snapfs.stores.memory import MemoryStore
from tests.jobs.ingesting import TINY, machine
from tests.manifest import manifest_of_tree

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="owners and devices need root"),
    pytest.mark.usefixtures("reading"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tree"
    path.mkdir()
    yield path
    # Python's own removal calls itself once for each level.
    subprocess.run(["rm", "-rf", path], check=True)


def _populate_names(tree: Path) -> None:
    base = os.fsencode(tree)
    for name in (
        b"\xff\xfe\x80",
        b"n" * 255,
        b"new\nline",
        b" ",
        b"\xc3\xa4",
        b"-rf",
        b"a\\b",
        b"*",
    ):
        with open(os.path.join(base, name), "wb") as file:
            file.write(name)
        os.mkdir(os.path.join(base, b"d" + name[:254]))


def _populate_modes(tree: Path) -> None:
    for mode in (0o4755, 0o2755, 0o1777, 0o000, 0o7777, 0o600):
        (tree / f"f{mode:o}").write_bytes(b"%o" % mode)
        os.chown(tree / f"f{mode:o}", mode, 2**31 + mode)
        (tree / f"f{mode:o}").chmod(mode)
        (tree / f"d{mode:o}").mkdir()
        (tree / f"d{mode:o}").chmod(mode)


def _populate_times(tree: Path) -> None:
    for number, seconds in enumerate((-1, -(11_644_473_600), 13_569_465_600, 0, 2**31)):
        path = tree / f"time{number}"
        path.write_bytes(b"x")
        os.utime(path, ns=(0, seconds * 10**9 + 999_999_999))


def _populate_attributes(tree: Path) -> None:
    (tree / "with").write_bytes(b"attributes")
    os.setxattr(tree / "with", "user.a", b"\0\xff" * 100)
    os.setxattr(tree / "with", "user.empty", b"")
    os.setxattr(tree / "with", "trusted.t", b"t")
    (tree / "acl").mkdir()
    (tree / "acl" / "file").write_bytes(b"")
    for command in (["-m", "u:12345:rwx"], ["-d", "-m", "g:54321:r-x"]):
        subprocess.run(["setfacl", *command, tree / "acl"], check=True)
    subprocess.run(["setfacl", "-m", "u:7:r", tree / "acl" / "file"], check=True)
    os.symlink("nowhere", tree / "dangling")
    os.setxattr(tree / "dangling", "trusted.link", b"l", follow_symlinks=False)


def _populate_kinds(tree: Path) -> None:
    os.symlink(b"/absolute/\xff", os.fsencode(tree / "absolute"))
    os.symlink("x" * 4000, tree / "long")
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "character", stat.S_IFCHR | 0o640, os.makedev(240, 70_000))
    os.mknod(tree / "block", stat.S_IFBLK | 0o640, os.makedev(7, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(tree, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    (tree / "empty").write_bytes(b"")
    (tree / "folder").mkdir()


def _populate_holes(tree: Path) -> None:
    shapes = {
        "all": ((), 10 << 20),
        "trailing": (((0, b"x" * 5000),), 5 << 20),
        "leading": (((3 << 20, b"y" * 70_000),), 0),
        "between": (((0, b"a"), (1 << 20, b"b" * 200_000), (4 << 20, b"c")), 6 << 20),
        "small": (((0, b"a"),), 100_000),
    }
    for name, (pieces, size) in shapes.items():
        with open(tree / name, "wb") as file:
            for offset, data in pieces:
                file.seek(offset)
                file.write(data)
            if size:
                file.truncate(size)


def _populate_links(tree: Path) -> None:
    (tree / "one").mkdir()
    (tree / "two").mkdir()
    (tree / "one" / "a").write_bytes(b"linked")
    os.link(tree / "one" / "a", tree / "one" / "b")
    os.link(tree / "one" / "a", tree / "two" / "c")
    (tree / "half").write_bytes(b"half outside")
    os.link(tree / "half", tree.parent / "outside")
    os.symlink("target", tree / "link")
    os.link(tree / "link", tree / "link2", follow_symlinks=False)
    os.mkfifo(tree / "pipe")
    os.link(tree / "pipe", tree / "one" / "pipe")
    (tree / "same").write_bytes(b"linked")


_POPULATE = (
    _populate_names, _populate_modes, _populate_times, _populate_attributes, _populate_kinds,
    _populate_holes, _populate_links,
)  # fmt: skip


async def test_everything_is_kept_and_stays_the_same(tree: Path, tmp_path: Path) -> None:
    for populate in _POPULATE:
        part = tree / populate.__name__
        part.mkdir()
        populate(part)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        first = await host.capture()
        second = await host.capture()
        assert host.nodes(first) == host.nodes(second)
        assert host.new_nodes(second) == host.delta(second).blocks == 0
        await host.check()


async def test_names_outside_the_source_do_not_count(tree: Path, tmp_path: Path) -> None:
    _populate_links(tree)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        report = await host.capture()
        nodes = host.nodes(report)
        tree_of = host.repository.tree
        count = {path: tree_of.node(number).attributes.nlink for path, number in nodes.items()}  # type: ignore[union-attr]
        assert count[b"half"] == 1
        assert count[b"one/a"] == count[b"two/c"] == 3
        assert count[b"link"] == 2
        assert nodes[b"same"] != nodes[b"one/a"]


async def test_large_directories_go_page_by_page(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = walk.list_directory
    monkeypatch.setattr(
        walk, "list_directory", lambda path, **kw: listed(path, page=7, in_memory=20, **kw)
    )
    monkeypatch.setattr(local, "PAGE", 5)
    monkeypatch.setattr(walk, "PAGE", 5)
    for number in range(100):
        (tree / f"{number:03}").write_bytes(b"%d" % number)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        for number in range(0, 100, 3):
            (tree / f"{number:03}").unlink()
            (tree / f"{number:03}-new").write_bytes(b"%d" % number)
        report = await host.capture()
        assert (report.counts.unchanged, report.counts.new, report.counts.removed) == (66, 34, 34)
        await host.check()


async def test_paths_longer_than_the_system_takes(tree: Path, tmp_path: Path) -> None:
    here = os.open(tree, os.O_RDONLY)
    for level in range(25):
        name = f"{level:02}" + "d" * 240
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        _write(here, b"%d" % level)
        os.symlink(f"to {level}", "link", dir_fd=here)
    os.link("file", "second name", src_dir_fd=here, dst_dir_fd=here)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        _write(here, b"changed")
        os.unlink("link", dir_fd=here)
        report = await host.capture()
        assert (report.counts.changed, report.counts.removed) == (2, 1)
        await host.check()
    os.close(here)


def _write(folder: int, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open("file", flags, dir_fd=folder), "wb") as file:
        file.write(content)


async def test_many_levels(tree: Path, tmp_path: Path) -> None:
    """More levels than Python takes calls within calls."""
    deepest = tree
    for _ in range(1200):
        deepest = deepest / "d"
        deepest.mkdir()
    (deepest / "file").write_bytes(b"deep")
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.ingest()
        (deepest / "file").write_bytes(b"changed")
        report = await host.ingest()
        assert report.findings.listed == []
        assert (report.counts.changed, report.counts.directories) == (1, 1200 + len(tree.parts))
        found = await host.stored(report.snapshot, below=deepest)
        assert found == manifest_of_tree(deepest)


async def test_a_long_content_is_lists_of_lists_and_shares_them(tree: Path, tmp_path: Path) -> None:
    data = bytearray(os.urandom(1 << 20))
    (tree / "image").write_bytes(data)
    async with machine(MemoryStore(), tmp_path / "m", tree, chunker=TINY) as host:
        first = host.delta(await host.capture())
        assert first.blocks > 1024
        assert first.lists > 3
        data[500_000:500_100] = os.urandom(100)
        (tree / "image").write_bytes(data)
        second = host.delta(await host.capture())
        assert second.blocks <= 8
        assert second.lists <= 3
        await host.check()


async def test_a_directory_that_is_the_source_of_nothing(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        report = await host.capture()
        assert report.counts.new == 0
        assert list(await host.stored(report.snapshot)) == [b""]
        assert Trouble.UNREADABLE not in report.findings.counts
        await host.check()


async def test_sizes_that_add_up_to_more_than_a_record_can_say(tmp_path: Path) -> None:
    """Of files that are nothing but holes, on a file system that takes them: tmpfs, XFS."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        tree = Path(directory)
        try:
            for name in ("a", "b", "c"):
                (tree / name).touch()
                os.truncate(tree / name, 2**62 + 5)
        except OSError as error:
            pytest.skip(f"/dev/shm takes no such file: {error}")
        async with machine(MemoryStore(), tmp_path / "m", tree) as host:
            report = await host.ingest()
            assert report.counts.bytes_total > 2**63
            assert report.snapshot is not None
            assert report.snapshot.counts.bytes_total == 2**63 - 1
            (tree / "c").unlink()
            assert (await host.ingest()).counts.removed == 1
            async with replayed(host.repository) as replica:
                assert differences(replica.db, host.repository.db) == []
