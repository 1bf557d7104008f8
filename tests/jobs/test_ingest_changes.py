"""A second ingest: its delta is what has changed and nothing else, and every snapshot is whole."""

import mmap
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from snapfs.jobs.ingest.options import IngestReport
from snapfs.metadata.local import Local
from snapfs.sources.exclude import Exclusions
from snapfs.stores.memory import MemoryStore
from tests.faulty import FaultyStore
from tests.jobs.ingesting import Machine, machine

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="owners need root"),
    pytest.mark.usefixtures("reading"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    for folder in ("a/b/c", "d", "e"):
        (path / folder).mkdir(parents=True)
        for number in range(3):
            (path / folder / f"f{number}").write_bytes(f"{folder}{number}".encode() * 50)
    (path / "linked").write_bytes(b"linked")
    os.link(path / "linked", path / "d" / "linked")
    os.symlink("a/b", path / "link")
    return path


def _read(report: IngestReport) -> int:
    return report.counts.bytes_read


async def test_nothing_changed(tree: Path, tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore())
    async with machine(store, tmp_path / "m", tree) as host:
        above = host.above()
        first = await host.capture()
        store.calls.clear()
        second = await host.capture()
        puts = [name for verb, name in store.calls if verb == "put"]
        if host.above() == above:
            assert [name.partition("/")[0] for name in puts] == ["log"]
        assert (_read(second), second.counts.new, second.counts.changed) == (0, 0, 0)
        assert second.counts.unchanged == first.counts.new == 12
        assert second.counts.bytes_total == first.counts.bytes_total
        assert host.nodes(first) == host.nodes(second)
        await host.check()


@dataclass(frozen=True, slots=True)
class Case:
    """A change, and what it costs."""

    change: Callable[[Path], object]
    nodes: int
    blocks: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    "new, changed, removed"
    read: bool = False


def _swap(path: Path) -> None:
    copy = path.with_name("copy")
    status = path.parent.stat()
    subprocess.run(["cp", "-a", path, copy], check=True)
    shutil.rmtree(path)
    copy.rename(path)
    os.utime(path.parent, ns=(0, status.st_mtime_ns))


def _keeping_time(path: Path, change: Callable[[], object]) -> None:
    """A change whose trace in its directory's time is wiped away, so that it costs no node."""
    before = path.stat().st_mtime_ns
    change()
    os.utime(path, ns=(0, before))


def _replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inner").write_bytes(b"within")


def _replaced_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"was a folder")


