"""Compaction beside others: whoever is at work meanwhile goes on, or makes the base void."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from snapfs.errors import DamagedError, DeltaVoidError
from snapfs.formats import objects
from snapfs.formats.records import Base, Mend, Recall
from snapfs.jobs.prune import compact as compacting
from snapfs.jobs.prune.options import DAY_NS
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.model.identity import Commit
from snapfs.repository.moving import suspects_of, upload_blocks
from snapfs.repository.pieces import catch_up_parts
from snapfs.repository.repository import Repository, open_view
from snapfs.repository.world import World
from tests.build import KEYS, publish
from tests.jobs.compacting import (
    COMPACT,
    LOOSE,
    days,
    doubt_some,
    equal,
    forget_some,
    parts_in,
    rows_of,
    sound,
)
from tests.jobs.repairing import directories
from tests.jobs.test_prune import forget, run, snapshots
from tests.jobs.twohosts import two_hosts


async def test_parts_go_while_a_host_is_catching_up(tmp_path: Path) -> None:
    """It knows the heads of before the base that took the place of what it is about to fetch."""
    chance = random.Random(5)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 3)
        await days(other, chance, 2)
        async with open_view(store, directories(tmp_path / "slow"), KEYS, World()) as slow:
            await slow.log.catch_up()
            for stream in (BLOCKS, 1):
                piece = slow.replica.pending(stream, 1)[0]
                await slow.parts.catch_up([stream]) if stream == BLOCKS else None
                assert piece.record == 2
            for _ in range(2):
                await days(one, chance, 1)
                await forget_some(one, chance, 1)
                await run(one.repository, COMPACT)
            await run(one.repository, LOOSE)
            assert objects.part(piece.ref.name) not in store.objects
            await slow.parts.catch_up([BLOCKS])
            with pytest.raises(DamagedError):
                await slow.parts.catch_up([1])
            await catch_up_parts(slow.log, slow.parts, slow.replica, lambda: [1])
            await equal(slow)


async def test_a_host_stops_half_way_through_a_base_that_is_replaced(tmp_path: Path) -> None:
    chance = random.Random(6)
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, chance, 4)
        await days(other, chance, 2)
        async with open_view(store, directories(tmp_path / "slow"), KEYS, World()) as slow:
            await slow.catch_up([1])
            await days(one, chance, 2)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
            await slow.log.catch_up()
            for stream in (BLOCKS, 1, 2):
                for piece in slow.replica.pending(stream, 1):
                    assert piece.base
                    slow.replica.apply_piece(piece, await slow.parts.fetch_base(piece))
            await days(one, chance, 2)
            await forget_some(one, chance, 1)
            await run(one.repository, COMPACT)
            await equal(slow)


async def test_an_ingest_that_commits_while_a_base_is_built_stays_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    async with two_hosts(tmp_path) as (one, other, _):
        await days(one, chance, 4)
        await days(other, chance, 2)
        await forget_some(one, chance, 1)
        prove = compacting._prove

        async def late(repository: Repository, replica: Replica, body: Base) -> None:
            await prove(repository, replica, body)
            await days(other, chance, 2)
            await forget_some(other, chance, 1)

        monkeypatch.setattr(compacting, "_prove", late)
        base = (await run(one.repository, COMPACT)).base
        assert base is not None
        body = one.repository.replica.head(Commit(base)).body
        assert isinstance(body, Base)
        assert body.until == base - 4
        await days(other, chance, 1)
        await days(one, chance, 1)
        await sound(one, other)


async def test_a_recall_that_comes_in_between_makes_the_base_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(8)
    async with two_hosts(tmp_path) as (one, other, _):
        await days(one, chance, 3)
        gone = (await snapshots(one))[0]
        kept = one.kept.manifests[gone.number]
        await forget(one, gone)
        prove = compacting._prove

        async def late(repository: Repository, replica: Replica, body: Base) -> None:
            await prove(repository, replica, body)
            recall = Recall((gone.id,))
            await publish(other.repository, recall, "other")

        monkeypatch.setattr(compacting, "_prove", late)
        options = replace(COMPACT, condemned_for_ns=DAY_NS)
        assert (await run(one.repository, options)).base is None
        monkeypatch.setattr(compacting, "_prove", prove)
        one.kept.manifests[gone.number] = kept
        await sound(one, other)
        assert (await run(one.repository, options)).base is not None
        await sound(one, other)


async def test_damage_that_is_told_of_in_between_makes_the_base_void(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block might be one that the base left out; and its parts know of no damage."""
    async with two_hosts(tmp_path) as (one, other, store):
        await days(one, random.Random(15), 2)
        prove = compacting._prove

        async def late(repository: Repository, replica: Replica, body: Base) -> None:
            await prove(repository, replica, body)
            await doubt_some(other)

        monkeypatch.setattr(compacting, "_prove", late)
        before = parts_in(store)
        assert (await run(one.repository, COMPACT)).base is None
        assert rows_of(one.repository, "base") == 0
        left_over = parts_in(store) - before
        monkeypatch.setattr(compacting, "_prove", prove)
        await run(one.repository, LOOSE)
        assert len(left_over & parts_in(store)) == 1  # that of the damage; the others are orphans
        await equal(one.repository)


