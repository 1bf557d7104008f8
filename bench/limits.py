"""What snapfs must keep to whatever its peers do: slow answers, memory, and time to start."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench import datasets
from bench.latency import distant
from bench.measure import say
from bench.tools import Snapfs, Tool
from bench.works import (
    SOME,
    Bench,
    Measure,
    copy,
    copy_small,
    filled,
    find,
    first_ingest,
    fresh,
    restore,
    scratch,
    snapshots,
    some_folders,
    start,
    version,
)

DELAY = 30
"milliseconds that each answer of a server far away takes longer"
_MEMORY = 220.0
_SLOWER = 1.5


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of the table."""

    name: str
    measure: Callable[[Bench], float]
    unit: str
    at_most: float
    runs: int | None = None

    @property
    def data(self) -> list[str]:
        """The data sets that its name speaks of."""
        return [name for name in datasets.NAMES if name in self.name] or ["many"]


def slowed(measure: Measure) -> Callable[[Bench], float]:
    """How many times as long it takes with a delay; both ways through the same proxy."""

    def measured(bench: Bench, delay: int) -> float:
        assert bench.server is not None
        with distant(bench.server, delay) as server:
            value = measure(replace(bench, server=server), Snapfs).value
        say(f"with {delay} ms more: {value:.2f} s")
        return value

    return lambda bench: measured(bench, DELAY) / measured(bench, 0)


def seconds(measure: Measure) -> Callable[[Bench], float]:
    """How long it takes."""
    return lambda bench: measure(bench, Snapfs).value


# --- memory: of the process that does the work, with the derivation of the key in it


def ingest_memory(name: str) -> Callable[[Bench], float]:
    """Of a first ingest, in MiB."""

    def measure(bench: Bench) -> float:
        with fresh(bench, Snapfs) as tool:
            return tool.backup(bench.data(name)).peak

    return measure


def check_memory(name: str) -> Callable[[Bench], float]:
    def measure(bench: Bench) -> float:
        tool = filled(bench, Snapfs, name)
        return tool.run(tool.check_command()).peak

    return measure


def mount_memory(name: str) -> Callable[[Bench], float]:
    """While all is looked at, and 5,000 files are copied."""

    def measure(bench: Bench) -> float:
        tool, source = filled(bench, Snapfs, name), bench.data(name)
        with tool.mounted(source) as tree, scratch() as target:
            find(tree)
            copy(some_folders(source, SOME), tree, target)
            return _high_water(tool)

    return measure


def _high_water(tool: Tool) -> float:
    assert tool.mount_process is not None
    status = Path(f"/proc/{tool.mount_process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


LIMITS = (
    *(
        Limit(f"{name}, with {DELAY} ms more to S3 ÷ without", slowed(measure), "×", _SLOWER)
        for name, measure in (
            ("first ingest of many", first_ingest("many", s3=True)),
            ("cp -r of 5,000 small files of many", copy_small(s3=True)),
            ("restore of many", restore("many", s3=True)),
        )
    ),
    *(
        Limit(f"peak memory of {what} {name}", measure(name), "MiB", _MEMORY, runs=1)
        for what, measure in (
            ("the first ingest of", ingest_memory),
            ("a mount, find and cp -r, of", mount_memory),
            ("check of", check_memory),
        )
        for name in ("many", "million")
    ),
    # The shortest of questions: what they take is the start.
    Limit("to say its version", seconds(start(version)), "s", 0.1),
    Limit("to list snapshots, directory", seconds(start(snapshots)), "s", 0.25),
    Limit("to list snapshots, S3", seconds(start(snapshots, s3=True)), "s", 0.6),
)
