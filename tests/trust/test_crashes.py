"""Every job, killed at any moment: nothing is lost, nothing is half-done, the next run goes on.

SNAPFS_TRUST_STEP=1 tries each moment, which takes some minutes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.trust.conftest import Tally
from tests.trust.stage import SCENES

_ROOT = Path(__file__).parents[2]
_MEMORY = "/dev/shm"
_WITHIN = 900
"seconds for one scene"
_SHORT, _LONG = 2, 10
"of how many moments one is tried, unless all are asked for"
_LONG_JOBS = ("ingest with progress", "prune that condemns", "prune that deletes")
"of a hundred moments and more"


@pytest.fixture(scope="module")
def plays() -> Iterator[dict[str, Future[str]]]:
    """What the driver printed for each scene. They run at once, on as many cores as there are."""
    with (
        # In memory where that can be: hundreds of copies are made and thrown away.
        TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        yield {
            name: pool.submit(_play, name, Path(folder) / name.replace(" ", "-")) for name in SCENES
        }


def _play(name: str, folder: Path) -> str:
    step = int(os.environ.get("SNAPFS_TRUST_STEP") or (_LONG if name in _LONG_JOBS else _SHORT))
    command = [sys.executable, "-m", "tests.trust.driver", name, str(folder), str(step)]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=_WITHIN, check=False
    )
    assert done.returncode == 0, f"{name}:\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", SCENES)
def test_killed(name: str, plays: dict[str, Future[str]], tally: Tally) -> None:
    kills = int(plays[name].result())
    assert kills > 5
    tally.crash_points += kills
    tally.jobs += 1
