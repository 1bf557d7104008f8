"""Any two jobs at once: the matrix of docs/design.md.

SNAPFS_TRUST_ROUNDS is how often each pair is tried, in turns on two hosts and on one.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from itertools import combinations_with_replacement
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
import trio

from snapfs.errors import DeltaVoidError
from snapfs.jobs.restore.directory import TEMPORARY
from snapfs.model.finding import Trouble
from tests.manifest import manifest_of_tree
from tests.trust.beside import Begun, Scene, begin
from tests.trust.pairs import JOBS, restored

_ROUNDS = int(os.environ.get("SNAPFS_TRUST_ROUNDS") or 1)
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_FUSE = os.path.exists("/dev/fuse")
_TRIES = 4
_LATEST = 0.6
"seconds of the longest pauses: those of the last round"
# A process can have one mount: tests/cli/test_mount.py has two at once.
_PAIRS = [pair for pair in combinations_with_replacement(JOBS, 2) if pair != ("mount", "mount")]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """Made once: no pair changes the tree, and each has its own copy of the store."""
    return trio.run(begin, tmp_path_factory.mktemp("pairs"))


@pytest.mark.parametrize(("one", "other"), _PAIRS)
async def test_two_at_once(one: str, other: str, begun: Begun) -> None:
    if "mount" in (one, other) and not _FUSE:
        pytest.skip("no FUSE")
    for scene in _scenes(begun):
        if "repair" in (one, other):
            scene.damage()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_act, scene, JOBS[one], 0)
            nursery.start_soon(_act, scene, JOBS[other], 1)
        await scene.verify()


async def test_two_restores_into_one_target(begun: Begun) -> None:
    """Each may take from the other what that has not finished; nothing half-done has a name."""
    wanted = begun.manifests[begun.to_read]
    for scene in _scenes(begun):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_restore_beside, scene, 0)
            nursery.start_soon(_restore_beside, scene, 1)
        for path, item in manifest_of_tree(_target(scene)).items():
            assert TEMPORARY in path or item.content == wanted[path].content
        assert (await restored(scene, 0, _target(scene))).is_clean
        assert manifest_of_tree(_target(scene)) == wanted


def _scenes(begun: Begun) -> Iterator[Scene]:
    """One for each round: in turns on two machines and on one."""
    for seed in range(_ROUNDS):
        with TemporaryDirectory(dir=_MEMORY) as folder:
            late = _LATEST * seed / _ROUNDS
            yield Scene(begun, Path(folder), Random(seed), seed % 2 == 1, late)


async def _act(scene: Scene, job: Callable[[Scene, int], Awaitable[None]], who: int) -> None:
    """Do it; again where it had to give way to another, which loses nothing."""
    await scene.pause()
    for _ in range(_TRIES):
        try:
            await job(scene, who)
            return
        except DeltaVoidError:
            await trio.sleep(0.05)
    pytest.fail("it always had to give way")


async def _restore_beside(scene: Scene, who: int) -> None:
    report = await restored(scene, who, _target(scene))
    assert {count.trouble for count in report.troubles} <= {Trouble.REFUSED}


def _target(scene: Scene) -> Path:
    return scene.folder / "target"
