"""Running a command and asking the kernel what it took."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


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
    began = time.monotonic()
    with open("/tmp/snapfs-bench.out", "wb") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in allowed:
        said = Path("/tmp/snapfs-bench.out").read_text(errors="replace")[-2000:]
        raise FailedError(f"{' '.join(command)}: status {process.returncode}\n{said}")
    return Taken(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


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
