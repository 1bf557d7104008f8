"""Prune: what is wanted stays readable to the byte, what is not goes, whoever else is at work."""

import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from snapfs.errors import DamagedError, StoreError, ViewDamagedError
from snapfs.formats import objects, records
from snapfs.formats.records import Body
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions, PruneReport
from snapfs.metadata.database import Database
from snapfs.model.identity import Attempt, Commit
from snapfs.model.pruning import PrunePolicy
from snapfs.model.snapshot import Snapshot
from snapfs.repository.log import Author
from snapfs.repository.moving import suspects_of, upload_blocks
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.state import Directories
from snapfs.repository.world import World
from snapfs.stores.durable import TEMPORARY
from snapfs.stores.files import Files
from snapfs.stores.memory import MemoryStore
from snapfs.stores.threaded import ThreadedStore
from tests.build import KEYS, publish
from tests.faulty import Fault, FaultyStore, Verb
from tests.jobs.ingesting import Machine, machine

NOW = PruneOptions(host="pruner", condemned_for_ns=0, forgotten_for_ns=0, orphaned_for_ns=0)
TIGHT = replace(NOW, policy=PrunePolicy(max_unused=0.0))
GENTLE = replace(TIGHT, condemned_for_ns=DAY_NS)


async def run(repository: Repository, options: PruneOptions = TIGHT) -> PruneReport:
    return await prune(repository, options, Progress())


async def forget(host: Machine, *snapshots: Snapshot) -> None:
    body = records.Forget(tuple(snapshot.id for snapshot in snapshots))
    await publish(host.repository, body, "forgetter")
    for snapshot in snapshots:
        host.kept.manifests.pop(snapshot.number)


def churn(
    tree: Path, chance: random.Random, *, files: int = 12, largest: int = 200_000
) -> None:  # fmt: skip
    """Change some files of a tree: every third one anew, some gone, some come."""
    tree.mkdir(exist_ok=True)
    for number in range(files):
        path = tree / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        draw = chance.random()
        if draw < 0.15:
            path.unlink(missing_ok=True)
        elif draw < 0.5 or not path.exists():
            path.write_bytes(chance.randbytes(chance.randrange(largest)))


def packs_in(store: MemoryStore) -> set[str]:
    return {name for name in store.objects if name.startswith(objects.PACKS)}


@asynccontextmanager
async def story(store: MemoryStore, tmp_path: Path, days: int) -> AsyncIterator[Machine]:
    """A machine with a snapshot of each day; the tree changes in between."""
    chance = random.Random(days)
    async with machine(store, tmp_path / "machine", tmp_path / "tree") as host:
        for _ in range(days):
            churn(host.tree, chance)
            await host.capture()
        yield host


async def snapshots(host: Machine) -> list[Snapshot]:
    return list(host.repository.snapshots.stream())


async def test_nothing_goes_while_all_is_wanted(tmp_path: Path) -> None:
    store = MemoryStore()
    async with story(store, tmp_path, 4) as host:
        before = packs_in(store)
        report = await run(host.repository)
        assert (report.condemned, report.deleted, report.orphans) == (0, 0, 0)
        assert packs_in(store) == before


async def test_what_only_forgotten_snapshots_had_goes_and_the_rest_stays(tmp_path: Path) -> None:
    store = MemoryStore()
    async with story(store, tmp_path, 8) as host:
        before = packs_in(store)
        size = sum(len(store.objects[name]) for name in before)
        await forget(host, *(await snapshots(host))[1:6])
        report = await run(host.repository)
        assert report.deleted > 0
        left = sum(len(store.objects[name]) for name in packs_in(store))
        assert left < 0.75 * size
        await host.check()
        again = await run(host.repository)
        assert (again.condemned, again.deleted) == (0, 0)
        assert again.plan.kept_unused <= 0.01 * left


async def test_a_gentle_prune_deletes_nothing_before_its_time(tmp_path: Path) -> None:
    store = MemoryStore()
    async with story(store, tmp_path, 5) as host:
        before = packs_in(store)
        await forget(host, *(await snapshots(host))[:3])
        first = await run(host.repository, GENTLE)
        assert first.condemned > 0
        assert first.deleted == 0
        assert packs_in(store) >= before
        second = await run(host.repository, GENTLE)
        assert (second.condemned, second.deleted) == (0, 0)
        assert second.waiting == first.condemned
        host.repository.world = _later(host.repository.world, 2 * DAY_NS)
        third = await run(host.repository, GENTLE)
        assert third.deleted == first.condemned
        await host.check()


