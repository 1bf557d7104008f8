"""What most tests of the mount begin with: an empty repository in memory."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, built


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def repository(store: MemoryStore, tmp_path: Path) -> AsyncIterator[Repository]:
    async with built(store, tmp_path / "machine") as repository:
        yield repository


@pytest.fixture
async def builder(repository: Repository) -> Builder:
    return Builder(repository)


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    return tmp_path / "mnt"


@pytest.fixture
def public() -> Iterator[Path]:
    """A mount point that other users can reach; pytest closes its own directories to them."""
    with tempfile.TemporaryDirectory(prefix="snapfs-public-") as place:
        Path(place).chmod(0o755)
        yield Path(place) / "mnt"
