"""Everything comes back as it was: content, names, and every attribute."""

import os
import random
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapfs.errors import LocalError, PathNotFoundError
from snapfs.jobs.progress import Progress
from snapfs.jobs.restore import Overwrite, RestoreOptions, job, restore
from snapfs.model.attributes import NANOSECONDS
from snapfs.model.finding import Trouble
from snapfs.stores.memory import MemoryStore
from tests.build import Thing, built, file, folder, link
from tests.jobs.restoring import Restorer, found, restorer, troubles, wanted

pytestmark = pytest.mark.usefixtures("making")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
MIB = 1024 * 1024


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as Linux keeps it: tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACCESS = acl((1, 6, NOBODY), (2, 4, 1234), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
DEFAULT = acl((1, 7, NOBODY), (2, 5, 1234), (4, 5, NOBODY), (16, 5, NOBODY), (32, 0, NOBODY))
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
TWICE = file(b"one inode", mtime_ns=7 * NANOSECONDS)
LINKED_LINK = link(b"anywhere")

WORLD: dict[str | bytes, Thing] = {
    "/": folder(0o751, uid=12, gid=13, mtime_ns=5),
    "/etc/hosts": file(b"127.0.0.1 localhost\n", uid=1000, gid=1001, mode=0o640),
    "/etc/empty": file(mode=0o000),
    b"/etc/\xff\xfe " + b"x" * 250: file(b"bytes in names"),
    "/etc/old": file(b"before 1970", mtime_ns=-86_400 * NANOSECONDS + 1),
    "/etc/late": file(b"in 2400", mtime_ns=13_569_465_600 * NANOSECONDS + 999_999_999),
    "/bin/su": file(b"#!", uid=1000, mode=0o4755),
    "/bin/wall": file(b"#!", gid=5, mode=0o2755),
    "/bin/ping": file(b"#!", mode=0o755, xattrs=((b"security.capability", CAPABILITY),)),
    "/tmp": folder(0o1777, mtime_ns=123),
    "/tmp/locked": folder(0o500, uid=7),
    "/tmp/locked/in": file(b"in a directory without w"),
    "/srv/shared": folder(0o2770, gid=44, xattrs=((b"system.posix_acl_default", DEFAULT),)),
    "/srv/shared/plain": file(b"inherits nothing", mode=0o604),
    "/srv/shared/deeper/plain": file(b"nor does this"),
    "/srv/acl": file(b"for 1234", mode=0o640, xattrs=((b"system.posix_acl_access", ACCESS),)),
    "/srv/tagged": file(b"x", mode=0o444, xattrs=((b"user.a", b"1"), (b"user.b", b"\0\xff"))),
    "/srv/trusted": link(b"none", xattrs=((b"trusted.of-a-link", b"kept"),)),
    "/names/a": TWICE,
    "/names/b": TWICE,
    "/names/deep/c": TWICE,
    "/names/la": LINKED_LINK,
    "/names/lb": LINKED_LINK,
    "/links/up": link(b"../../../../etc/passwd", uid=3, gid=4, mtime_ns=-1),
    "/links/dangling": link(b"\xff nowhere"),
    "/dev/null": Thing(mode=stat.S_IFCHR | 0o666, rdev=os.makedev(1, 3)),
    "/dev/sda": Thing(mode=stat.S_IFBLK | 0o660, gid=6, rdev=os.makedev(8, 0)),
    "/run/fifo": Thing(mode=stat.S_IFIFO | 0o622, uid=9),
    "/run/socket": Thing(mode=stat.S_IFSOCK | 0o777),
    "/var/big": file(noise(6 * MIB, 1), mode=0o600),
    "/var/sparse": file(2 * MIB, noise(5000, 2), 3 * MIB, noise(70_000, 3), 8 * MIB),
    "/var/hole": file(MIB),
}  # fmt: skip


@as_root
async def test_everything_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    async with restorer(tmp_path, WORLD) as restoring:
        report = await restoring.run(target, verify=True)
    assert found(target) == wanted(WORLD)
    assert report.findings == ()
    assert report.is_clean
    seen = wanted(WORLD)
    kinds = [stat.S_IFMT(it.mode) for it in seen.values()]
    assert report.directories == kinds.count(stat.S_IFDIR)
    assert report.files == kinds.count(stat.S_IFREG) - 2
    assert report.symlinks == kinds.count(stat.S_IFLNK) - 1
    assert (report.specials, report.hard_links, report.skipped) == (4, 3, 0)


@as_root
async def test_a_directory_of_the_snapshot_becomes_the_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    async with restorer(tmp_path, WORLD) as restoring:
        await restoring.run(target, path=b"/srv/shared/")
    assert found(target) == wanted(WORLD, b"/srv/shared")


@as_root
async def test_a_file_of_the_snapshot_is_put_into_the_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    async with restorer(tmp_path, WORLD) as restoring:
        await restoring.run(target, path=b"/etc/hosts")
        await restoring.run(target, path=b"/links/up")
    seen = found(target)
    assert seen.pop(b"").uid == 0
    assert set(seen) == {b"hosts", b"up"}
    assert seen[b"hosts"] == wanted(WORLD)[b"etc/hosts"].__class__(
        stat.S_IFREG | 0o640, 1000, 1001, WORLD["/etc/hosts"].mtime_ns, 0,
        b"127.0.0.1 localhost\n", (), frozenset({b"hosts"}),
    )  # fmt: skip


async def test_what_the_snapshot_has_not_is_said(tmp_path: Path) -> None:
    async with restorer(tmp_path, {"/a": file(b"a")}) as restoring:
        with pytest.raises(PathNotFoundError, match="/b"):
            await restoring.run(tmp_path / "target", path=b"/b")
        with pytest.raises(PathNotFoundError):
            await restoring.run(tmp_path / "target", path=b"/a/b")
        with pytest.raises(PathNotFoundError):
            await restoring.run(tmp_path / "target", path=b"/a/../a")
    assert not (tmp_path / "target").exists()


async def test_a_target_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("a file")
    async with restorer(tmp_path, {"/a": file(b"a")}) as restoring:
        with pytest.raises(LocalError, match="cannot be the target"):
            await restoring.run(tmp_path / "target")
    assert (tmp_path / "target").read_text() == "a file"


async def test_holes_stay_holes_unless_space_is_to_be_taken(tmp_path: Path) -> None:
    things = {"/sparse": file(16 * MIB, noise(4096), 16 * MIB), "/hole": file(8 * MIB)}
    async with restorer(tmp_path, things) as restoring:
        await restoring.run(tmp_path / "a")
        await restoring.run(tmp_path / "b", sparse=False)
    assert os.stat(tmp_path / "a" / "sparse").st_blocks * 512 <= 64 * 1024
    assert os.stat(tmp_path / "a" / "hole").st_blocks * 512 <= 8192
    assert os.stat(tmp_path / "b" / "sparse").st_blocks * 512 >= 32 * MIB
    assert found(tmp_path / "a") == found(tmp_path / "b")


async def test_contents_of_many_blocks_and_holes(tmp_path: Path) -> None:
    pieces = [noise(100 + at, at) if at % 3 else 512 for at in range(4000)]
    things = {"/lists": file(*pieces, 100_000), "/blocks": file(noise(9 * MIB, 4))}
    async with restorer(tmp_path, things, block_size=4096) as restoring:
        report = await restoring.run(tmp_path / "target", verify=True)
    assert report.is_clean
    assert found(tmp_path / "target") == wanted(things)


@pytest.fixture
def deep_path(tmp_path: Path) -> Iterator[Path]:
    """Is removed at once, because pytest's own cleaning recurses and breaks on so many levels."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "target"], check=True)


async def test_a_directory_of_many_names_and_a_deep_one(deep_path: Path) -> None:
    things: dict[str | bytes, Thing] = {f"/many/{at:05}": file(b"%d" % at) for at in range(3000)}
    deep = "/d" * 1200
    things[f"{deep}/bottom"] = file(b"deep")
    async with restorer(deep_path, things) as restoring:
        report = await restoring.run(deep_path / "target")
    assert report.is_clean
    assert (report.files, report.directories) == (3001, 1202)
    assert os.lstat(f"{deep_path}/target{deep}/bottom").st_size == 4
    assert len(os.listdir(deep_path / "target" / "many")) == 3000


async def test_all_is_there_when_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, seen = job._sync, []

    def looking(descriptor: int, target: bytes) -> None:
        seen.append(found(target))
        sync(descriptor, target)

    monkeypatch.setattr(job, "_sync", looking)
    things = {"/": folder(mtime_ns=5), "/a": file(b"a"), "/d/b": file(noise(5 * MIB))}
    async with restorer(tmp_path, things) as restoring:
        assert (await restoring.run(tmp_path / "target")).is_clean
    assert seen == [wanted(things)]


async def test_times_that_the_file_system_cannot_hold_are_said(tmp_path: Path) -> None:
    early = -11_644_473_600 * NANOSECONDS  # 1601
    things = {"/a": file(b"a", mtime_ns=early), "/b": file(b"b", mtime_ns=early)}
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(tmp_path / "target")
    if os.stat(tmp_path / "target" / "a").st_mtime_ns != early:
        (finding,) = report.findings
        assert finding.trouble is Trouble.METADATA
        assert "exact time on 2 entries" in finding.detail
        assert troubles(report) == {Trouble.METADATA: 2}


@as_root
async def test_owners_by_name(tmp_path: Path) -> None:
    things = {"/a": file(b"a", uid=4242, gid=4243), "/b": file(b"b", uid=77_777, gid=4243)}
    async with restorer(tmp_path, things) as restoring:
        source = restoring.repository.snapshots.sources()[0].number
        restoring.repository.replica.db.execute_many(
            "INSERT INTO owner VALUES (?, ?, ?, ?)",
            [
                (source, 0, 4242, b"nobody"),
                (source, 1, 4243, b"daemon"),
                (source, 0, 77_777, b"no such"),
            ],
        )
        await restoring.run(tmp_path / "ids")
        await restoring.run(tmp_path / "names", owners_by_name=True)
    ids, names = found(tmp_path / "ids"), found(tmp_path / "names")
    assert (ids[b"a"].uid, ids[b"a"].gid) == (4242, 4243)
    assert (names[b"a"].uid, names[b"a"].gid) == (65534, 1)
    assert (names[b"b"].uid, names[b"b"].gid) == (77_777, 1)


async def test_on_a_machine_that_knows_only_the_heads_of_the_log(tmp_path: Path) -> None:
    store = MemoryStore()
    things = {"/a/b": file(b"b"), "/c": file(noise(300_000))}
    async with (
        restorer(tmp_path / "one", things, store=store) as restoring,
        built(store, tmp_path / "other") as other,
    ):
        report = await Restorer(other, restoring.builder).run(tmp_path / "target")
    assert report.is_clean
    assert found(tmp_path / "target") == wanted(things)


async def test_progress_ends_at_what_there_was(tmp_path: Path) -> None:
    things = {
        "/a": file(b"x" * 100),
        "/b": file(noise(5 * MIB)),
        "/c": file(1000),
        "/d/e": link(b"a"),
    }
    async with restorer(tmp_path, things) as restoring:
        snapshot = restoring.repository.snapshots.by_number(restoring.builder.head)
        assert snapshot is not None
        progress = Progress()
        async with restoring.repository.reading() as reader:
            options = RestoreOptions(target=os.fsencode(tmp_path / "target"))
            report = await restore(restoring.repository, reader, snapshot, options, progress)
    assert progress.files == 4
    assert progress.bytes == report.bytes == 100 + 5 * MIB + 1000


class CountingStore(MemoryStore):
    """Notes which bytes of packs were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[str, int, int]] = []

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        data = await super().get(name, start=start, length=length)
        if name.startswith("packs/"):
            self.ranges.append((name, start, start + len(data)))
        return data


