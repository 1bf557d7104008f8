"""A recorded log, and what a replay of it must give for ever, numbers of inodes included.

`python -m tests.repository.golden_log NAME` records one, under a name that is not there yet; a log
that was recorded is never recorded again. NAME is that of its story: see `STORIES`.
"""

import io
import json
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from snapfs.formats.parts import BlockPart, SuspectRow
from snapfs.formats.records import Mend, New
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import PruneOptions
from snapfs.jobs.tag import tag
from snapfs.metadata.tree import Entry
from snapfs.model.content import Hole, Stored
from snapfs.model.identity import Attempt
from snapfs.model.pruning import PrunePolicy
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, Thing, built, file, folder, link

GOLDEN = Path(__file__).parent / "golden"
NOW = PruneOptions(
    host="pruner", policy=PrunePolicy(max_unused=0.0), condemned_for_ns=0, forgotten_for_ns=0,
    orphaned_for_ns=0,
)  # fmt: skip


async def dump(repository: Repository) -> dict[str, Any]:
    """All that the log says, by the meaning of its rows and not by how they are stored."""
    await repository.catch_up_all()
    found: dict[str, Any] = {"records": repository.replica.tip().number, "snapshots": {}}
    for snapshot in repository.snapshots.stream():
        root = repository.tree.root(snapshot.number)
        found["snapshots"][f"{snapshot.number} {snapshot.source}"] = {
            "id": snapshot.id.hex(),
            "time": snapshot.time_ns,
            "tags": list(snapshot.tags),
            "tree": _tree(repository, snapshot.number, root),
        }
    return found


