"""What does not hold still while it is captured: each file is as it was at one moment."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapfs.jobs.ingest import files, links
from snapfs.jobs.ingest.comparing import EntryWalk
from snapfs.model.finding import Trouble
from snapfs.sources import reading
from snapfs.sources.exclude import Exclusions
from snapfs.sources.listing import Found
from snapfs.stores.memory import MemoryStore
from tests.jobs.ingesting import machine
from tests.jobs.striking import Struck, found, make_tree
from tests.manifest import Manifest, manifest_of_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture
def struck(monkeypatch: pytest.MonkeyPatch) -> Struck:
    return Struck(monkeypatch)


def _below(manifest: Manifest) -> Manifest:
    """Without the root, which was looked at before the change that a test makes on the way."""
    return {name: item for name, item in manifest.items() if name}


# --- gone, or another, when it is to be read


async def test_what_vanishes_is_not_there(tree: Path, tmp_path: Path, struck: Struck) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        for name in ("b", "d/c"):
            (tree / name).write_bytes(b"changed")
        struck.before = {b"b": [(tree / "b").unlink], b"c": [(tree / "d/c").unlink]}
        report = await host.ingest()
        assert report.findings.counts == {Trouble.VANISHED: 2}
        assert report.findings.failures == report.counts.failed == 0
        assert not {b"b", b"d/c"} & set(await host.stored(report.snapshot))
        await host.capture()
        await host.check()


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.rename(path)


async def test_a_file_that_is_replaced_before_it_is_read_is_read_anew(
    tree: Path, tmp_path: Path, struck: Struck
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        (tree / "b").write_bytes(b"changed")
        struck.before[b"b"] = [lambda: _replace(tree / "b", b"other")] * 2
        report = await host.ingest()
        assert report.findings.listed == []
        assert _below(await host.stored(report.snapshot)) == _below(manifest_of_tree(tree))
        await host.check()


@pytest.mark.parametrize("known", [True, False])
async def test_a_file_that_is_replaced_by_what_is_excluded_is_not_there(
    tree: Path, tmp_path: Path, struck: Struck, known: bool
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        if known:
            await host.capture()
        (tree / "b").write_bytes(b"changed")
        struck.before[b"b"] = [lambda: _replace(tree / "b", b"x" * 5000)]
        report = await host.ingest(exclusions=Exclusions(larger_than=4000))
        assert report.findings.listed == []
        assert b"b" not in await host.stored(report.snapshot)
        await host.capture()
        await host.check()


async def test_a_file_that_is_replaced_all_the_time_stays_as_it_was(
    tree: Path, tmp_path: Path, struck: Struck
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        before = await host.stored((await host.capture()).snapshot)
        (tree / "b").write_bytes(b"changed")
        struck.before[b"b"] = [lambda: _replace(tree / "b", b"other")] * 9
        report = await host.ingest()
        struck.before.clear()
        assert found(report, tree) == [(Trouble.UNREADABLE, "b")]
        assert (await host.stored(report.snapshot))[b"b"] == before[b"b"]
        await host.capture()
        await host.check()


def _make_folder(path: Path) -> None:
    path.unlink()
    (path / "within").mkdir(parents=True)


def _make_name_of(path: Path, other: Path) -> None:
    path.unlink()
    os.link(other, path)


@pytest.mark.parametrize("become", ["folder", "link", "second name", "fifo"])
async def test_a_file_that_becomes_something_else_before_it_is_read(
    become: str, tree: Path, tmp_path: Path, struck: Struck
) -> None:
    path = tree / "b"
    make: dict[str, Callable[[], object]] = {
        "folder": lambda: _make_folder(path),
        "link": lambda: (path.unlink(), path.symlink_to("a")),
        "second name": lambda: _make_name_of(path, tree / "d/c"),
        "fifo": lambda: (path.unlink(), os.mkfifo(path)),
    }
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        path.write_bytes(b"changed")
        struck.before[b"b"] = [make[become]]
        report = await host.ingest()
        assert report.findings.listed == []
        # The other name of the inode was compared after this one, so both are known.
        assert _below(await host.stored(report.snapshot)) == _below(manifest_of_tree(tree))
        await host.check()


@pytest.mark.parametrize("become", ["gone", "file", "folder", "link", "all gone"])
async def test_a_second_name_that_becomes_something_else(
    become: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "a2"
    make: dict[str, Callable[[], object]] = {
        "gone": path.unlink,
        "file": lambda: _replace(path, b"its own"),
        "folder": lambda: _make_folder(path),
        "link": lambda: (path.unlink(), path.symlink_to("a")),
        "all gone": lambda: (path.unlink(), (tree / "a").unlink()),
    }
    run = links.LinkedFiles.run

    def late(self: links.LinkedFiles) -> None:
        make[become]()
        run(self)

    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        before = await host.stored((await host.capture()).snapshot)
        (tree / "a").chmod(0o600)
        monkeypatch.setattr(links.LinkedFiles, "run", late)
        report = await host.ingest()
        monkeypatch.setattr(links.LinkedFiles, "run", run)
        after = await host.stored(report.snapshot)
        expected = manifest_of_tree(tree)
        if become == "folder":
            assert after[b"a2"].content == before[b"a2"].content
            assert found(report, tree) == [(Trouble.CHANGED, "a2")]
        else:
            assert _below(after) == _below(expected)
        await host.capture()
        await host.check()


# --- changed after its directory was listed


def _strike_comparing(patch: pytest.MonkeyPatch, name: bytes, what: Callable[[], object]) -> None:
    compare = EntryWalk.compare

    def strike_and_compare(self: EntryWalk, found: Found | None, *more: Any) -> None:
        if found is not None and found.name == name:
            patch.undo()
            what()
        compare(self, found, *more)

    patch.setattr(EntryWalk, "compare", strike_and_compare)


def _point_elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("a2")
    os.utime(path, ns=(0, 10**18), follow_symlinks=False)


def _set_attributes(path: Path) -> None:
    path.chmod(0o700)
    os.setxattr(path, "user.n", b"v")
    os.utime(path, ns=(0, 10**18))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("name", "change"), [("link", _point_elsewhere), ("d", _set_attributes), ("pipe", os.unlink)]
)
async def test_what_changes_before_it_is_compared_is_as_it_was_at_one_moment(
    tree: Path, tmp_path: Path, name: str, change: Callable[[Path], object], known: bool
) -> None:
    (tree / "link").symlink_to("a")
    os.mkfifo(tree / "pipe")
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        if known:
            await host.capture()
            for path in (tree / "d", tree / "pipe"):
                path.chmod(0o711)
            (tree / "link").unlink()
            (tree / "link").symlink_to("b")
        with pytest.MonkeyPatch.context() as patch:
            _strike_comparing(patch, name.encode(), lambda: change(tree / name))
            report = await host.ingest()
        after = _below(manifest_of_tree(tree))
        stored = _below(await host.stored(report.snapshot))
        assert stored.get(name.encode()) == after.get(name.encode())
        await host.capture()
        await host.check()


# --- changed while it is read


def _strike_open(monkeypatch: pytest.MonkeyPatch, path: Path, what: Callable[[], object]) -> None:
    opened = files.open_file

    def open_and_strike(
        name: bytes, seen: os.stat_result, *, descriptor: int | None
    ) -> reading.File:
        file = opened(name, seen, descriptor=descriptor)
        if name == os.fsencode(path):
            what()
        return file

    monkeypatch.setattr(files, "open_file", open_and_strike)


@pytest.mark.parametrize("size", [1000, 3_000_000])
@pytest.mark.parametrize("how", ["shrinks", "grows", "changes"])
async def test_a_file_that_changes_while_it_is_read(
    how: str, size: int, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree / "b"
    first = os.urandom(size)
    path.write_bytes(first)
    what: dict[str, Callable[[], object]] = {
        "shrinks": lambda: os.truncate(path, size // 3),
        "grows": lambda: path.write_bytes(first + b"more"),
        "changes": lambda: path.write_bytes(bytes(size)),
    }
    expected = {"shrinks": first[: size // 3], "grows": first, "changes": bytes(size)}
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        with monkeypatch.context() as patched:
            _strike_open(patched, path, what[how])
            report = await host.ingest()
        kept = (await host.stored(report.snapshot))[b"b"]
        assert kept.size == len(expected[how])
        quiet = how == "grows"
        assert found(report, tree) == ([] if quiet else [(Trouble.CHANGED, "b")])
        # It is not trusted: the next ingest reads it again, and has it as it is.
        await host.capture()
        await host.check()


async def test_a_fifo_is_never_waited_for(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "pipe")
    async with machine(MemoryStore(), tmp_path / "m", tree / "pipe") as host:
        report = await host.capture()
        assert stat.S_ISFIFO((await host.stored(report.snapshot))[b""].mode)
        await host.check()
