"""Plays a scene again and again, killed one moment later each time, and looks at what is left.

    python -m tests.trust.driver SCENE FOLDER [STEP]

A process of its own with one thread, which forks: starting an interpreter for each of hundreds of
kills would take minutes. It prints the number of kills; what went wrong is on standard error.
"""

import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

import trio

from snapfs.formats import packs
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.trust.killing import Clock, MortalStore, mortal_commits, mortal_names
from tests.trust.place import Place, Scene
from tests.trust.stage import SCENES

_KEPT_IN = "before"


def main(name: str, folder: str, step: int = 1) -> int:
    """Kill the scene's job at each `step`-th moment until it ends by itself; an exit status."""
    scene, place = SCENES[name], Place(Path(folder))
    place.store.mkdir(parents=True)
    place.tree.mkdir()
    tempfile.tempdir = folder
    if _apart(lambda: scene.prepare(place)) != 0:
        return 1
    _save(place)
    kills, moment = 0, 1
    for kills, moment in enumerate(count(1, step)):
        status = _apart(partial(_play, scene, place, moment))
        if status not in (0, -signal.SIGKILL) or _apart(lambda: scene.check(place)) != 0:
            print(f"{name}: moment {moment}, status {status}", file=sys.stderr)
            return 1
        if status == 0:
            print(kills)
            return 0
        _bring_back(place)
    raise AssertionError("counting does not end")


async def _play(scene: Scene, place: Place, moment: int) -> None:
    clock = Clock(moment)
    with ExitStack() as stack:
        stack.enter_context(mortal_commits(clock))
        if scene.names:
            stack.enter_context(mortal_names(clock))
        await scene.job(place, MortalStore(ThreadedStore(Files(place.store)), place.store, clock))


def _apart(work: Callable[[], Awaitable[None]]) -> int:
    """Run this in a process of its own; its exit status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _run(work)
            status = 0
        finally:
            # Nothing of the driver's own ending may happen twice.
            if status:
                traceback.print_exc()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run(work: Callable[[], Awaitable[None]]) -> None:
    with (
        # SIGKILL leaves what was written to the kernel: waiting for the disk shows nothing here.
        patch.object(os, "fsync", lambda descriptor: None),
        # Several packs, of several segments, for little data.
        patch.object(packs, "TARGET", 150_000),
        patch.object(packs, "SEGMENT_TARGET", 50_000),
    ):
        trio.run(work)


def _save(place: Place) -> None:
    before = place.root / _KEPT_IN
    before.mkdir()
    for path in (place.store, place.states, place.target):
        if path.exists():
            _copy(path, before / path.name)


def _bring_back(place: Place) -> None:
    before = place.root / _KEPT_IN
    for path in (place.store, place.states, place.target):
        if path.exists():
            shutil.rmtree(path)
        if (before / path.name).exists():
            _copy(before / path.name, path)


def _copy(source: Path, target: Path) -> None:
    # Objects are never written twice under one name, so their copies may be links.
    copy = os.link if source.name == "store" else shutil.copy2
    shutil.copytree(source, target, copy_function=copy, symlinks=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
