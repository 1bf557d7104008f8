"""What the tests of repair share: running it, and seeing that all is as it should be afterwards."""

import os
from dataclasses import replace
from pathlib import Path

from snapfs.jobs.check.subset import EVERYTHING
from snapfs.jobs.progress import Progress
from snapfs.jobs.repair import RepairOptions, RepairReport, repair
from snapfs.repository.state import Directories
from snapfs.stores.base import Store
from tests.build import KEYS

OPTIONS = RepairOptions(host="mender", read=EVERYTHING)
QUICK = replace(OPTIONS, read=None)
DRY = replace(OPTIONS, dry_run=True)


def directories(directory: Path) -> Directories:
    return Directories(directory / "state", directory / "cache")


async def repaired(store: Store, directory: Path, options: RepairOptions = OPTIONS) -> RepairReport:
    """The report of a repair on the machine whose state lies in `directory`."""
    return await repair(store, directories(directory), KEYS, options, Progress())


def quarantined(directory: Path) -> list[str]:
    """The databases that were moved aside, without what stands beside them."""
    found = (path.name for path in (directory / "state").rglob("*.quarantine-*"))
    return sorted(name for name in found if not name.endswith(("-wal", "-shm")))


def without_copies(directory: Path) -> None:
    """Have this machine lose the copies that it has kept of the log and its parts."""
    for path in (directory / "state").rglob("copies.db*"):
        path.unlink()


def corrupt(path: Path) -> None:
    """Write over the middle of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(os.urandom(size // 3))
