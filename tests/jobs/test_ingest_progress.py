"""Progress is kept: whatever ends an ingest, the next one goes on from its last commit."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from snapfs.errors import StoreError
from snapfs.formats import objects, records
from snapfs.formats.parts import BlockPart, EntryPart, PartRef
from snapfs.jobs.ingest import delta
from snapfs.model.identity import Commit
from snapfs.repository.pieces import Parts
from snapfs.stores.files import Files
from snapfs.stores.memory import MemoryStore
from snapfs.stores.threaded import ThreadedStore
from tests.faulty import Fault, FaultyStore
from tests.jobs.ingesting import TINY, Machine, machine
from tests.manifest import manifest_of_tree

ALWAYS = {"progress_seconds": 0.0}
"a commit at each place where there may be one"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    for folder in ("a/b", "d", "e"):
        (path / folder).mkdir(parents=True)
        for number in range(2):
            (path / folder / f"f{number}").write_bytes(f"{folder}{number}".encode() * 50)
    (path / "a/long").write_bytes(random.Random(1).randbytes(1_000_000))
    os.link(path / "a/b/f0", path / "e/linked")
    os.symlink("a/b", path / "link")
    return path


def _ingests(host: Machine) -> list[tuple[Commit, bool]]:
    """The commits of ingests in the log, and which are complete."""
    db = host.repository.db
    return [
        (Commit(number), bool(complete))
        for number, complete in db.rows("SELECT number, complete FROM snapshot ORDER BY number")
    ]


async def test_names_that_are_gone_are_progress_too(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        for folder in ("a/b", "d", "e"):
            (tree / folder / "f1").unlink()
        before = len(_ingests(host))
        await host.capture(progress_rows=2)
        assert len(_ingests(host)) >= before + 3
        await host.check()


async def test_a_commit_at_every_checkpoint(tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        above = host.above()
        first = await host.capture(**ALWAYS)
        assert first.snapshot is not None
        *partial, last = _ingests(host)
        assert last == (first.snapshot.number, True)
        assert len(partial) > 8
        assert not any(complete for _, complete in partial)
        assert all(host.repository.snapshots.by_number(number) is None for number, _ in partial)
        assert host.repository.snapshots.latest(first.snapshot.source.number) == last[0]
        assert [found.number for found in host.repository.snapshots.stream()] == [last[0]]
        second = await host.capture(**ALWAYS)
        assert second.counts.bytes_read == 0
        if host.above() == above:
            assert len(_ingests(host)) == len(partial) + 2
        await host.check()


@pytest.mark.parametrize("limit", ["progress_blocks", "progress_bytes", "progress_rows"])
async def test_what_brings_progress(limit: str, tree: Path, tmp_path: Path) -> None:
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture(**{limit: 2})
        assert len(_ingests(host)) > 3
        await host.check()


async def test_progress_within_a_long_file(tree: Path, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(700_000)
    (tree / "d" / "image").write_bytes(data)
    async with machine(MemoryStore(), tmp_path / "m", tree, chunker=TINY) as host:
        await host.capture(progress_blocks=300)
        assert len(_ingests(host)) > 8
        (tree / "d" / "image").write_bytes(data[:300_000] + b"new" + data[300_000:])
        report = await host.capture(progress_blocks=2)
        assert host.delta(report).lists <= 3
        await host.check()
        db = host.repository.db
        assert db.rows("SELECT key FROM block GROUP BY key HAVING count(*) > 1") == []


# --- ended by the store


def _size_at_head(host: Machine) -> int:
    """Bytes of the regular files that the source's last commit has."""
    source = host.repository.snapshots.source(host.host, host.name)
    if source is None:
        return 0
    rows = host.repository.db.rows(
        "SELECT DISTINCT n.number, n.size FROM entry e JOIN node n ON n.number = e.node"
        " WHERE e.last > ? AND n.mode & 61440 = 32768",
        (source.head,),
    )
    return sum(size for _, size in rows)


async def _interrupted(store: MemoryStore, directory: Path, tree: Path, fault: Fault) -> bool:
    """Whether an ingest was ended by a fault of the store."""
    faulty = FaultyStore(store)
    async with machine(faulty, directory, tree) as host:
        faulty.queue("put", fault)
        try:
            await host.ingest(**ALWAYS)
        except StoreError:
            faulty.assert_all_hit()
            return True
    return False


async def _goes_on(store: MemoryStore, directory: Path, tree: Path) -> None:
    whole = sum(item.size for item in manifest_of_tree(tree).values() if item.content)
    whole -= (tree / "e/linked").stat().st_size
    async with machine(store, directory, tree) as host:
        await host.repository.catch_up_all()
        committed = _size_at_head(host)
        report = await host.capture()
        assert report.counts.bytes_read == whole - committed
        db = host.repository.db
        assert db.rows("SELECT key FROM block GROUP BY key HAVING count(*) > 1") == []
        assert (await host.capture()).counts.bytes_read == 0
        await host.check()


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "e").mkdir(parents=True)
    for name in ("a", "e/b"):
        (path / name).write_bytes(name.encode() * 50)
    os.link(path / "a", path / "e/linked")
    return path


