"""Several hosts: each with a state of its own, one log, and no lock between them."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from snapfs.stores.memory import MemoryStore
from tests.faulty import Fault, FaultyStore
from tests.jobs.ingesting import machine


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "d").mkdir(parents=True)
    for name in ("a", "b", "d/c"):
        (path / name).write_bytes(os.urandom(200_000))
    os.link(path / "a", path / "d" / "a")
    return path


async def test_two_states_take_turns(tree: Path, tmp_path: Path) -> None:
    """What one host has recorded, the other reads once more and does not record again."""
    store = MemoryStore()
    async with (
        machine(store, tmp_path / "one", tree) as one,
        machine(store, tmp_path / "two", tree) as two,
    ):
        first = await one.capture()
        second = await two.capture()
        assert second.counts.bytes_read == first.counts.bytes_read > 0
        assert two.new_nodes(second) == two.delta(second).blocks == 0
        for number, host in enumerate((one, two, one, two)):
            (tree / "b").write_bytes(b"%d" % number)
            report = await host.capture()
            # What was changed for the other's last turn is new to this host, and changed again.
            assert report.counts.bytes_read == 1
            assert host.new_nodes(report) == 1
        one.kept.manifests.update(two.kept.manifests)
        await one.check()
        await two.check()


async def test_what_another_host_has_recorded_since_is_not_trusted(
    tree: Path, tmp_path: Path
) -> None:
    """The same path on two hosts that have different files there."""
    other = tmp_path / "other"
    shutil.copytree(tree, other)
    (other / "b").write_bytes(b"different")

    def swap() -> None:
        tree.rename(tmp_path / "aside")
        other.rename(tree)
        (tmp_path / "aside").rename(other)

    store = MemoryStore()
    async with (
        machine(store, tmp_path / "one", tree) as one,
        machine(store, tmp_path / "two", tree) as two,
    ):
        for host in (one, two, one, two, one):
            await host.capture()
            swap()
        one.kept.manifests.update(two.kept.manifests)
        await one.check()


class _Gate:
    """Holds up a call until it is opened, and tells when one has come."""

    def __init__(self) -> None:
        self.reached, self.opened = trio.Event(), trio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.opened.wait()


async def test_a_delta_that_came_too_late_is_made_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks are there already and are not sent again; its findings are told once."""
    store = MemoryStore()
    slow = FaultyStore(store)
    os.setxattr(tree / "b", "user.x", b"1")

    def fail(*args: Any, **options: Any) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    async with (
        machine(slow, tmp_path / "one", tree) as one,
        machine(store, tmp_path / "two", tree) as two,
    ):
        await one.repository.catch_up()
        gate = _Gate()
        slow.queue("put", Fault(on="log/", wait=gate))  # type: ignore[arg-type]
        reports = []

        async def late() -> None:
            reports.append(await one.ingest())

        async with trio.open_nursery() as nursery:
            with monkeypatch.context() as patched:
                patched.setattr(os, "getxattr", fail)
                nursery.start_soon(late)
                await gate.reached.wait()
            (tree / "b").unlink()
            other = await two.capture()
            gate.opened.set()
        slow.assert_all_hit()
        report = reports[0]
        assert report.findings.listed == []
        assert other.snapshot is not None
        assert report.snapshot is not None
        assert report.snapshot.number > other.snapshot.number
        assert await one.stored(report.snapshot) == await two.stored(other.snapshot)
        packs = [name for verb, name in slow.calls if verb == "put" and name.startswith("packs/")]
        assert len(packs) == 1
        assert one.delta(report).packs == 1
        assert one.new_nodes(report) == 0
        assert (await one.capture()).counts.bytes_read == 0
        await one.check()
        await two.check()


async def test_all_at_once(tree: Path, tmp_path: Path) -> None:
    """Three states, one source, commits at every step: each ends with a snapshot of all."""
    store = MemoryStore()
    async with (
        machine(store, tmp_path / "one", tree) as one,
        machine(store, tmp_path / "two", tree) as two,
        machine(store, tmp_path / "three", tree) as three,
    ):
        async with trio.open_nursery() as nursery:
            for host in (one, two, three):
                nursery.start_soon(lambda host=host: host.capture(progress_blocks=1))
        for host in (one, two, three):
            await host.check()
        assert len(one.kept.manifests | two.kept.manifests | three.kept.manifests) == 3


async def test_two_sources_share_blocks(tree: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    async with (
        machine(store, tmp_path / "one", tree, host="one") as one,
        machine(store, tmp_path / "two", tree, host="two") as two,
    ):
        first = await one.capture()
        second = await two.capture()
        assert one.delta(first).blocks > 0
        assert two.delta(second).blocks == two.delta(second).packs == 0
        assert two.new_nodes(second) == one.new_nodes(first)
        assert not set(one.nodes(first).values()) & set(two.nodes(second).values())
        async with trio.open_nursery() as nursery:
            for host in (one, two):
                nursery.start_soon(host.capture)
        await one.check()
        await two.check()
