#!/usr/bin/env python3
"""Three hosts work on one repository for some minutes, and are killed again and again.

    contrib/soak.py [--minutes 10] [--store directory|s3] [--folder DIRECTORY]

Each host is a process that changes files, captures them, reads what others captured, tags, forgets
and prunes. Whenever one dies it begins again, sometimes with its state lost or as it was some time
ago. In the end every snapshot must be what was captured, and a check that reads all data must find
nothing. With `s3` the store is SeaweedFS on the loopback interface. The exit status is 1 where
something was wrong; then the folder stays.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from snapfs.stores.locate import open_store, parse_url, verbs_at  # noqa: E402
from tests.servers import seaweedfs  # noqa: E402
from tests.trust.worker import begin, verify  # noqa: E402

_HOSTS = 3
_ROUNDS = 1_000_000
_LIFE = (0.5, 8.0)
"seconds after which a host is killed: from, to"
_ENDING = 30.0
"seconds for a host to end its last round"


def main() -> int:
    """Run, and say what came of it; an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--store", choices=("directory", "s3"), default="directory")
    parser.add_argument("--folder", type=Path, help="for everything; a temporary one by default")
    given = parser.parse_args()
    folder = Path(given.folder or tempfile.mkdtemp(prefix="snapfs-soak-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with _store(given.store, folder) as place:
        soak = Soak(folder, place)
        sound = soak.run(given.minutes * 60)
    print(soak.summary(), "" if sound else f"\nSOMETHING IS WRONG: see {folder}")
    if sound and not given.folder:
        shutil.rmtree(folder)
    return 0 if sound else 1


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    """A store, as its URL. For S3 the server lives as long as the `with`."""
    if kind == "directory":
        (folder / "store").mkdir()
        yield str(folder / "store")
        return
    (folder / "server").mkdir()
    with seaweedfs(folder / "server") as server:
        os.environ.update(server.environment)
        yield f"s3://{server.bucket}/soak"


@dataclass(slots=True)
class Soak:
    """The hosts, and who kills them."""

    folder: Path
    place: str
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _until: dict[int, float] = field(default_factory=dict)

    def run(self, seconds: float) -> bool:
        """Work for so long, then look at everything; whether all was right."""
        store = open_store(verbs_at(parse_url(self.place, self.folder)))
        trio.run(begin, store, self.folder)
        began = time.monotonic()
        try:
            sound = all(self._tend() for _ in _every(0.1, seconds))
        finally:
            self._kill_all()
        self.seconds = time.monotonic() - began
        if sound:
            self.counts["snapshots"] = trio.run(verify, store, self.folder)
        trio.run(store.aclose)
        return sound

    def summary(self) -> str:
        """What was done, in a line."""
        notes = [path.suffix for path in (self.folder / "notes").glob("t*")]
        counts = self.counts
        return (
            f"{self.seconds / 60:.1f} minutes, {_HOSTS} hosts, {self.place}: "
            f"{notes.count('.made')} snapshots made, {notes.count('.forgotten')} forgotten, "
            f"{counts['kills']} kills, {counts['lost']} states lost, {counts['older']} put back; "
            f"{counts['snapshots']} snapshots compared"
        )

    def _tend(self) -> bool:
        """Start who is not running, and kill whose time has come; False where one has failed."""
        for number in range(_HOSTS):
            process = self._running.get(number)
            if process is None:
                self._start(number)
            elif process.poll() is not None:
                print(f"host {number} ended: see {self._output(number)}")
                return False
            elif time.monotonic() > self._until[number]:
                self._kill(number)
        return True

    def _start(self, number: int) -> None:
        self._until[number] = time.monotonic() + random.uniform(*_LIFE)
        with open(self._output(number), "ab") as output:
            self._running[number] = subprocess.Popen(
                [sys.executable, "-m", "tests.trust.worker", str(self.folder), self.place,
                 str(_ROUNDS), str(number)],
                cwd=_ROOT, stdout=output, stderr=output,
            )  # fmt: skip

    def _kill(self, number: int) -> None:
        process = self._running.pop(number)
        process.send_signal(signal.SIGKILL)
        process.wait(_ENDING)
        self.counts["kills"] += 1
        state, copy = self.folder / f"state{number}", self.folder / f"copy{number}"
        draw = random.random()
        if draw < 0.1:
            shutil.rmtree(state, ignore_errors=True)
            self.counts["lost"] += 1
        elif draw < 0.2 and copy.exists():
            shutil.rmtree(state, ignore_errors=True)
            copy.rename(state)
            self.counts["older"] += 1
        elif draw < 0.4 and state.exists():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(state, copy)

    def _kill_all(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(_ENDING)

    def _output(self, number: int) -> Path:
        return self.folder / f"output{number}"


def _every(pause: float, seconds: float) -> Iterator[None]:
    """Again and again, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(pause)


if __name__ == "__main__":
    sys.exit(main())
