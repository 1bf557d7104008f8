"""`python -m bench.history`: how long questions about a long past take.

A repository of rows alone is made (see `past`), a million files and thirty snapshots unless told
otherwise; then each question is asked by a process of its own, with all that a user waits for: the
start of Python, the derivation of the key, catching up, the query, and printing the answer. Of an
answer of more than 10,000 lines it also says when its first page was there.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import trio

from bench import past
from bench.measure import FailedError, say
from snapfs.repository.state import Directories

_FOLDER = "/data/0000/00"
_SNAPFS = (sys.executable, "-m", "snapfs.cli.main")
_FIRST, _LAST_BUT_ONE, _FILE = "FIRST", "BEFORE", "FILE"
"stand for the first snapshot, the last but one, and a file"
_LONG = 10_000
"lines of an answer of which the first page is what one waits for"
_CHUNK = 65_536
QUESTIONS = (
    ("snapshots",),
    ("ls", f"latest:{_FOLDER}"),
    ("history", _FILE),
    ("history", _FOLDER),
    ("find", "document-00000*"),
    ("find", "--ignore-case", "*-0000?0.PDF"),
    ("find", f"{_FOLDER}/**/*.pdf"),
    ("find", "--size", "+50K"),
    ("find", "--size", "+1G"),
    ("find", "--newer", _LAST_BUT_ONE),
    ("find", "--type", "d", "--owner", "root"),
    ("find", "--deleted", "*-0000*"),
    ("find", "--any-version", "document-00001*"),
    ("diff", _LAST_BUT_ONE, "latest"),
    ("diff", _FIRST, "latest", "/data/0000"),
    ("diff", _FIRST, "latest"),
    ("du", "latest"),
    ("du", "latest:/data/0000"),
    ("stats",),
    ("stats", "--growth"),
    ("stats", "--each"),
    ("sql", "SELECT path, size FROM files WHERE NOT gone ORDER BY size DESC LIMIT 10"),
    ("sql", "SELECT first, count(*), sum(size) FROM files GROUP BY first"),
)


def main() -> None:
    given = _arguments()
    with ExitStack() as stack:
        folder = given.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="snapfs-history-"))
        )
        place, directories = folder / "repository", Directories(folder / "state", folder / "cache")
        if not place.exists():
            say(f"making {given.files:,} files in {given.snapshots} snapshots")
            place.mkdir(parents=True, mode=0o700)
            (folder / "passphrase").write_text(past.PASSPHRASE)
            make = functools.partial(past.make, files=given.files, snapshots=given.snapshots)
            trio.run(make, place, directories)
        environment = {
            "SNAPFS_REPOSITORY": str(place), "SNAPFS_STATE_DIR": str(directories.state),
            "SNAPFS_CACHE_DIR": str(directories.cache), "TZ": "UTC",
            # As services have it: short questions derive no key then.
            "SNAPFS_PASSPHRASE_FILE": str(folder / "passphrase"),
            # As an installed program: its byte code was made once, and not at each start.
            "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "",
        }  # fmt: skip
        words = _words(given.snapshots, environment)
        print(f"{given.files:,} files, {given.snapshots} snapshots, best of {given.runs}", _cores())
        print("| question | lines | first page | all | of the processor |\n|---|---|---|---|---|")
        for question in QUESTIONS:
            print(_line(question, words, environment, given.runs), flush=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one answer took, in seconds."""

    lines: int
    first: float
    "until its first bytes were there"
    wall: float
    cpu: float


def _line(
    question: tuple[str, ...], words: dict[str, str], environment: dict[str, str], runs: int
) -> str:
    asked = [words.get(word, word) for word in question]
    best = min((_ask((*_SNAPFS, *asked), environment) for _ in range(runs)), key=_wall)
    first = f"{best.first:.2f}" if best.lines > _LONG else ""
    text = " ".join(question)
    return f"| `{text}` | {best.lines:,} | {first} | {best.wall:.2f} | {best.cpu:.2f} |"


def _ask(command: tuple[str, ...], environment: dict[str, str]) -> _Asked:
    began = time.monotonic()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )  # fmt: skip
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
    return _Asked(lines, first, wall, usage.ru_utime + usage.ru_stime)


def _wall(asked: _Asked) -> float:
    return asked.wall


def _words(snapshots: int, environment: dict[str, str]) -> dict[str, str]:
    """What stands for a time, and for a file that there is."""
    serials = {_FIRST: 0, _LAST_BUT_ONE: max(0, snapshots - 2)}
    times = {
        word: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(past.BEGIN + serial * past.DAY))
        for word, serial in serials.items()
    }
    listed = subprocess.run(
        (*_SNAPFS, "ls", "--json", f"latest:{_FOLDER}"), env={**os.environ, **environment},
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return {**times, _FILE: json.loads(listed.stdout.splitlines()[0])["path"]}


def _cores() -> str:
    return f"on {len(os.sched_getaffinity(0))} cores"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--snapshots", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3, help="of each question")
    parser.add_argument("--folder", type=Path, help="keep the repository here, or take that one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