async def test_forgotten_snapshots_are_kept_until_their_time_is_up(tmp_path: Path) -> None:
    async with story(MemoryStore(), tmp_path, 4) as host:
        await forget(host, *(await snapshots(host))[:2])
        report = await run(host.repository, replace(TIGHT, forgotten_for_ns=DAY_NS))
        assert (report.condemned, report.deleted) == (0, 0)


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with story(store, tmp_path, 4) as host:
        await forget(host, *(await snapshots(host))[:3])
        before = dict(store.objects)
        report = await run(host.repository, replace(TIGHT, dry_run=True))
        assert report.plan.drop or report.plan.repack
        assert store.objects == before


async def test_an_ingest_that_needs_a_condemned_pack_rescues_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machine(store, tmp_path / "machine", tmp_path / "tree") as host:
        host.tree.mkdir()
        old = host.tree / "old"
        content = os.urandom(300_000)
        old.write_bytes(content)
        await host.capture()
        old.unlink()
        (host.tree / "other").write_bytes(os.urandom(1000))
        await host.capture()
        await forget(host, (await snapshots(host))[0])
        assert (await run(host.repository, GENTLE)).condemned == 1
        old.write_bytes(content)
        before = packs_in(store)
        await host.capture()
        assert packs_in(store) == before, "it was sent again"
        host.repository.world = _later(host.repository.world, 2 * DAY_NS)
        report = await run(host.repository, GENTLE)
        assert report.deleted == 0
        await host.check()


