"""An archive holds what the snapshot holds, and programs that are not ours read it."""

import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapfs.errors import DamagedError, LocalError, PathNotFoundError, UsageError
from snapfs.jobs.export import Format, file_sink, tar
from snapfs.jobs.export.sink import format_of
from snapfs.model.attributes import NANOSECONDS, Attributes
from snapfs.model.finding import Trouble
from snapfs.stores.memory import MemoryStore
from tests.build import Thing, file, folder, link
from tests.jobs.exporting import exported, extract
from tests.jobs.restoring import found, restorer, wanted
from tests.jobs.test_restore import ACCESS, WORLD, as_root, noise

MIB = 1024 * 1024
KEPT = {name: thing for name, thing in WORLD.items() if not stat.S_ISSOCK(thing.mode)}
ODD: dict[str | bytes, Thing] = {
    "/" + "long" * 50 + "/" + "name" * 60: file(b"beyond the old header"),
    "/link": link(b"far/" * 60),
    "/ids": file(b"x", uid=2**31, gid=2**31 + 1),
    "/=%": file(b"x", xattrs=((b"user.a=b%c", b"1"), (b"user.empty", b""))),
    "/line\nbreak": link(b"\n"),
    "/-rf": file(b"no option"),
    "/early": folder(mtime_ns=-1),
    "/earlier": file(mtime_ns=-5 * NANOSECONDS - 500_000_000),
    "/whole seconds": file(mtime_ns=-5 * NANOSECONDS),
    "/far": file(mtime_ns=9_000_000_000 * NANOSECONDS),
    "/text é": file(b"x"),
    "/block": file(noise(512)),
    "/edge": file(noise(4 * MIB + 1)),
}


@as_root
@pytest.mark.parametrize("chosen", list(Format))
async def test_gnu_tar_makes_all_of_it_again(tmp_path: Path, chosen: Format) -> None:
    archive = tmp_path / "archive"
    async with restorer(tmp_path, WORLD) as of:
        report = await exported(of, archive, chosen=chosen)
    extract(archive, tmp_path / "target")
    assert found(tmp_path / "target") == wanted(KEPT)
    (finding,) = report.findings
    assert (finding.trouble, finding.path) == (Trouble.REFUSED, b"/run/socket")
    assert report.written == archive.stat().st_size
    kinds = [stat.S_IFMT(it.mode) for it in wanted(KEPT).values()]
    assert report.directories == kinds.count(stat.S_IFDIR)
    assert report.files == kinds.count(stat.S_IFREG) - 2
    assert report.hard_links == 3


@as_root
async def test_what_the_old_header_cannot_hold(tmp_path: Path) -> None:
    async with restorer(tmp_path, ODD) as of:
        report = await exported(of, tmp_path / "archive")
    extract(tmp_path / "archive", tmp_path / "target")
    assert found(tmp_path / "target") == wanted(ODD)
    assert report.is_clean


@as_root
async def test_a_directory_and_a_file_of_a_snapshot(tmp_path: Path) -> None:
    async with restorer(tmp_path, WORLD) as of:
        await exported(of, tmp_path / "shared.tar", path=b"/srv/shared")
        await exported(of, tmp_path / "hosts.tar", path=b"/etc/hosts")
        with pytest.raises(PathNotFoundError):
            await exported(of, tmp_path / "none.tar", path=b"/nosuch")
    extract(tmp_path / "shared.tar", tmp_path / "shared")
    assert found(tmp_path / "shared") == wanted(WORLD, b"/srv/shared")
    extract(tmp_path / "hosts.tar", tmp_path / "hosts")
    assert (tmp_path / "hosts" / "hosts").read_bytes() == b"127.0.0.1 localhost\n"
    assert not [name for name in os.listdir(tmp_path) if "none" in name]


async def test_python_reads_it(tmp_path: Path) -> None:
    things = {**KEPT, **ODD}
    async with restorer(tmp_path, things) as of:
        await exported(of, tmp_path / "archive")
    seen = wanted(things)
    with tarfile.open(tmp_path / "archive", errors="surrogateescape") as archive:
        members = archive.getmembers()
        named = {os.fsencode(each.name).removeprefix(b".")[1:]: each for each in members}
        assert named.keys() == seen.keys()
        for name, member in named.items():
            thing = seen[name]
            assert (member.uid, member.gid) == (thing.uid, thing.gid)
            assert member.mode == stat.S_IMODE(thing.mode)
            if member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                assert content.read() == thing.content
            elif member.issym():
                assert os.fsencode(member.linkname) == thing.content
    size = (tmp_path / "archive").stat().st_size
    assert size % 10240 == 0


@pytest.mark.parametrize("letter", [b"n", b"\xff"])
def test_records_of_any_length_say_their_length(letter: bytes) -> None:
    """Each length has one more digit from some name on."""
    attributes = Attributes(stat.S_IFREG | 0o600, 0, 0, 0)
    for length in (*range(1, 110), *range(980, 1000), *range(9_980, 10_000)):
        name = letter * length
        data = io.BytesIO(tar.member(name, attributes) + tar.end(0))
        with tarfile.open(fileobj=data, errors="surrogateescape") as archive:
            (member,) = archive.getmembers()
        assert os.fsencode(member.name) == name
        assert ("path" in member.pax_headers) == (length > 100 or letter == b"\xff")


def times() -> st.SearchStrategy[int]:
    return st.integers(-(2**30) * NANOSECONDS, 2**33 * NANOSECONDS)


