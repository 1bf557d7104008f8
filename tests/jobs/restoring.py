"""What the tests of restore share: a repository with a snapshot, and looking at what came back."""

import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from snapfs.jobs.progress import Progress
from snapfs.jobs.restore import RestoreOptions, RestoreReport, restore
from snapfs.jobs.restore.report import Watch
from snapfs.model.finding import Trouble
from snapfs.repository.repository import Repository
from snapfs.stores.base import Store
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, Thing, built, folder

Things = Mapping[str | bytes, Thing]


@dataclass(frozen=True, slots=True)
class Seen:
    """What lstat and reading say of a path."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    rdev: int
    content: bytes
    "of a file, or the target of a link"
    xattrs: tuple[tuple[bytes, bytes], ...]
    names: frozenset[bytes]
    "all paths of the inode"


@dataclass(slots=True)
class Restorer:
    """Restores the newest snapshot of a repository."""

    repository: Repository
    builder: Builder

    async def run(
        self, target: Path | str | bytes, *, watch: Watch | None = None, **options: object
    ) -> RestoreReport:
        chosen = RestoreOptions(target=os.fsencode(target), **options)  # type: ignore[arg-type]
        snapshot = self.repository.snapshots.by_number(self.builder.head)
        assert snapshot is not None
        async with self.repository.reading() as reader:
            return await restore(self.repository, reader, snapshot, chosen, Progress(), watch=watch)


@asynccontextmanager
async def restorer(
    directory: Path, things: Things, *, store: Store | None = None, **sizes: int
) -> AsyncIterator[Restorer]:
    """A repository whose newest snapshot has these things; its state lies in `directory`."""
    async with built(MemoryStore() if store is None else store, directory) as repository:
        builder = Builder(repository, **sizes)  # type: ignore[arg-type]
        await builder.commit(things)
        yield Restorer(repository, builder)


def wanted(things: Things, path: bytes = b"/") -> dict[bytes, Seen]:
    """What is to be found in the target, by path within it; the target itself is b""."""
    named = {os.fsencode(name): thing for name, thing in things.items()}
    for name in list(named):
        while (name := name.rpartition(b"/")[0]) != b"":
            named.setdefault(name, folder())
    named.setdefault(b"/", folder())
    below = path.rstrip(b"/") + b"/"
    inside = {
        (b"" if name == path else name.removeprefix(below)): thing
        for name, thing in named.items()
        if name == path or name.startswith(below)
    }
    return {name: _seen(thing, inside, name) for name, thing in inside.items()}


def found(target: Path | bytes) -> dict[bytes, Seen]:
    """What is in a directory, itself included, by path within it."""
    root = os.fsencode(target)
    paths = [b""]
    for directory, directories, files in os.walk(root):
        paths += [os.path.relpath(os.path.join(directory, name), root)
                  for name in (*directories, *files)]  # fmt: skip
    inodes: dict[int, set[bytes]] = {}
    for path in paths:
        inodes.setdefault(os.lstat(os.path.join(root, path)).st_ino, set()).add(path)
    return {path: _look(os.path.join(root, path), inodes) for path in paths}


def troubles(report: RestoreReport) -> dict[Trouble, int]:
    return {item.trouble: item.count for item in report.troubles}


def temporaries(target: Path) -> list[Path]:
    return [path for path in target.rglob("*") if path.name.startswith(".snapfs-restore-")]


def _seen(thing: Thing, inside: Mapping[bytes, Thing], name: bytes) -> Seen:
    content = b"".join(bytes(i) if isinstance(i, int) else i for i in thing.content)
    names = frozenset(other for other, it in inside.items() if it is thing)
    return Seen(
        thing.mode, thing.uid, thing.gid, thing.mtime_ns, thing.rdev, content or thing.target,
        thing.xattrs, frozenset({name}) if stat.S_ISDIR(thing.mode) else names,
    )  # fmt: skip


def _look(path: bytes, inodes: Mapping[int, set[bytes]]) -> Seen:
    status = os.lstat(path)
    content = b""
    if stat.S_ISREG(status.st_mode):
        content = Path(os.fsdecode(path)).read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    xattrs = tuple(
        (os.fsencode(name), os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    )
    return Seen(
        status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev,
        content, xattrs, frozenset(inodes[status.st_ino]),
    )  # fmt: skip