async def test_every_segment_is_fetched_once_and_neighbours_together(tmp_path: Path) -> None:
    things: dict[str | bytes, Thing] = {
        f"/{at % 40:02}/{at:04}": file(noise(10_000, at)) for at in range(1200)
    }
    things["/50/big"] = file(noise(40 * MIB, 5))
    store = CountingStore()
    async with restorer(
        tmp_path, things, store=store, block_size=512 * 1024, segment_size=512 * 1024
    ) as restoring:
        report = await restoring.run(tmp_path / "target")
    assert report.is_clean
    ranges = sorted(store.ranges)
    for (pack, _, end), (next_pack, start, _) in pairwise(ranges):
        assert pack != next_pack or start >= end, "bytes were fetched twice"
    assert len(ranges) <= 40, "52 MiB in requests of up to 4"


_names = st.sampled_from([b"a", b"b", b"\xff", b"c.txt", b" "])
_times = st.integers(-(2**30), 2**33).map(lambda seconds: seconds * NANOSECONDS + 17)
_owners = st.sampled_from([0, 1, 1000]) if os.geteuid() == 0 else st.just(os.geteuid())
_modes = st.integers(0, 0o7777)
_contents = st.lists(
    st.one_of(st.binary(min_size=1, max_size=300), st.integers(1, 9000)), max_size=4
)
_things = st.one_of(
    st.builds(
        lambda content, **rest: file(*content, **rest),
        _contents, mode=_modes, uid=_owners, gid=_owners, mtime_ns=_times,
        xattrs=st.sampled_from([(), ((b"user.x", b"y"),)]),
    ),
    st.builds(link, st.binary(min_size=1, max_size=20).filter(lambda it: b"\0" not in it),
              mtime_ns=_times, uid=_owners),
    st.builds(folder, _modes, mtime_ns=_times, gid=_owners),
)  # fmt: skip
_trees = st.dictionaries(st.lists(_names, min_size=1, max_size=3).map(tuple), _things, max_size=8)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(_trees, st.lists(st.tuples(st.integers(0, 7), _names), max_size=3))
@as_root
def test_any_tree_comes_back(
    tree: dict[tuple[bytes, ...], Thing], links: list[tuple[int, bytes]]
) -> None:
    things: dict[str | bytes, Thing] = {}
    for parts, thing in sorted(tree.items()):
        above = [b"/" + b"/".join(parts[:at]) for at in range(1, len(parts))]
        if all(stat.S_ISDIR(things.get(path, folder()).mode) for path in above):
            things[b"/" + b"/".join(parts)] = thing
    for at, name in links:
        files = [thing for thing in things.values() if not stat.S_ISDIR(thing.mode)]
        if at < len(files):
            things.setdefault(b"/links-" + name, files[at])

    async def story(directory: Path) -> None:
        target = directory / "target"
        async with restorer(directory, things, block_size=128, segment_size=400) as restoring:
            for _ in range(2):  # into nothing, and over what is there
                report = await restoring.run(target)
                assert report.findings == ()
                assert found(target) == wanted(things)
            again = await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
            assert again.files == again.symlinks == again.hard_links == 0
            assert found(target) == wanted(things)

    with tempfile.TemporaryDirectory() as directory:
        trio.run(story, Path(directory))