def things() -> st.SearchStrategy[Thing]:
    content = st.lists(st.one_of(st.binary(max_size=1200), st.integers(1, 5000)), max_size=3)
    xattrs = st.dictionaries(
        st.binary(min_size=1, max_size=120).filter(lambda name: b"\0" not in name),
        st.binary(max_size=300),
        max_size=2,
    ).map(_pairs)
    mode, owner = st.integers(0, 0o7777), st.integers(0, 2**32 - 2)
    return st.one_of(
        st.builds(
            lambda content, **more: file(*content, **more), content,
            mode=mode, uid=owner, gid=owner, mtime_ns=times(), xattrs=xattrs,
        ),
        st.builds(folder, mode, uid=owner, gid=owner, mtime_ns=times(), xattrs=xattrs),
        st.builds(
            link, st.binary(min_size=1, max_size=200).filter(lambda it: b"\0" not in it),
            uid=owner, mtime_ns=times(),
        ),
        st.builds(lambda mode: Thing(mode=stat.S_IFIFO | mode), mode),
    )  # fmt: skip


def _pairs(xattrs: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"user." + name, xattrs[name]) for name in sorted(xattrs, key=os.fsdecode))


def names() -> st.SearchStrategy[bytes]:
    return st.binary(min_size=1, max_size=255).filter(
        lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
    )


def trees() -> st.SearchStrategy[dict[str | bytes, Thing]]:
    inner = st.dictionaries(names(), things(), max_size=4)
    return st.builds(
        lambda flat, deep: {
            **{b"/" + name: thing for name, thing in flat.items()},
            **{b"/sub/" + name: thing for name, thing in deep.items()},
            **{b"/twice%d" % at: thing for at in range(2) for thing in list(flat.values())[:1]
               if not stat.S_ISDIR(thing.mode)},
            b"/sub": folder(),
        },
        inner, inner,
    )  # fmt: skip


@as_root
@settings(
    max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(trees())
def test_any_tree(tree: dict[str | bytes, Thing]) -> None:
    async def story(directory: Path) -> None:
        async with restorer(directory, tree) as of:
            await exported(of, directory / "archive")

    with tempfile.TemporaryDirectory() as made:
        trio.run(story, Path(made))
        extract(Path(made) / "archive", Path(made) / "target")
        assert found(Path(made) / "target") == wanted(tree)


@pytest.mark.parametrize("size", [30_000, 5 * MIB])
async def test_a_damaged_content_ends_it(tmp_path: Path, size: int) -> None:
    store = MemoryStore()
    archive = tmp_path / "archive.tar"
    archive.write_bytes(b"of yesterday")
    things = {"/a": file(b"whole"), "/b": file(noise(size, 1)), "/c": file(b"whole, too")}
    async with restorer(tmp_path, things, store=store) as of:
        damage(store)
        with pytest.raises(DamagedError, match=r"^/(a|b|c): "):
            await exported(of, archive)
    assert archive.read_bytes() == b"of yesterday"
    assert [name for name in os.listdir(tmp_path) if "archive" in name] == ["archive.tar"]


async def test_a_content_of_another_length_ends_it(tmp_path: Path) -> None:
    async with restorer(tmp_path, {"/a": file(b"whole")}) as of:
        of.repository.replica.db.execute("UPDATE node SET size = 6 WHERE size = 5")
        with pytest.raises(DamagedError, match=r"^/a: its content"):
            await exported(of, tmp_path / "archive.tar")


@pytest.mark.parametrize("bad", [b"..", b"../x", b"/etc/x", b"x\0y"])
async def test_names_that_lead_elsewhere_are_left_out(tmp_path: Path, bad: bytes) -> None:
    async with restorer(tmp_path, {"/evil": file(b"evil"), "/good": file(b"good")}) as of:
        of.repository.replica.db.execute(
            "UPDATE entry SET name = ? WHERE name = x'6576696c'", (bad,)
        )
        report = await exported(of, tmp_path / "archive.tar")
    assert [each.trouble for each in report.troubles] == [Trouble.REFUSED]
    with tarfile.open(tmp_path / "archive.tar") as archive:
        assert archive.getnames() == [".", "./good"]


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    with file_sink(Path("/dev/null"), Format.TAR) as sink:
        sink.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    (tmp_path / "linked").symlink_to("real.tar")
    with file_sink(tmp_path / "linked", Format.TAR) as sink:
        sink.write(b"x")
    assert (tmp_path / "linked").is_symlink()
    assert (tmp_path / "real.tar").read_bytes() == b"x"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nosuch" / "x"):
        with pytest.raises(LocalError), file_sink(place, Format.TAR):
            pass
    with pytest.raises(LocalError), file_sink(Path("/dev/full"), Format.TAR) as sink:
        sink.write(b"x")


def test_formats_by_name() -> None:
    assert format_of("a.b/x.TAR") is Format.TAR
    assert format_of("x.tar.zst") is format_of("x.tzst") is Format.ZSTD
    assert format_of("x.tgz") is Format.GZIP
    with pytest.raises(UsageError):
        format_of("x.zip")


@as_root
async def test_an_acl_that_is_none_is_kept_as_it_is(tmp_path: Path) -> None:
    odd = ((b"system.posix_acl_access", ACCESS[:-3]), (b"user.ok", b"1"))
    async with restorer(tmp_path, {"/a": file(b"a", xattrs=odd)}) as of:
        await exported(of, tmp_path / "archive.tar")
    with tarfile.open(tmp_path / "archive.tar") as archive:
        headers = archive.getmember("./a").pax_headers
    assert set(headers) == {
        "mtime", "SCHILY.xattr.user.ok", "SCHILY.xattr.system.posix_acl_access",
    }  # fmt: skip


def damage(store: MemoryStore) -> None:
    """Change a byte in the middle of each pack."""
    for name, data in store.objects.items():
        if name.startswith("packs/"):
            broken = bytearray(data)
            broken[len(broken) // 2] ^= 1
            store.objects[name] = bytes(broken)