async def test_a_block_that_was_needed_before_the_condemn_is_rescued_by_the_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host relied on a pack after the survey and before the record that condemns it."""
    store = MemoryStore()
    async with (
        machine(store, tmp_path / "a", tmp_path / "tree a") as host,
        machine(store, tmp_path / "b", tmp_path / "tree b", host="other") as other,
    ):
        for each in (host, other):
            each.tree.mkdir()
        content = os.urandom(300_000)
        (host.tree / "file").write_bytes(content)
        await host.capture()
        (host.tree / "file").unlink()
        (host.tree / "rest").write_bytes(b"rest")
        await host.capture()
        await forget(host, (await snapshots(host))[0])
        (other.tree / "copy").write_bytes(content)
        publish = host.repository.log.publish

        async def late(attempt: Attempt, body: Callable[[], Body], author: Author) -> Commit:
            monkeypatch.undo()
            await other.capture()
            return await publish(attempt, body, author)

        monkeypatch.setattr(host.repository.log, "publish", late)
        await run(host.repository, GENTLE)
        host.repository.world = _later(host.repository.world, 2 * DAY_NS)
        report = await run(host.repository, GENTLE)
        assert (report.rescued, report.deleted) == (1, 0)
        await other.repository.catch_up_all()
        await host.check()
        await other.check()


async def test_orphans_are_found_condemned_and_deleted(tmp_path: Path) -> None:
    store = MemoryStore(now=time.time)
    async with story(store, tmp_path, 2) as host:
        pack, part = objects.pack(os.urandom(16)), objects.part(os.urandom(16))
        for name in (pack, part):
            await store.put(name, b"left over")
        gentle = await run(host.repository, replace(TIGHT, orphaned_for_ns=3 * DAY_NS))
        assert gentle.orphans == 0
        report = await run(host.repository)
        assert (report.orphans, report.orphaned_bytes) == (2, 18)
        assert report.deleted == 2
        assert pack not in store.objects
        assert part not in store.objects
        await host.check()


@pytest.mark.parametrize("table", ["entry", "node", "block", "segment", "pack", "snapshot", "log"])
async def test_a_row_that_is_missing_from_the_view_stops_it(tmp_path: Path, table: str) -> None:
    store = MemoryStore()
    async with story(store, tmp_path, 3) as host:
        await forget(host, (await snapshots(host))[0])
        await host.repository.catch_up_all()
        _remove_a_row(host.repository.replica.db, table)
        before = dict(store.objects)
        with pytest.raises(ViewDamagedError, match=table):
            await run(host.repository)
        assert store.objects == before


def _remove_a_row(db: Database, table: str) -> None:
    # The last row of the log is what the replica goes by: take another.
    db.execute(f"DELETE FROM {table} WHERE rowid = 2" if table == "log" else _any_row(table))


def _any_row(table: str) -> str:
    if table == "entry":
        sql = "DELETE FROM entry WHERE (directory, name) IN"
        return sql + " (SELECT directory, name FROM entry LIMIT 1)"
    return f"DELETE FROM {table} WHERE rowid IN (SELECT max(rowid) FROM {table})"


async def test_a_damaged_pack_is_left_alone_and_the_others_are_repacked(tmp_path: Path) -> None:
    store = MemoryStore()
    async with story(store, tmp_path, 5) as host:
        await forget(host, *(await snapshots(host))[:3])
        plan = (await run(host.repository, replace(TIGHT, dry_run=True))).plan
        damaged, *others = plan.repack
        name = objects.pack(damaged.name)
        whole = store.objects[name]
        store.objects[name] = _flipped(whole)
        assert others
        report = await run(host.repository)
        assert set(report.damaged) == {damaged.name}
        assert name in packs_in(store)
        assert report.rescued == 0, "it was condemned"
        assert not packs_in(store) & {objects.pack(pack.name) for pack in (*others, *plan.drop)}
        store.objects[name] = whole
        await host.check()


async def test_a_pack_that_a_repair_found_damaged_is_not_read(tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore())
    async with story(store, tmp_path, 5) as host:  # type: ignore[arg-type]
        await forget(host, *(await snapshots(host))[:3])
        pack = (await run(host.repository, replace(TIGHT, dry_run=True))).plan.repack[0]
        await doubt(host, pack.number)
        store.calls.clear()
        report = await run(host.repository)
        assert (report.damaged, report.plan.damaged) == ({}, 1)
        assert report.deleted > 0
        assert ("get", objects.pack(pack.name)) not in store.calls
        await host.check()


async def doubt(host: Machine, pack: int) -> None:
    """Publish that all blocks of a pack were found damaged."""
    repository = host.repository
    blocks = repository.db.rows(
        "SELECT b.number FROM block b JOIN segment s ON s.number = b.segment WHERE s.pack = ?",
        (pack,),
    )
    suspects = suspects_of(repository.blocks, (number for (number,) in blocks))
    refs, new = await upload_blocks(repository.parts, [], [], suspects)
    body = records.Mend(new, refs, ())
    await publish(repository, body, "repairer")
    await repository.catch_up()


def _flipped(data: bytes) -> bytes:
    """Every byte behind the header flipped."""
    return data[:200] + bytes(byte ^ 1 for byte in data[200:])


@pytest.mark.parametrize("verb", ["put", "delete", "get"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_broken_off_anywhere_the_next_run_completes_it(
    tmp_path: Path, verb: Verb, when: str
) -> None:
    """The n-th call of a verb fails, before or after its effect, until a run comes through."""
    inner = MemoryStore()
    broken = 0
    async with story(inner, tmp_path, 5) as host:
        await forget(host, *(await snapshots(host))[:3])
        while True:
            store = FaultyStore(inner)
            store.queue(verb, Fault(skip=3 * broken, **{when: StoreError("out of order")}))
            async with open_view(
                store, _directories(tmp_path / f"{broken}"), KEYS, World()
            ) as pruner:
                try:
                    await run(pruner)
                except StoreError:
                    broken += 1
                else:
                    break
            await host.check()
        await host.repository.catch_up_all()
        await host.check()
    assert broken > 0


async def test_a_mounted_reader_follows_blocks_that_moved(tmp_path: Path) -> None:
    async with story(MemoryStore(), tmp_path, 6) as host:
        wanted = (await snapshots(host))[0]
        await forget(host, *(await snapshots(host))[1:5])
        async with (
            machine(host.repository.store, tmp_path / "reader", host.tree) as other,  # type: ignore[arg-type]
            other.repository.reading() as reader,
        ):
            await other.repository.catch_up_all()
            contents = [
                node.content()
                for (number,) in other.repository.db.rows("SELECT number FROM node")
                if (node := other.repository.tree.node(number)) and node.attributes.is_file
            ]
            opened = [reader.open(content) for content in contents]
            assert (await run(host.repository)).deleted > 0
            read = lost = 0
            for content in opened:
                try:
                    await content.read(0, 1)
                    read += 1
                except DamagedError:
                    lost += 1
            assert read > 0
            assert lost > 0, "what nothing needs was readable all the same: is this test true?"
            before = host.kept.manifests[wanted.number]
            assert await other.stored(wanted) == before


def _directories(path: Path) -> Directories:
    return Directories(path / "state", path / "cache")


def _later(world: World, by_ns: int) -> World:
    return World(now_ns=lambda: world.now_ns() + by_ns, random=world.random)


async def test_what_dead_processes_left_goes_when_it_is_old(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    store = ThreadedStore(Files(root))
    for folder in ("packs", "probe"):
        (root / folder).mkdir()
    old, young = time.time() - 4 * 86400, time.time() - 60
    left = {
        f"packs/{TEMPORARY}1": old,
        f"packs/{TEMPORARY}2": young,
        "probe/1": old,
        "probe/2": young,
    }
    for name, modified in left.items():
        (root / name).write_bytes(b"half")
        os.utime(root / name, (modified, modified))
    async with machine(store, tmp_path / "host", tmp_path / "tree") as host:
        assert (await run(host.repository, replace(TIGHT, dry_run=True))).leftovers == 0
        assert (await run(host.repository)).leftovers == 2
        assert {name for name in left if (root / name).exists()} == {
            name for name, modified in left.items() if modified == young
        }
