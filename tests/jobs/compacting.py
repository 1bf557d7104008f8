"""What the tests of compaction share: days of work, and that all views are the same in the end."""

import random
from dataclasses import replace

from snapfs.formats import objects
from snapfs.formats.parts import PartRef
from snapfs.formats.records import named_parts
from snapfs.metadata.bases import newest_base
from snapfs.metadata.compare import differences
from snapfs.repository.replay import replayed
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.jobs.checking import assert_sound
from tests.jobs.ingesting import Machine
from tests.jobs.test_prune import NOW, TIGHT, churn, doubt, forget, snapshots

COMPACT = replace(TIGHT, compact=True)
IF_NEEDED = replace(NOW, compact=None)
LOOSE = replace(NOW, compact=False)
COUNTED = ("blocks", "segments", "packs", "nodes", "lists", "directories", "sources")


async def days(host: Machine, chance: random.Random, count: int) -> None:
    """So many snapshots, with changes, a long file and a directory that comes and goes."""
    for day in range(count):
        churn(host.tree, chance, largest=9_000)
        path = host.tree / "long"
        long = path.read_bytes() if path.exists() else chance.randbytes(350_000)
        at = chance.randrange(len(long))
        path.write_bytes(long[:at] + chance.randbytes(900) + long[at:])
        passing = host.tree / "now and then"
        if day % 2:
            passing.mkdir()
            (passing / "file").write_bytes(b"%d" % day)
        elif passing.exists():
            (passing / "file").unlink()
            passing.rmdir()
        await host.capture()


async def own(host: Machine) -> list[int]:
    """Numbers of a host's snapshots."""
    return [each.number for each in await snapshots(host) if each.source.host == host.host]


async def forget_some(host: Machine, chance: random.Random, keep: int = 2) -> None:
    mine = [each for each in await snapshots(host) if each.source.host == host.host]
    gone = chance.sample(mine, max(len(mine) - keep, 0))
    if gone:
        await forget(host, *gone)


async def equal(repository: Repository) -> None:
    """The live view is what the log gives to one that begins now."""
    await repository.catch_up_all()
    async with replayed(repository) as replica:
        assert differences(replica.db, repository.db) == []


async def sound(*all_hosts: Machine) -> None:
    for host in all_hosts:
        await equal(host.repository)
        await host.check()
    await assert_sound(all_hosts[0].repository)


def counters(repository: Repository) -> dict[str, int]:
    return dict(repository.db.rows("SELECT name, next FROM counter"))


def rows_of(repository: Repository, table: str) -> int:
    row = repository.db.row(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


def parts_in(store: MemoryStore) -> set[str]:
    return {name for name in store.objects if name.startswith(objects.PARTS)}


def base_parts(repository: Repository) -> list[PartRef]:
    """The parts of the newest base."""
    base = newest_base(repository.db)
    assert base is not None
    return list(named_parts(repository.replica.head(base.record).body))


async def doubt_some(host: Machine) -> None:
    await host.repository.catch_up_all()
    row = host.repository.db.row(
        "SELECT max(number) FROM pack WHERE name NOT IN (SELECT name FROM fate)"
    )
    if row and row[0]:
        await doubt(host, row[0])
