"""Which trees are captured: roots of all kinds, what is left out, streams, and rehearsals."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from snapfs.errors import BusyError, UsageError
from snapfs.jobs.ingest import walk
from snapfs.model.finding import Trouble
from snapfs.sources.exclude import CACHE_SIGNATURE, Exclusions
from snapfs.sources.roots import plan_roots, read_names
from snapfs.stores.memory import MemoryStore
from tests.faulty import FaultyStore
from tests.jobs.ingesting import Machine, machine
from tests.manifest import manifest_of_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "d" / "inner").mkdir(parents=True)
    for name in ("a", "b", "d/c", "d/inner/x"):
        (path / name).write_bytes(name.encode() * 100)
    return path


async def _paths(host: Machine, *paths: Path | bytes, **options: object) -> set[str]:
    """What a snapshot of these paths holds, below the directory of the tree."""
    report = await host.ingest(*paths, **options)
    assert report.findings.listed == []
    found = await host.stored(report.snapshot, below=host.tree.parent)
    return {os.fsdecode(path) for path in found if path}


# --- roots


async def test_several_roots_and_nothing_beside_them(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        found = await _paths(host, tree / "a", tree / "d" / "inner", tree / "d" / "inner" / "x")
        assert found == {"tree", "tree/a", "tree/d", "tree/d/inner", "tree/d/inner/x"}
        # Other roots next time: what is not in them is not in the snapshot.
        assert await _paths(host, tree / "b") == {"tree", "tree/b"}
        assert len(await _paths(host, tree)) == 7
        await host.check()


async def test_names_from_a_list(tree: Path, tmp_path: Path) -> None:
    names = read_names(b"%s/a\0%s/d/c\0" % (os.fsencode(tree), os.fsencode(tree)))
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        assert await _paths(host, *names) == {"tree", "tree/a", "tree/d", "tree/d/c"}


async def test_a_root_that_is_a_file(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree / "a") as host:
        await host.capture()
        (tree / "a").write_bytes(b"changed")
        assert (await host.capture()).counts.changed == 1
        await host.check()


async def test_a_root_behind_a_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tree)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        report = await host.ingest(tmp_path / "way" / "d")
        stored = await host.stored(report.snapshot, below=tmp_path / "way" / "d")
        assert stored == manifest_of_tree(tree / "d")
        again = await host.ingest(tmp_path / "way" / "d")
        assert (again.counts.bytes_read, again.counts.new, again.counts.changed) == (0, 0, 0)
        await host.check()


async def test_roots_that_are_gone_when_the_walk_comes(tree: Path, tmp_path: Path) -> None:
    """One is missing: the others are captured, it stays as it was, and that is no success."""
    roots = plan_roots([os.fsencode(tree / "a"), os.fsencode(tree / "b")], b"/")
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        before = await host.stored((await host.ingest(roots=roots)).snapshot)
        (tree / "a").unlink()
        (tree / "b").write_bytes(b"changed")
        report = await host.ingest(tree, roots=roots)
        after = await host.stored(report.snapshot)
        assert after[b"a"] == before[b"a"]
        assert after[b"b"] != before[b"b"]
        assert report.findings.counts == {Trouble.UNREADABLE: 1}
        assert report.findings.failures == report.counts.failed == 1
        await host.check()


# --- left out


async def test_marked_directories(tree: Path, tmp_path: Path) -> None:
    (tree / "d" / "CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE + b"\n")
    (tree / "e").mkdir()
    (tree / "e" / ".nobackup").touch()
    (tree / "e" / "f").touch()
    exclusions = Exclusions(caches=True, if_present=(b".nobackup",))
    kept = {"tree", "tree/a", "tree/b", "tree/d", "tree/d/CACHEDIR.TAG", "tree/e"}
    kept.add("tree/e/.nobackup")
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        assert await _paths(host, tree, exclusions=exclusions) == kept
        (tree / "d" / "CACHEDIR.TAG").unlink()
        assert "tree/d/c" in await _paths(host, tree, exclusions=exclusions)
        await host.check()


async def test_large_files_and_patterns(tree: Path, tmp_path: Path) -> None:
    (tree / "large").write_bytes(b"x" * 2000)
    (tree / "d" / "large.d").mkdir()
    exclusions = Exclusions(patterns=(b"inner/", b"*.o", b"!kept.o"), larger_than=1999)
    (tree / "x.o").touch()
    (tree / "kept.o").touch()
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        found = await _paths(host, tree, exclusions=exclusions)
        assert found == {
            "tree", "tree/a", "tree/b", "tree/d", "tree/d/c", "tree/d/large.d", "tree/kept.o"
        }  # fmt: skip


async def test_what_is_never_captured(tree: Path, tmp_path: Path) -> None:
    never = frozenset({os.fsencode(tree / "d" / "inner"), os.fsencode(tree / "a")})
    (tree / "inner").mkdir()
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        found = await _paths(host, tree, never=never)
        assert found == {"tree", "tree/b", "tree/d", "tree/d/c", "tree/inner"}
        await host.check()


@contextmanager
def _mounted(path: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "none", path]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


async def test_one_file_system(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        with _mounted(tree / "d"):
            (tree / "d" / "elsewhere").write_bytes(b"x")
            one = Exclusions(one_file_system=True)
            assert await _paths(host, tree, exclusions=one) == {
                "tree",
                "tree/a",
                "tree/b",
                "tree/d",
            }
            assert "tree/d/elsewhere" in await _paths(host, tree)
            # A root that is named is captured wherever it lies.
            assert "tree/d/elsewhere" in await _paths(host, tree / "d", exclusions=one)
        await host.capture()
        await host.check()


# --- streams


@contextmanager
def _standard_input(monkeypatch: pytest.MonkeyPatch, path: Path, data: bytes) -> Iterator[None]:
    path.write_bytes(data)
    with open(path, "rb") as file, monkeypatch.context() as patched:
        patched.setattr("sys.stdin", file)
        yield


async def test_a_stream(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(5 << 20)
    async with machine(MemoryStore(), tmp_path / "m", tree, name="dump") as host:
        reports = []
        for content in (data, data[: 3 << 20] + b"new" + data[3 << 20 :]):
            with _standard_input(monkeypatch, tmp_path / "in", content):
                reports.append(await host.ingest(roots=(), stream_name=b"db.sql"))
        for report, size in zip(reports, (len(data), len(data) + 3), strict=True):
            found = await host.stored(report.snapshot, below=b"/")
            assert sorted(found) == [b"", b"db.sql"]
            assert found[b"db.sql"].size == report.counts.bytes_read == size
        assert host.delta(reports[1]).blocks <= 3
        await host.check()


async def test_a_stream_takes_the_place_of_a_tree(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = os.fsencode(tree).split(b"/")[1]
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        for name in (b"dump", top):
            await host.capture()
            with _standard_input(monkeypatch, tmp_path / "in", b"data"):
                report = await host.ingest(roots=(), stream_name=name)
            assert set(await host.stored(report.snapshot, below=b"/")) == {b"", name}
            assert report.counts.removed == 4
            await host.check()
        await host.capture()
        await host.check()


async def test_a_long_stream_commits_progress(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        with _standard_input(monkeypatch, tmp_path / "in", os.urandom(20 << 20)):
            report = await host.ingest(roots=(), stream_name=b"s", progress_bytes=4 << 20)
        assert report.snapshot is not None
        assert report.snapshot.number > 4
        await host.check()


# --- rehearsals, and two at once


async def test_a_dry_run_writes_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FaultyStore(MemoryStore())
    async with machine(store, tmp_path / "m", tree) as host:
        dry = await host.ingest(dry_run=True)
        assert (dry.snapshot, dry.counts.new, dry.counts.bytes_read) == (None, 4, 0)
        await host.capture()
        (tree / "b").unlink()
        (tree / "d" / "new").write_bytes(b"new")
        (tree / "a").chmod(0o600)
        store.calls.clear()
        dry = await host.ingest(dry_run=True)
        with _standard_input(monkeypatch, tmp_path / "in", os.urandom(20 << 20)):
            await host.ingest(roots=(), stream_name=b"s", dry_run=True)
        assert not [name for verb, name in store.calls if verb == "put"]
        real = await host.capture()
        for name in ("new", "changed", "unchanged", "removed", "directories", "bytes_total"):
            assert getattr(dry.counts, name) == getattr(real.counts, name), name
        await host.check()


async def test_one_at_a_time_on_one_machine(tree: Path, tmp_path: Path) -> None:
    failures = []
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:

        async def attempt() -> None:
            try:
                await host.ingest()
            except BusyError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(attempt)
        assert len(failures) == 2
        assert str(os.getpid()) in str(failures[0])
        await host.capture()
        await host.check()


async def test_a_name_that_cannot_be(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree, name="a/b") as host:
        with pytest.raises(UsageError):
            await host.ingest()


async def test_a_cancelled_walk_ends_soon(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where nothing has changed, and nothing is to be waited for."""
    seen = []
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        with trio.CancelScope() as scope:
            listed = walk.list_directory

            def cancel(path: bytes, **options: object) -> object:
                seen.append(path)
                trio.from_thread.run_sync(scope.cancel)
                return listed(path, **options)  # type: ignore[arg-type]

            monkeypatch.setattr(walk, "list_directory", cancel)
            await host.ingest()
        assert scope.cancelled_caught
        assert len(seen) == 1
        monkeypatch.undo()
        await host.capture()
        await host.check()
