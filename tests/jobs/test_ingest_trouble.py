"""What cannot be read: a finding, and nothing is lost by it."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from snapfs.model.finding import Trouble
from snapfs.stores.memory import MemoryStore
from tests.jobs.ingesting import machine
from tests.jobs.striking import Struck, found, make_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture
def struck(monkeypatch: pytest.MonkeyPatch) -> Struck:
    return Struck(monkeypatch)


@pytest.mark.parametrize("name", ["b", "d/c", "d/inner"])
async def test_what_cannot_be_read_stays_as_it_was(
    name: str, tree: Path, tmp_path: Path, struck: Struck
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        before = await host.stored((await host.capture()).snapshot)
        (tree / "b").write_bytes(b"other")
        (tree / "d/c").write_bytes(b"other")
        (tree / "d/inner/x").unlink()
        struck.denied.add(os.path.basename(name).encode())
        report = await host.ingest()
        struck.denied.clear()
        assert found(report, tree) == [(Trouble.UNREADABLE, name)]
        assert report.findings.failures == report.counts.failed == 1
        after = await host.stored(report.snapshot)
        kept = name if name != "d/inner" else "d/inner/x"
        assert after[kept.encode()] == before[kept.encode()]
        changed = "b" if name != "b" else "d/c"
        assert after[changed.encode()] != before[changed.encode()]
        await host.capture()
        await host.check()


async def test_what_is_new_and_cannot_be_read_is_not_there(
    tree: Path, tmp_path: Path, struck: Struck
) -> None:
    struck.denied |= {b"b", b"a", b"a2"}
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        report = await host.ingest()
        assert not {b"a", b"a2", b"b"} & set(await host.stored(report.snapshot))
        assert report.counts.failed == 2  # inodes, not names
        struck.denied.clear()
        await host.capture()
        await host.check()


async def test_an_entry_that_cannot_be_looked_at_is_not_gone(
    tree: Path, tmp_path: Path, struck: Struck
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        before = await host.stored((await host.capture()).snapshot)
        struck.unseen |= {b"b", b"inner"}
        report = await host.ingest()
        assert found(report, tree) == [
            (Trouble.UNREADABLE, "b"),
            (Trouble.UNREADABLE, "d/inner"),
        ]
        assert report.counts.removed == 0
        assert await host.stored(report.snapshot) == before
        struck.unseen.clear()
        await host.capture()
        await host.check()


async def test_a_directory_is_kept_until_what_replaced_it_can_be_read(
    tree: Path, tmp_path: Path, struck: Struck
) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        before = await host.stored((await host.capture()).snapshot)
        for name in ("d/inner/x", "d/c"):
            (tree / name).unlink()
        (tree / "d/inner").rmdir()
        (tree / "d").rmdir()
        (tree / "d").write_bytes(b"a file")
        struck.denied.add(b"d")
        report = await host.ingest()
        after = await host.stored(report.snapshot)
        assert after[b"d/inner/x"] == before[b"d/inner/x"]
        struck.denied.clear()
        assert (await host.capture()).counts.removed == 2
        await host.check()


async def test_attributes_that_could_not_be_read_are_asked_for_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.setxattr(tree / "b", "user.kept", b"1")
    getxattr = os.getxattr

    def fail(*args: Any, **options: Any) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        monkeypatch.setattr(os, "getxattr", fail)
        report = await host.ingest()
        assert found(report, tree) == [(Trouble.METADATA, "b")]
        monkeypatch.setattr(os, "getxattr", getxattr)
        await host.capture()
        await host.check()
