"""Running a command and asking the kernel what it took."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_MEASURED = str(Path(__file__).with_name("measured.py"))


@dataclass(frozen=True, slots=True)
class Taken:
    """What one finished command took."""

    wall: float
    "seconds"
    cpu: float
    "seconds of all its processes"
    peak: float
    "MiB of its largest process"


class FailedError(Exception):
    """A command ended with a status that the work does not allow."""


def run(
    command: Sequence[str], environment: Mapping[str, str], *, allowed: tuple[int, ...] = (0,)
) -> Taken:
    """Run a command to its end, its output kept for the case that it fails."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as out, open(reading, "rb") as told:
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", _MEASURED, str(writing), *command),
            env={**os.environ, **environment}, pass_fds=(writing,),
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.close(writing)
        taken = json.loads(told.read() or '{"status": -1}')
        process.wait()
        out.seek(0)
        said = out.read().decode(errors="replace")[-2000:]
    status = taken.pop("status")
    if status not in allowed:
        raise FailedError(f"{' '.join(command)}: status {status}\n{said}")
    return Taken(**taken)


def forget(*trees: Path) -> None:
    """Make the kernel forget what it has read of these files, and of nothing else: the programs
    themselves are as warm as on a machine that runs them every day."""
    os.sync()
    for tree in trees:
        for folder, _, files in os.walk(tree):
            for name in files:
                _forget_file(Path(folder, name))


def _forget_file(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def tree_size(path: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())


def say(text: str) -> None:
    """A line for whoever watches."""
    print(text, file=sys.stderr, flush=True)