async def test_a_damaged_copy_stays_known_until_it_is_stored_anew(tmp_path: Path) -> None:
    """Records behind the base may name it; but its pack, which nothing needs, goes."""
    async with two_hosts(tmp_path) as (one, _, _store):
        for day in range(2):
            (one.tree / "file").write_bytes(random.Random(day).randbytes(5_000))
            await one.capture()
            if day == 0:
                await doubt_some(one)
        await forget(one, (await snapshots(one))[0])
        report = await run(one.repository, COMPACT)
        assert report.base is not None
        assert report.deleted > 0
        assert one.repository.db.rows(
            "SELECT 1 FROM suspect d JOIN block b ON b.number = d.block"
            " JOIN segment s ON s.number = b.segment JOIN pack p ON p.number = s.pack"
            " JOIN fate USING (name)"
        )
        assert not one.repository.db.rows(
            "SELECT 1 FROM suspect WHERE block NOT IN (SELECT number FROM block)"
        )
        await equal(one.repository)


async def test_who_has_not_seen_a_base_may_name_what_it_left_out(tmp_path: Path) -> None:
    """Of damage in a pack that went meanwhile there is nothing to remember."""
    async with two_hosts(tmp_path) as (one, other, _):
        for day in range(2):
            (one.tree / "file").write_bytes(random.Random(day).randbytes(5_000))
            await one.capture()
        await other.repository.catch_up()
        blocks = [number for (number,) in other.repository.db.rows("SELECT number FROM block")]
        rows = suspects_of(other.repository.blocks, blocks)
        refs, new = await upload_blocks(other.repository.parts, [], [], rows)
        await forget(one, (await snapshots(one))[0])
        patient = replace(COMPACT, orphaned_for_ns=DAY_NS)
        assert (await run(one.repository, patient)).base is not None
        left = {number for (number,) in one.repository.db.rows("SELECT number FROM block")}
        assert {*blocks} - left
        assert {*blocks} & left
        mend = Mend(new, refs, ())
        await publish(other.repository, mend, "other")
        for host in (one, other):
            await equal(host.repository)
            suspects = host.repository.db.rows("SELECT block FROM suspect")
            assert {number for (number,) in suspects} == {*blocks} & left


async def test_what_a_base_left_out_is_not_brought_back(tmp_path: Path) -> None:
    async with two_hosts(tmp_path) as (one, other, _):
        await days(one, random.Random(9), 3)
        gone = (await snapshots(one))[0]
        await forget(one, gone)
        await one.repository.catch_up_all()
        assert gone in one.repository.snapshots.forgotten()
        await run(one.repository, COMPACT)
        assert one.repository.snapshots.forgotten() == []
        body = Recall((gone.id,))
        with pytest.raises(DeltaVoidError, match="compacted"):
            await publish(other.repository, body, "other")
        await sound(one, other)


async def test_a_reader_that_is_open_all_the_time_reads_on(tmp_path: Path) -> None:
    chance = random.Random(10)
    async with two_hosts(tmp_path) as (one, other, _):
        await days(one, chance, 5)
        kept = (await snapshots(one))[-1]
        await forget_some(one, chance, 1)
        kept = (await snapshots(one))[-1]
        before = one.kept.manifests[kept.number]
        async with other.repository.reading() as reader:
            await other.repository.catch_up_all()
            nodes = [
                node.content()
                for (number,) in other.repository.db.rows(
                    "SELECT node FROM entry WHERE first <= ?1 AND last > ?1", (kept.number,)
                )
                if (node := other.repository.tree.node(number)) and node.attributes.is_file
            ]
            opened = [reader.open(content) for content in nodes]
            await run(one.repository, COMPACT)
            early = [await content.read(0, 99) for content in opened[::2]]
            await other.repository.catch_up_all()
            late = [await content.read(0, 99) for content in opened]
        assert len(nodes) > 3
        assert late[::2] == early
        assert await one.stored(kept) == before