@pytest.mark.parametrize(("on", "moment", "least"), [("", "before", 10), ("log/", "after", 4)])
async def test_the_nth_put_fails(
    on: str, moment: str, least: int, small_tree: Path, tmp_path: Path
) -> None:
    """For every n: the next ingest reads what was not committed, and nothing twice."""
    tree, number = small_tree, 0
    while True:
        number += 1
        store, directory = MemoryStore(), tmp_path / f"m{number}"
        async with machine(store, directory, tree):
            pass
        fault = Fault(on=on, skip=number - 1, **{moment: StoreError("the disk is on fire")})
        if not await _interrupted(store, directory, tree, fault):
            break
        await _goes_on(store, directory, tree)
    assert number > least


# --- killed

_VICTIM = """
import sys, trio
from pathlib import Path
from snapfs.repository.pieces import Parts
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.jobs.ingesting import machine

async def main(base):
    async with machine(ThreadedStore(Files(base / "store")), base / "m", base / "tree") as host:
        await host.ingest(progress_seconds=0.0)

trio.run(main, Path(sys.argv[1]))
"""


def _kill_after(base: Path, records_seen: int) -> bool:
    """Run an ingest and kill it when the log has so many records; false if it ended by itself."""
    log = base / "store" / "log"
    victim = subprocess.Popen([sys.executable, "-c", _VICTIM, base])
    try:
        deadline = time.monotonic() + 30
        while victim.poll() is None and time.monotonic() < deadline:
            with suppress(FileNotFoundError):
                if len(os.listdir(log)) >= records_seen:
                    victim.kill()
                    break
            time.sleep(0.001)
    finally:
        victim.kill()
        status = victim.wait()
    assert status in (0, -signal.SIGKILL)
    return status != 0


async def test_killed_again_and_again(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    killed = 0
    for seen in (1, 3, 6, 9):
        killed += await trio.to_thread.run_sync(_kill_after, tmp_path, seen)
    assert killed
    store = ThreadedStore(Files(tmp_path / "store"))
    async with machine(store, tmp_path / "m", tree) as host:
        await host.repository.catch_up_all()
        committed = _size_at_head(host)
        report = await host.capture()
        assert report.counts.bytes_read <= report.counts.bytes_total - committed
        assert (await host.capture()).counts.bytes_read == 0
        numbers = [number for number, _ in _ingests(host)]
        assert len(numbers) == len(set(numbers))
        await host.check()


class _Overtaken(FaultyStore):
    """Stores the first part of a record when the second is there, and not before."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.second = trio.Event()
        self._parts = 0

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        part = name.startswith(objects.PARTS)
        self._parts += part
        if part and self._parts == 1:
            with trio.fail_after(30):
                await self.second.wait()
        await super().put(name, data, if_absent=if_absent)
        if part and self._parts == 2:
            self.second.set()


async def test_parts_overtake_each_other_and_keep_their_order(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "_ROWS", 4)
    store = _Overtaken(MemoryStore())
    async with machine(store, tmp_path / "m", tree) as host:
        first = await host.capture()
        assert first.snapshot is not None
        assert store.second.is_set()
        body = host.repository.replica.head(first.snapshot.number).body
        assert isinstance(body, records.Ingest)
        assert [ref.first for ref in body.entries] == sorted(ref.first for ref in body.entries)
        await host.check()


async def test_the_record_waits_for_the_last_of_its_parts(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, blocks_there = Parts.upload, trio.Event()

    async def slowly(
        self: Parts, part: BlockPart | EntryPart, first: tuple[int, int, int]
    ) -> PartRef:
        if isinstance(part, EntryPart):
            with trio.fail_after(30):
                await blocks_there.wait()
            for _ in range(1000):
                await trio.lowlevel.checkpoint()
        ref = await upload(self, part, first)
        if isinstance(part, BlockPart):
            blocks_there.set()
        return ref

    monkeypatch.setattr(Parts, "upload", slowly)
    async with machine(MemoryStore(), tmp_path / "m", tree) as host:
        await host.capture()
        await host.check()


async def test_a_part_that_cannot_be_stored_ends_the_ingest_before_its_record(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "_ROWS", 4)
    store = FaultyStore(MemoryStore())
    async with machine(store, tmp_path / "m", tree) as host:
        store.queue("put", Fault(on=objects.PARTS, skip=1, before=StoreError("it is broken")))
        with pytest.raises(StoreError, match="it is broken"):
            await host.ingest()
        store.assert_all_hit()
        assert _ingests(host) == []
        await host.capture()
        await host.check()
