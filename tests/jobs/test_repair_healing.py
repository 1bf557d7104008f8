"""Damaged blocks are stored anew by the next ingest that meets their content, by whichever host."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from snapfs.formats import objects, records
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import PruneOptions
from snapfs.model.pruning import PrunePolicy
from snapfs.stores.memory import MemoryStore
from tests.jobs.checking import assert_sound, checked, put_keys
from tests.jobs.ingesting import TINY, Machine, machine
from tests.jobs.repairing import OPTIONS, repaired

PRUNE = PruneOptions(
    host="pruner", condemned_for_ns=0, forgotten_for_ns=0, orphaned_for_ns=0,
    policy=PrunePolicy(max_unused=0.0),
)  # fmt: skip


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@asynccontextmanager
async def captured(tmp_path: Path, *, lists: bool = False) -> AsyncIterator[Machine]:
    """A machine with two snapshots of some files; the store is `machine.repository.store`."""
    store = MemoryStore()
    await put_keys(store)
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "one").write_bytes(noise(1, 300_000))
    (tree / "sub" / "two").write_bytes(noise(2, 5_000))
    (tree / "sub" / "linked").hardlink_to(tree / "sub" / "two")
    (tree / "gone").write_bytes(noise(3, 70_000))
    if lists:
        (tree / "huge").write_bytes(noise(4, 400_000))
    chunker = {"chunker": TINY} if lists else {}
    async with machine(store, tmp_path / "1", tree, **chunker) as host:  # type: ignore[arg-type]
        await host.capture()
        (tree / "gone").unlink()
        (tree / "three").write_bytes(noise(5, 10_000))
        await host.capture()
        yield host


def lose(host: Machine, record: int = 2) -> None:
    """Take away the packs of a record."""
    body = host.repository.replica.head(record).body  # type: ignore[arg-type]
    assert isinstance(body, records.Ingest)
    store = host.repository.store
    assert isinstance(store, MemoryStore)
    for name in body.packs:
        del store.objects[objects.pack(name)]


async def affected(host: Machine) -> set[str]:
    report = await checked(host.repository)
    tree = str(host.tree)
    return {each.path.decode().removeprefix(tree + "/") for each in report.affected}


@pytest.mark.parametrize("lists", [False, True])
async def test_unchanged_files_are_read_again_where_it_matters(lists: bool, tmp_path: Path) -> None:
    async with captured(tmp_path, lists=lists) as host:
        quiet = await host.ingest()
        assert quiet.counts.bytes_read == 0
        lose(host)
        report = await repaired(host.repository.store, tmp_path / "1")
        assert not report.sound
        # What is not there any more cannot be healed; everything else is.
        nodes_before = host.nodes(quiet)
        healing = await host.ingest()
        assert healing.healed > 0
        assert healing.counts.bytes_read == 305_000 + (400_000 if lists else 0)
        assert (healing.counts.new, healing.counts.changed) == (0, 0)
        assert host.nodes(healing) == nodes_before
        assert await affected(host) == {"gone"}
        again = await host.ingest()
        assert (again.healed, again.counts.bytes_read) == (0, 0)
        (host.tree / "gone").write_bytes(noise(3, 70_000))
        last = await host.ingest()
        assert last.healed > 0
        await assert_sound(host.repository)
        await host.check()


async def test_another_host_heals(tmp_path: Path) -> None:
    """By dedup: it has the same file, in a source of its own, and reads it for the first time."""
    async with captured(tmp_path) as host:
        lose(host)
        await repaired(host.repository.store, tmp_path / "1")
        other_tree = tmp_path / "other"
        other_tree.mkdir()
        for seed, size in ((1, 300_000), (2, 5_000), (3, 70_000)):
            (other_tree / f"{seed}").write_bytes(noise(seed, size))
        async with machine(
            host.repository.store, tmp_path / "2", other_tree, host="other"
        ) as other:
            report = await other.capture()
            assert report.healed > 0
            await assert_sound(other.repository)
        await host.repository.catch_up_all()
        await assert_sound(host.repository)
        await host.check()
        assert (await host.ingest()).counts.bytes_read == 0


async def test_progress_in_the_middle_heals_too(tmp_path: Path) -> None:
    async with captured(tmp_path, lists=True) as host:
        (host.tree / "gone").write_bytes(noise(3, 70_000))
        await host.ingest()
        lose(host)
        await repaired(host.repository.store, tmp_path / "1")
        report = await host.ingest(progress_blocks=600)
        assert report.healed > 0
        await assert_sound(host.repository)
        await host.check()


async def test_a_dry_run_heals_nothing(tmp_path: Path) -> None:
    async with captured(tmp_path) as host:
        lose(host)
        await repaired(host.repository.store, tmp_path / "1")
        assert (await host.ingest(dry_run=True)).healed == 0
        assert await affected(host) == {"gone", "one", "sub/linked", "sub/two"}


async def test_without_a_repair_dedup_would_trust_what_is_lost(tmp_path: Path) -> None:
    """So the tests above test something: reading alone heals nothing."""
    async with captured(tmp_path) as host:
        lose(host)
        report = await host.ingest(force=True)
        assert report.counts.bytes_new == 0
        assert await affected(host) == {"gone", "one", "sub/linked", "sub/two"}


async def test_a_prune_between(tmp_path: Path) -> None:
    """It keeps what it cannot copy, and takes the damaged pack away when that is healed."""
    async with captured(tmp_path) as host:
        lose(host)
        (host.tree / "gone").write_bytes(noise(3, 70_000))
        await repaired(host.repository.store, tmp_path / "1")
        await prune(host.repository, PRUNE, Progress())
        await host.ingest()
        await assert_sound(host.repository)
        await prune(host.repository, PRUNE, Progress())
        await assert_sound(host.repository)
        await host.check()
        store = host.repository.store
        assert isinstance(store, MemoryStore)
        report = await repaired(store, tmp_path / "1", replace(OPTIONS, dry_run=True))
        assert report.packs == 0


async def test_a_replay_of_it_all_is_the_same(tmp_path: Path) -> None:
    """A machine that was not there has the same view, row for row: check compares all tables."""
    async with captured(tmp_path) as host:
        lose(host)
        await repaired(host.repository.store, tmp_path / "1")
        await host.ingest()
        (host.tree / "gone").write_bytes(noise(3, 70_000))
        await host.ingest()
        async with machine(host.repository.store, tmp_path / "new", host.tree) as fresh:
            await fresh.repository.catch_up_all()
            await assert_sound(fresh.repository)
