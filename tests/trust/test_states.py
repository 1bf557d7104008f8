"""A host whose own state is older than it was, cut, mixed or lost: the log has all it needs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pytest

from snapfs.metadata.database import Database
from snapfs.repository.state import REPLICA
from snapfs.stores.memory import MemoryStore
from tests.jobs.ingesting import machine
from tests.manifest import Kept
from tests.trust.conftest import Tally
from tests.trust.place import change, populate

_EACH = int(os.environ.get("SNAPFS_TRUST_STEP") or 2)
"of how many commits of a database the state is tried"
_CUTS = (0.0, 0.35, 0.7, 1.0)
"of a write-ahead log: how much of it had reached the disk"


@dataclass(slots=True)
class Story:
    """What came before: the store, the snapshots, and copies of the host's state on the way."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    kept: Kept = field(default_factory=Kept)
    copies: list[Path] = field(default_factory=list)

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def copy(self, *, commits: bool = False) -> None:
        """Keep the host's state as it is; `commits` says that databases are open."""
        state = self.folder / "host" / "state"
        target = self.folder / f"copy{len(self.copies)}"
        # Nobody can read an index of the write-ahead log that another boot has made.
        ignore = shutil.ignore_patterns("*-shm") if commits else None
        shutil.copytree(state, target, ignore=ignore)
        self.copies.append(target)

    async def go_on_from(self, name: str, *states: Path) -> None:
        """Let a host with this state go on: a snapshot more, nothing overwritten, all sound.

        Of several states, the later ones' files are put over those of the earlier ones.
        """
        store = MemoryStore()
        store.objects.update(self.store.objects)
        host_folder = self.folder / name
        for state in states:
            shutil.copytree(state, host_folder / "state", dirs_exist_ok=True)
        async with machine(store, host_folder, self.tree) as host:
            host.kept = Kept(dict(self.kept.manifests))
            await host.capture()
            await host.check()
        assert store.objects.items() >= self.store.objects.items()
        shutil.rmtree(host_folder)


@contextmanager
def copying(story: Story) -> Iterator[None]:
    """Keep the state as it is after each few commits of its databases."""
    writing, commits = Database.writing, 0

    @contextmanager
    def watched(self: Database) -> Iterator[None]:
        nonlocal commits
        with writing(self):
            yield
        commits += 1
        if commits % _EACH == 0:
            story.copy(commits=True)

    with patch.object(Database, "writing", watched):
        yield


async def _capture(story: Story, **options: object) -> None:
    async with machine(story.store, story.folder / "host", story.tree) as host:
        await host.capture(**options)
        story.kept.manifests.update(host.kept.manifests)


@pytest.fixture
async def story(tmp_path: Path) -> Story:
    """A host with a first snapshot."""
    begun = Story(tmp_path)
    populate(begun.tree)
    await _capture(begun)
    return begun


async def test_older_and_lost_states(story: Story, tally: Tally) -> None:
    story.copy()
    change(story.tree)
    await _capture(story, progress_rows=8)
    story.copy()
    (story.tree / "a" / "small2").write_bytes(b"changed again")
    await _capture(story)
    await story.go_on_from("lost")
    for at, state in enumerate(story.copies):
        await story.go_on_from(f"older{at}", state)
    tally.states += 1 + len(story.copies)


async def test_files_of_different_ages(story: Story, tally: Tally) -> None:
    """One of the two databases was restored, and the other was not."""
    story.copy()
    change(story.tree)
    await _capture(story)
    story.copy()
    old, new = story.copies
    for older in (REPLICA, "local.db"):
        mixed = story.folder / f"with an old {older}"
        shutil.copytree(new, mixed)
        (database,) = old.rglob(older)
        shutil.copy(database, mixed / database.relative_to(old))
        await story.go_on_from("mixed", mixed)
        (mixed / database.relative_to(old)).unlink()
        await story.go_on_from("lacking", mixed)
        tally.states += 2


async def test_commits_that_power_took(story: Story, tally: Tally) -> None:
    """Of what was committed locally any part may be missing, in one database or in both."""
    change(story.tree)
    with copying(story):
        await _capture(story, progress_rows=8)
    cut = 0
    for at, state in enumerate(story.copies):
        for number, part in enumerate(_CUTS):
            if (at + number) % 2 and _EACH > 1:
                continue
            _cut(state, f"{REPLICA}-wal", part)
            _cut(state, "local.db-wal", _CUTS[(at + number // 2) % len(_CUTS)])
            await story.go_on_from("cut", state)
            cut += 1
    assert cut > 5
    tally.states += cut


def _cut(state: Path, name: str, part: float) -> None:
    """Let a file end early; from the end of it as it was, however often it is cut."""
    for path in state.rglob(name):
        whole = path.with_name(f"whole-{name}")
        if not whole.exists():
            shutil.copy(path, whole)
        shutil.copy(whole, path)
        os.truncate(path, int(path.stat().st_size * part))


def test_cutting_takes_something(tmp_path: Path) -> None:
    """What the test above relies on: a cut log is an older position, and no error."""
    path = tmp_path / REPLICA
    with Database.create_or_open(path, "replica.sql", 1) as db:
        with db.writing():
            db.execute("INSERT INTO fact VALUES ('a', 'b')")
        shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm"))
    wal = tmp_path / "copy" / f"{REPLICA}-wal"
    counts = []
    for size in (wal.stat().st_size, wal.stat().st_size - 10):
        os.truncate(wal, size)
        shutil.copytree(tmp_path / "copy", tmp_path / f"{size}")
        with Database.create_or_open(tmp_path / f"{size}" / REPLICA, "replica.sql", 1) as db:
            counts.append(len(db.rows("SELECT * FROM fact")))
    assert counts == [1, 0]
