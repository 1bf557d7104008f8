"""Check on sound repositories: it finds nothing, whatever happened to them."""

import random
from pathlib import Path

import pytest

from snapfs.errors import NewerFormatError
from snapfs.formats import records
from snapfs.jobs.check.report import Orphans
from snapfs.jobs.check.subset import Nth
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import PruneOptions
from snapfs.model.identity import Attempt
from snapfs.model.pruning import PrunePolicy
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, built, file, link
from tests.jobs.checking import assert_sound, big, checked, noise, other_machine, put_keys, scene
from tests.jobs.ingesting import machine


async def test_a_sound_repository(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        report = await assert_sound(made.repository)
        assert report.orphans == Orphans(0, 0)
        counts = report.checked
        assert (counts.records, counts.snapshots, counts.slots) == (6, 5, 1)
        assert (counts.packs, counts.packs_read, counts.parts) == (5, 5, 10)
        assert counts.blocks_read == 7 * 4
        assert counts.bytes_read == sum(
            len(data) for name, data in made.store.objects.items() if name.startswith("packs/")
        )
        assert not [path for path in made.repository.state.directory.iterdir() if path.is_dir()]


async def test_an_empty_repository(tmp_path: Path) -> None:
    store = MemoryStore()
    await put_keys(store)
    async with built(store, tmp_path) as repository:
        await assert_sound(repository)


async def test_a_machine_that_has_seen_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as repository:
        await assert_sound(repository)


async def test_a_machine_that_has_seen_a_part(tmp_path: Path) -> None:
    """Heads, blocks and the entries of one source may each stand elsewhere."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as repository:
        await repository.log.catch_up()
        await assert_sound(repository)
        await repository.catch_up()
        await assert_sound(repository)
        await repository.catch_up([made.repository.snapshots.sources()[0].number])
        await assert_sound(repository)
        await made.web.commit({"/z": big(9)})
        await made.web.forget(made.commits[0])
        await assert_sound(repository)
        await repository.log.catch_up()
        await assert_sound(repository)
        await repository.catch_up_all()
        await assert_sound(repository)


async def test_all_kinds_of_things(tmp_path: Path) -> None:
    store = MemoryStore()
    await put_keys(store)
    async with built(store, tmp_path) as repository:
        builder = Builder(repository, block_size=4096)
        twice = file(noise(1, 5000), 1 << 20, b"tail")
        huge = file(noise(2, 4096 * 1500))
        things = {
            "/one": twice, "/two": twice, "/link": link(b"one"), "/huge": huge, "/empty": file(),
            "/hole": file(1 << 30), "/d/e/f": file(b"f"),
        }  # fmt: skip
        first = await builder.commit(things)
        await builder.commit({**things, "/d/e/f": file(b"g"), "/huge2": huge}, complete=False)
        await builder.commit({"/one": twice, "/d": file(b"no directory")})
        await builder.forget(first)
        await assert_sound(repository)
        row = repository.db.row("SELECT count(*) FROM list")
        assert row is not None
        assert row[0] > 1


async def test_all_forgotten_and_begun_anew(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.web.forget(*(made.commits[at] for at in (0, 2, 4)))
        await assert_sound(made.repository)


async def test_orphans_are_no_damage(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.store.put("packs/00/" + "00" * 16, b"pack")
        await made.store.put("meta/00/" + "00" * 16, b"parts")
        report = await assert_sound(made.repository)
        assert report.orphans == Orphans(2, 9)


async def test_parts_of_the_data_together_are_all(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        reports = [await checked(made.repository, read=Nth(part, 3)) for part in (1, 2, 3)]
        assert all(report.sound for report in reports)
        assert sum(report.checked.packs_read for report in reports) == 5
        assert sum(report.checked.blocks_read for report in reports) == 28


async def test_after_ingests_and_prunes(tmp_path: Path) -> None:
    """Blocks have moved, packs have gone: nothing of that is damage."""
    store, tree, chance = MemoryStore(), tmp_path / "tree", random.Random(3)
    await put_keys(store)
    tree.mkdir()
    async with machine(store, tmp_path / "machine", tree) as host:
        snapshots = []
        for day in range(4):
            for number in range(day, 12, 1 + day):
                (tree / f"f{number}").write_bytes(chance.randbytes(chance.randrange(90_000)))
            snapshots.append((await host.ingest()).snapshot)
        gone = tuple(each.id for each in snapshots[:2] if each is not None)
        await host.repository.publish(Attempt(bytes(16)), lambda: records.Forget(gone), "host")
        options = PruneOptions(
            host="host", policy=PrunePolicy(max_unused=0.0), condemned_for_ns=0,
            forgotten_for_ns=0, orphaned_for_ns=0,
        )  # fmt: skip
        packs = len([name for name in store.objects if name.startswith("packs/")])
        for _ in range(3):
            await prune(host.repository, options, Progress())
            await host.repository.catch_up_all()
            await assert_sound(host.repository)
        left = [name for name in store.objects if name.startswith("packs/")]
        assert len(left) < packs
        # A block that has moved is lost where it is now, and its file is still found.
        for name in left:
            del store.objects[name]
        report = await checked(host.repository)
        assert {problem.object for problem in report.problems} == set(left)
        assert report.affected_count == 12


async def test_a_newer_repository_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        body = records.Upgrade(("what nobody knows yet",), ())
        with pytest.raises(NewerFormatError):
            await made.repository.publish(Attempt(bytes(16)), lambda: body, "new")
        for repository in (made.repository, other):
            with pytest.raises(NewerFormatError, match="what nobody knows yet"):
                await checked(repository)
