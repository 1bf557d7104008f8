"""Questions as a user asks them: each by a process of its own, timed until its answer is printed.

That is with all that a user waits for: the start of Python, a look at the store, the query, and
printing. Of an answer of more than 10,000 lines it is also said when its first page was there.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import FailedError
from snapfs.repository.state import Directories

FIRST, BEFORE = "FIRST", "BEFORE"
"stand for the times of the first snapshot and of the last but one"
FILE = "FILE"
"stands for the path of a file"
_SNAPFS = (sys.executable, "-m", "snapfs.cli.main")
_LONG = 10_000
"lines of an answer of which the first page is what one waits for"
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Asked:
    """What one answer took, in seconds."""

    lines: int
    first: float
    "until its first bytes were there"
    wall: float
    cpu: float


class Asker:
    """Asks about one repository of a directory, with a passphrase from a file."""

    def __init__(self, place: Path, directories: Directories, passphrase: Path) -> None:
        self._environment = {
            **os.environ,
            "SNAPFS_REPOSITORY": str(place), "SNAPFS_STATE_DIR": str(directories.state),
            "SNAPFS_CACHE_DIR": str(directories.cache), "TZ": "UTC",
            # As services have it: short questions derive no key then.
            "SNAPFS_PASSPHRASE_FILE": str(passphrase),
            # As an installed program: its byte code was made once, and not at each start.
            "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "",
        }  # fmt: skip

    def table(
        self, questions: Iterable[tuple[str, ...]], folder: str, runs: int, title: str
    ) -> None:
        """Print what each question takes at best; `folder` is one in which `FILE` is found."""
        words = self._words(folder)
        print(f"{title}, best of {runs} on {len(os.sched_getaffinity(0))} cores")
        print("| question | lines | first page | all | of the processor |\n|---|---|---|---|---|")
        for question in questions:
            asked = [words.get(word, word) for word in question]
            best = min((self.ask(asked) for _ in range(runs)), key=lambda one: one.wall)
            first = f"{best.first:.2f}" if best.lines > _LONG else ""
            text = " ".join(question)
            print(
                f"| `{text}` | {best.lines:,} | {first} | {best.wall:.2f} | {best.cpu:.2f} |",
                flush=True,
            )

    def ask(self, question: Iterable[str]) -> Asked:
        """Ask once. Raises FailedError where there is no answer."""
        command = (*_SNAPFS, *question)
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        chunk = os.read(descriptor, _CHUNK)
        first, lines = time.monotonic() - began, 0
        while chunk:
            lines += chunk.count(b"\n")
            chunk = os.read(descriptor, _CHUNK)
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise FailedError(f"{' '.join(command)}: status {process.returncode}")
        return Asked(lines, first, wall, usage.ru_utime + usage.ru_stime)

    def _words(self, folder: str) -> dict[str, str]:
        times = [one["time"] for one in json.loads(self._told("snapshots"))]
        file = json.loads(self._told("ls", f"latest:{folder}").splitlines()[0])
        return {FIRST: times[0], BEFORE: times[-2:][0], FILE: file["path"]}

    def _told(self, *question: str) -> bytes:
        return subprocess.run(
            (*_SNAPFS, *question, "--json"), env=self._environment, stdout=subprocess.PIPE,
            check=True,
        ).stdout  # fmt: skip