def _tree(repository: Repository, commit: Any, root: Entry | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    todo = [("", root)] if root else []
    while todo:
        path, entry = todo.pop()
        found[path or "/"] = _entry(repository, entry)
        if entry.child is not None:
            todo += [
                (f"{path}/{inner.name.decode(errors='surrogateescape')}", inner)
                for inner in repository.tree.entries(entry.child, commit)
            ]
    return dict(sorted(found.items()))


def _entry(repository: Repository, entry: Entry) -> list[Any]:
    attributes = entry.node.attributes
    extents: list[Any] = []
    for extent in repository.tree.extents(entry.node.content()):
        if isinstance(extent, Hole):
            extents.append(extent.length)
        elif isinstance(extent, Stored):
            key = repository.blocks.key(extent.number)
            extents.append([key.hex() if key else None, extent.length])
    return [
        entry.node.number, entry.child, attributes.mode, attributes.uid, attributes.gid,
        attributes.mtime_ns, attributes.nlink, attributes.size, attributes.rdev,
        attributes.target.hex(), [[n.hex(), v.hex()] for n, v in attributes.xattrs], extents,
    ]  # fmt: skip


def load(name: str) -> tuple[MemoryStore, dict[str, Any]]:
    """A store with the objects of a recorded log, and the dump that belongs to it."""
    store = MemoryStore()
    with tarfile.open(GOLDEN / f"{name}.tar") as tar:
        for member in tar.getmembers():
            held = tar.extractfile(member)
            assert held is not None
            store.objects[member.name] = held.read()
    return store, json.loads((GOLDEN / f"{name}.json").read_text())


async def _recorded(
    story: Callable[[Repository], Awaitable[None]],
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The objects of the log of a story, and its dump."""
    store = MemoryStore(now=time.time)
    with tempfile.TemporaryDirectory() as state:
        async with built(store, Path(state)) as repository:
            await story(repository)
            return store.objects, await dump(repository)


def record(name: str) -> None:
    """Record a log under a name that is not there yet."""
    stored, found = trio.run(_recorded, STORIES[name])
    GOLDEN.mkdir(exist_ok=True)
    with open(GOLDEN / f"{name}.json", "x") as text:
        json.dump(found, text, indent=0)
    with tarfile.open(GOLDEN / f"{name}.tar", "x") as tar:
        for path, data in sorted(stored.items()):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


async def _story(repository: Repository) -> None:
    chance = random.Random(1)
    noise = [chance.randbytes(3000) for _ in range(6)]
    inode = file(noise[0], 5000, noise[1], mode=0o4755, uid=7)
    things: dict[str | bytes, Thing] = {
        "/etc/hosts": file(b"127.0.0.1 localhost\n", xattrs=((b"user.note", b"kept"),)),
        "/etc/one": inode,
        "/etc/two": inode,
        "/etc/link": link(b"hosts"),
        b"/etc/caf\xe9": file(noise[2], mtime_ns=-(10**18) - 1),
        "/srv/empty": folder(0o1777),
        "/srv/blank": file(),
    }
    web = Builder(repository, block_size=1024, segment_size=4096)
    other = Builder(repository, host="db", source="dump", block_size=1024)
    first = await web.commit(things)
    await other.commit({"/dump.sql": file(noise[3] * 5, noise[2])})
    del things["/etc/two"]
    things["/etc/hosts"] = replace(things["/etc/hosts"], mode=things["/etc/hosts"].mode | 0o020)
    things["/srv/blank"] = file(noise[4], noise[0])
    second = await web.commit(things)
    things["/srv/more"] = file(noise[5])
    await web.commit(things, complete=False)
    third = await web.commit({**things, "/srv/blank": file(noise[5])})
    snapshot = repository.snapshots.by_number(third)
    assert snapshot is not None
    await tag(repository, [snapshot], ["keep", "drop"], [], "web")
    await tag(repository, [snapshot], [], ["drop"], "web")
    await web.forget(first, second)
    await web.recall(first)
    await prune(repository, NOW, Progress())
    await other.forget(
        *(commit for commit, _, _ in repository.snapshots.times(other_number(repository)))
    )


async def _compacted(repository: Repository) -> None:
    """Two bases, the parts that the first replaced deleted, damage, and records behind all that."""
    chance = random.Random(2)
    noise = [chance.randbytes(2000) for _ in range(9)]
    web = Builder(repository, block_size=1024, segment_size=4096)
    other = Builder(repository, host="db", source="dump", block_size=1024)
    inode = file(noise[0], 5000, noise[1], mode=0o4755, uid=7)
    things: dict[str | bytes, Thing] = {"/one": inode, "/two": inode, "/link": link(b"one")}
    gone = []
    for day in range(1, 6):
        things[f"/day/{day}"] = file(noise[day], xattrs=((b"user.day", b"%d" % day),))
        things["/changing"] = file(noise[day] + b"%d" % day)
        gone.append(await web.commit(things))
        if day == 2:
            await other.commit({"/dump.sql": file(noise[7] * 3)})
            del things["/day/1"]
        if day == 3:
            await web.forget(*gone[:2])
            await prune(repository, replace(NOW, compact=True), Progress())
        if day == 4:
            await _damage(repository, gone[-1])
            await prune(repository, replace(NOW, compact=True), Progress())
    await other.commit({"/dump.sql": file(noise[7] * 3, noise[8])})


async def _damage(repository: Repository, commit: Any) -> None:
    """Say that a block of a snapshot is damaged."""
    await repository.catch_up_all()
    root = repository.tree.root(commit)
    assert root is not None
    assert root.child is not None
    entry = next(e for e in repository.tree.entries(root.child, commit) if e.name == b"changing")
    extent = next(iter(repository.tree.extents(entry.node.content())))
    assert isinstance(extent, Stored)
    origin = repository.blocks.origin(extent.number)
    row = SuspectRow(origin.pack, origin.segment, (extent.number - origin.first,))
    ref = await repository.parts.upload(BlockPart((), (), (row,)), (0, 0, 0))
    body = Mend(New(), (ref,), ())
    await repository.publish(Attempt(bytes(range(16))), lambda: body, "web")


STORIES = {"level-0": _story, "level-0-compacted": _compacted}


def other_number(repository: Repository) -> Any:
    """The number of the second source."""
    source = repository.snapshots.source("db", "dump")
    assert source is not None
    return source.number


if __name__ == "__main__":
    record(sys.argv[1])
