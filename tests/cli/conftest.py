"""A machine for each test; an empty repository is made once and copied."""

from pathlib import Path

import pytest
import trio

from snapfs.formats.slots import Derivation
from snapfs.jobs.init import InitOptions, init
from snapfs.repository.world import World
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.cli.running import PASSPHRASE, Snapfs

_QUICK = Derivation(memory=19 * 1024, time=1, lanes=1)
"the least that is allowed: each run of the program unlocks the repository"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with its keys and without a snapshot. Not to be written to."""
    place = tmp_path_factory.mktemp("made") / "repository"
    place.mkdir(mode=0o700)
    options = InitOptions(PASSPHRASE, "made", derivation=_QUICK)
    trio.run(init, ThreadedStore(Files(place)), options, World())
    return place


@pytest.fixture
def bare(tmp_path: Path) -> Snapfs:
    """A machine without a repository."""
    return Snapfs(tmp_path)


@pytest.fixture
def snapfs(bare: Snapfs, made: Path) -> Snapfs:
    """A machine with an empty repository."""
    return bare.with_repository(made)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few files to store."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("first\n")
    (tree / "sub" / "b.bin").write_bytes(bytes(range(256)) * 2000)
    (tree / "link").symlink_to("a.txt")
    return tree