def _replaced_by_link(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("elsewhere")


def _replaced_by_name(path: Path, other: Path) -> None:
    shutil.rmtree(path)
    os.link(other, path)


def _made_a_second_name(path: Path, other: Path) -> None:
    path.unlink()
    os.link(other, path)


CASES = {
    "content": Case(lambda t: (t / "d/f0").write_bytes(b"new"), 1, 1, (0, 1, 0), True),
    "chmod": Case(lambda t: (t / "d/f0").chmod(0o600), 1, 0, (0, 1, 0), True),
    "chown": Case(lambda t: os.chown(t / "d/f0", 5, 6), 1, 0, (0, 1, 0), True),
    "touch": Case(lambda t: os.utime(t / "d/f0", ns=(0, 7)), 1, 0, (0, 1, 0), True),
    "xattr": Case(lambda t: os.setxattr(t / "d/f0", "user.x", b"1"), 1, 0, (0, 1, 0), True),
    "chmod of a directory": Case(lambda t: (t / "d").chmod(0o700), 1),
    "touch of the root": Case(lambda t: os.utime(t, ns=(0, 7)), 1),
    "rename": Case(lambda t: (t / "d/f0").rename(t / "d/g"), 2, 0, (1, 0, 1), True),
    "rename of a directory": Case(lambda t: (t / "a").rename(t / "z"), 7, 0, (3, 0, 3), True),
    "delete": Case(lambda t: (t / "d/f0").unlink(), 1, 0, (0, 0, 1)),
    "delete a directory": Case(lambda t: shutil.rmtree(t / "a"), 1, 0, (0, 0, 3)),
    "file to directory": Case(lambda t: _replaced_by_folder(t / "e/f0"), 3, 1, (1, 0, 0), True),
    "directory to file": Case(lambda t: _replaced_by_file(t / "a"), 2, 1, (1, 0, 3), True),
    "directory to link": Case(lambda t: _replaced_by_link(t / "a/b"), 2, 0, (1, 0, 3)),
    "file to hard link": Case(
        lambda t: _made_a_second_name(t / "e/f0", t / "e/f1"), 2, 0, (0, 2, 0), True
    ),
    "directory to hard link": Case(
        lambda t: _replaced_by_name(t / "a", t / "linked"), 2, 0, (1, 2, 3), True
    ),
    "a third name": Case(
        lambda t: os.link(t / "linked", t / "third"), 2, 0, (1, 2, 0), True
    ),
    "a name less": Case(lambda t: (t / "d/linked").unlink(), 2, 0, (0, 1, 1), True),
    "a file at the same time": Case(
        lambda t: _keeping_time(t / "d", lambda: (t / "d/f9").write_bytes(b"9")),
        1, 1, (1, 0, 0), True,
    ),
    "swapped for a copy": Case(lambda t: _swap(t / "a"), 0, 0, (0, 0, 0), True),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
async def test_a_change(what: str, tree: Path, tmp_path: Path) -> None:
    case = CASES[what]
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        case.change(tree)
        report = await host.capture()
        counts = report.counts
        assert (host.new_nodes(report), host.delta(report).blocks) == (case.nodes, case.blocks)
        assert (counts.new, counts.changed, counts.removed) == case.counts
        assert bool(counts.bytes_read) == case.read
        third = await host.capture()
        assert (host.new_nodes(third), host.delta(third).blocks) == (0, 0)
        assert host.nodes(third) == host.nodes(report)
        assert _read(third) == 0
        await host.check()


async def test_a_directory_that_returns_has_its_number_again(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        first = await host.capture()
        (tree / "a").rename(tmp_path / "aside")
        await host.capture()
        (tmp_path / "aside").rename(tree / "a")
        third = await host.capture()
        assert host.delta(third).directories == host.delta(third).blocks == 0
        tree_of = host.repository.tree
        numbers = []
        for report in (first, third):
            assert report.snapshot is not None
            entry = tree_of.resolve(
                report.snapshot.anchor, report.snapshot.number, os.fsencode(tree / "a/b/c")
            )
            assert entry is not None
            numbers.append(entry.child)
        assert numbers[0] == numbers[1]
        await host.check()


def _replace_root(tree: Path, make: Callable[[], object]) -> None:
    if tree.is_dir() and not tree.is_symlink():
        tree.rename(tree.with_name("aside"))
    else:
        tree.unlink()
    make()


async def test_the_root_is_replaced(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        _replace_root(tree, lambda: tree.write_bytes(b"a file now"))
        await host.capture()
        _replace_root(tree, lambda: tree.symlink_to("aside"))
        await host.capture()
        _replace_root(tree, lambda: (tmp_path / "aside").rename(tree))
        report = await host.capture()
        assert report.counts.new == 12
        await host.check()


async def test_excluded_later_and_no_more(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        first = await host.capture()
        report = await host.ingest(exclusions=Exclusions(patterns=(b"**/a/b", b"f2")))
        stored = await host.stored(report.snapshot)
        assert {b"a", b"d/f0"} <= set(stored)
        assert not {b"a/b", b"a/b/c", b"a/b/c/f0", b"d/f2", b"e/f2"} & set(stored)
        again = await host.capture()
        assert host.delta(again).blocks == 0
        assert set(host.nodes(again)) == set(host.nodes(first))
        await host.check()


async def test_a_name_that_is_excluded_counts_no_more(tree: Path, tmp_path: Path) -> None:
    """Nothing about the file itself tells that it has a name less in the snapshot."""
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        first = await host.capture()
        report = await host.ingest(exclusions=Exclusions(patterns=(b"**/d/linked",)))
        numbers = host.nodes(first)[b"linked"], host.nodes(report)[b"linked"]
        nodes = [host.repository.tree.node(number) for number in numbers]
        assert [node and node.attributes.nlink for node in nodes] == [2, 1]
        await host.check()


async def test_a_directory_is_removed_with_all_below_it(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture(progress_seconds=0.0)
        shutil.rmtree(tree / "a")
        (tree / "e/new").write_bytes(b"new")
        await host.capture(progress_seconds=0.0)
        await host.check()


# --- what is trusted


async def test_nothing_is_kept_of_directories_that_are_gone(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        before = _confirmed(host)
        (tree / "a").rename(tmp_path / "aside")
        await host.capture()
        gone = sum(len(files) for _, _, files in os.walk(tmp_path / "aside"))
        assert gone > 1
        assert _confirmed(host) <= before - gone


async def test_nothing_is_kept_of_files_that_are_gone(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        before = _confirmed(host)
        (tree / "a/b/c/f0").unlink()
        (tree / "d/f1").unlink()
        await host.capture()
        assert _confirmed(host) == before - 2


def _confirmed(host: Machine) -> int:
    state = host.repository.state
    with Local.open(state.local, state.replica).db as db:
        row = db.row("SELECT count(*) FROM confirmed")
    assert row is not None
    return int(row[0])


async def test_what_is_young_is_read_again(tree: Path, tmp_path: Path) -> None:
    """A second write within the clock's tick, of equal size, leaves no trace but the content."""
    async with machine(MemoryStore(), tmp_path / "m", tree, ahead_ns=0) as host:
        first = await host.capture()
        path = tree / "d/f0"
        before = path.stat()
        path.write_bytes(b"D" * before.st_size)
        os.utime(path, ns=(0, before.st_mtime_ns))
        report = await host.capture()
        assert report.counts.changed == 1
        assert _read(report) == _read(first)
        await host.check()


async def test_a_state_is_trusted_a_minute_after_its_times(tree: Path, tmp_path: Path) -> None:
    """Nothing but the age of a file's times decides whether it is read again."""
    for ahead, trusted in ((59, False), (61, True)):
        state = tmp_path / f"m{ahead}"
        async with machine(MemoryStore(), state, tree, ahead_ns=ahead * 10**9) as host:
            first = await host.capture()
            second = await host.capture()
            assert _read(second) == (0 if trusted else _read(first))


async def test_a_writer_through_a_mapping_is_noticed(tree: Path, tmp_path: Path) -> None:
    path = tree / "d/f0"
    async with machine(MemoryStore(), tmp_path / "m", tree, ahead_ns=0) as host:
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:  # noqa: ASYNC230
            mapped[0:1] = b"1"
            await host.capture()
            mapped[0:1] = b"2"  # moves no time: the page is dirty already
            report = await host.capture()
        assert report.counts.changed == 1
        await host.check()


async def test_force_reads_everything(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        first = await host.capture()
        second = await host.capture(force=True)
        assert _read(second) == _read(first) > 0
        assert (host.new_nodes(second), host.delta(second).blocks) == (0, 0)
        assert host.nodes(first) == host.nodes(second)
        await host.check()


def _databases(state: Path, name: str) -> list[Path]:
    return list(state.glob(f"state/*/{name}*"))


async def _whole_read_without_upload(host: Machine, store: FaultyStore, read: int) -> None:
    store.calls.clear()
    report = await host.capture()
    assert _read(report) == read > 0
    assert (host.new_nodes(report), host.delta(report).blocks) == (0, 0)
    assert not [name for verb, name in store.calls if verb == "put" and name.startswith("packs/")]
    await host.check()


@pytest.mark.parametrize("name", ["local.db", "*.db"])
async def test_lost_state_costs_one_read(name: str, tree: Path, tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore())
    async with machine(store, tmp_path / "m", tree) as host:
        read = _read(await host.capture())
        kept = host.kept
    for path in _databases(tmp_path / "m", name):
        path.unlink()
    async with machine(store, tmp_path / "m", tree) as host:
        host.kept = kept
        await _whole_read_without_upload(host, store, read)
        assert _read(await host.capture()) == 0


async def test_an_older_local_database_is_of_use(tree: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    async with machine(store, tmp_path / "m", tree) as host:
        await host.capture()
    old = {path: path.read_bytes() for path in _databases(tmp_path / "m", "local.db")}
    (tree / "d/f0").write_bytes(b"changed")
    async with machine(store, tmp_path / "m", tree) as host:
        await host.capture()
    for path in _databases(tmp_path / "m", "local.db"):
        path.unlink()
    for path, data in old.items():
        path.write_bytes(data)
    async with machine(store, tmp_path / "m", tree) as host:
        report = await host.capture()
        assert _read(report) == len(b"changed")
        assert host.new_nodes(report) == 0
        await host.check()


async def test_a_newer_local_database_is_not_believed(tree: Path, tmp_path: Path) -> None:
    """The log was set back, and the replica is built anew: what was confirmed since is void."""
    store = MemoryStore()
    async with machine(store, tmp_path / "m", tree) as host:
        await host.capture()
        kept = dict(store.objects)
        (tree / "d/f0").write_bytes(b"changed")
        await host.capture()
    store.objects = kept
    for path in _databases(tmp_path / "m", "replica-*.db"):
        path.unlink()
    async with machine(store, tmp_path / "m", tree) as host:
        report = await host.capture()
        assert report.counts.changed == 1
        assert _read(report) == len(b"changed")
        await host.check()
