"""Two hosts dedup against packs that a third is taking away, and all of them are killed at random.

SNAPFS_TRUST_ROUNDS is the number of snapshots that each of the two makes; the default takes some
seconds.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
import trio

from snapfs.formats.records import Condemn, Delete, Gone, Ingest
from snapfs.model.identity import Commit
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.trust.conftest import Tally
from tests.trust.racer import PRUNER
from tests.trust.worker import Notes, Worker, begin, verify

_ROOT = Path(__file__).parents[2]
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_HOSTS = 3
_ROUNDS = int(os.environ.get("SNAPFS_TRUST_ROUNDS") or 4)
_MUST_BE_MET = ("condemnations", "deletions", "ingests that rescued")
_WITHIN = 120 + 10 * _ROUNDS
"seconds"
_LIFE = (1.0, 8.0)
"seconds after which a process is killed: from, to"


@dataclass(slots=True)
class Race:
    """The processes, and who kills them."""

    folder: Path
    chance: Random = field(default_factory=Random)
    kills: int = 0
    _end: float = field(default_factory=lambda: time.monotonic() + _WITHIN)
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _until: dict[int, float] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, rounds: int) -> None:
        """Until each of those who capture has made so many snapshots; the last act is a kill."""
        try:
            while min(self._made().values()) < rounds:
                assert time.monotonic() < self._end, self._made()
                for number in range(_HOSTS):
                    self._tend(number)
                time.sleep(0.05)
        finally:
            for process in self._running.values():
                self._kill(process)
            self._running.clear()

    def void_scans(self) -> int:
        """How often an ingest was told to look again."""
        outputs = [self._output(number).read_text(errors="replace") for number in range(_HOSTS)]
        return sum(output.count("scanning again") for output in outputs)

    def _made(self) -> dict[int, int]:
        labels = Notes(self.folder / "notes").labels("made")
        return {
            number: sum(label.startswith(f"t{number}-") for label in labels)
            for number in range(_HOSTS)
            if number != PRUNER
        }

    def _tend(self, number: int) -> None:
        """Start who is not running, and kill whose time has come."""
        process = self._running.get(number)
        if process is None:
            self._until[number] = time.monotonic() + self.chance.uniform(*_LIFE)
            self._running[number] = self._start(number)
        elif process.poll() is not None:
            pytest.fail(self._output(number).read_text(errors="replace"))
        elif time.monotonic() > self._until[number]:
            self._kill(self._running.pop(number))

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.trust.racer", str(self.folder), str(self.store)]
        with open(self._output(number), "ab") as output:
            return subprocess.Popen(
                [*command, str(number)], cwd=_ROOT, stdout=output, stderr=output
            )

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.kills += 1

    def _output(self, number: int) -> Path:
        return self.folder / f"output{number}"


@contextmanager
def _race() -> Iterator[Race]:
    with TemporaryDirectory(dir=_MEMORY) as folder:
        race = Race(Path(folder))
        race.store.mkdir()
        yield race


async def _met(race: Race) -> Counter[str]:
    """What the log has of them coming between each other."""
    met: Counter[str] = Counter()
    async with Worker(race.folder, 98, ThreadedStore(Files(race.store))).open() as host:
        await host.repository.catch_up_all()
        for number in range(1, host.repository.replica.tip().number + 1):
            match host.repository.replica.head(Commit(number)).body:
                case Ingest(rescued=rescued):
                    met["ingests"] += 1
                    met["ingests that rescued"] += bool(rescued)
                case Condemn():
                    met["condemnations"] += 1
                case Delete(deleting=deleting, parts=parts, rescued=rescued):
                    met["deletions"] += bool(deleting or parts)
                    met["deletions that rescued"] += bool(rescued)
                case Gone():
                    met["gone"] += 1
    return met


def test_nothing_is_lost_to_a_prune_that_waits_for_nothing(tally: Tally) -> None:
    with _race() as race:
        store = ThreadedStore(Files(race.store))
        trio.run(begin, store, race.folder)
        rounds = _ROUNDS
        race.run(rounds)
        # Until they have come between each other this has shown nothing.
        while not all((met := trio.run(_met, race))[what] for what in _MUST_BE_MET):
            rounds += 2
            race.run(rounds)
        tally.snapshots += trio.run(verify, store, race.folder)
        met["scans made void"] = race.void_scans()
    tally.met.update(met, kills=race.kills)
