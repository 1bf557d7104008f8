"""The works: what is done by each tool in turn, and what of it is measured."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median

from bench import datasets
from bench.datasets import Scale
from bench.measure import Taken, forget
from bench.tools import PEERS, Place, Restic, Snapfs, Tool
from tests.servers import S3Server

MEMORY = Path("/dev/shm/snapfs-bench")
_prefixes = count(1)
"of repositories in a bucket"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all works have in common."""

    folder: Path
    scale: Scale
    server: S3Server | None

    def data(self, name: str) -> Path:
        return datasets.make(name, self.folder / "data", self.scale)

    def place(self, folder: Path, *, s3: bool) -> Place:
        """Where a new repository can be: in the folder, or where nothing is yet in the bucket."""
        if not s3:
            return Place(folder)
        assert self.server is not None
        bucket = f"{self.server.bucket}/bench-{next(_prefixes)}"
        return Place(folder, bucket, self.server.environment)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. What it is in is said by the work."""

    value: float
    peak: float | None = None
    "MiB"


Measure = Callable[[Bench, type[Tool]], Figure]


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table."""

    name: str
    measure: Measure
    unit: str = "s"
    tools: tuple[type[Tool], ...] = (Snapfs, *PEERS)
    targets: tuple[str, str] = ("", "")
    "at least, aim; as a ratio to the better peer"
    runs: int | None = None
    "runs of each tool, where one is enough or few can be afforded"

    @property
    def data(self) -> list[str]:
        """The data sets that its name speaks of."""
        named = [name for name in datasets.NAMES if name in self.name]
        return named or ["big" if "big" in self.name or "random" in self.name else "many"]


# --- repositories


@contextmanager
def fresh(bench: Bench, kind: type[Tool], *, s3: bool = False) -> Iterator[Tool]:
    """A new, empty repository of this tool, gone with the block."""
    folder = bench.folder / "work" / kind.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tool = kind(bench.place(folder, s3=s3))
    tool.init()
    try:
        yield tool
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_kept: dict[tuple[str, str, bool], Tool] = {}


def filled(bench: Bench, kind: type[Tool], name: str, *, s3: bool = False) -> Tool:
    """A repository that holds one data set; made once and used by all works that only read."""
    key = (kind.name, name, s3)
    if key not in _kept:
        folder = bench.folder / "kept" / f"{kind.name}-{name}{'-s3' if s3 else ''}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        tool = kind(bench.place(folder, s3=s3))
        tool.init()
        tool.backup(bench.data(name))
        _kept[key] = tool
    tool = _kept[key]
    if not s3:
        return tool
    # The server may be reached by another way than before.
    assert bench.server is not None
    return kind(replace(tool.place, environment=bench.server.environment))


_PAST = 30
"snapshots of a repository that is to have a past"
_with_past: set[str] = set()


def with_past(bench: Bench, kind: type[Tool]) -> Tool:
    """The repository of the million files, with thirty snapshots of which each changed one in a
    hundred."""
    tool, source = filled(bench, kind, "million"), bench.data("million")
    if kind.name not in _with_past:
        for day in range(1, _PAST):
            datasets.change_million(source, bench.scale, day)
            tool.backup(source)
        _with_past.add(kind.name)
    return tool


# --- ways in


def first_ingest(name: str, *, s3: bool = False) -> Measure:
    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        source = bench.data(name)
        with fresh(bench, kind, s3=s3) as tool:
            forget(source)
            return _time(tool.backup(source))

    return measure


def unchanged(name: str) -> Measure:
    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        return _time(filled(bench, kind, name).backup(bench.data(name)))

    return measure


def repository_size(name: str) -> Measure:
    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        return Figure(filled(bench, kind, name).size() / 1e6)

    return measure


def added_by_change(name: str, change: Callable[[Path, Scale], None]) -> Measure:
    """Bytes that a second ingest adds, in MB."""

    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        source = bench.folder / "work" / f"changing-{name}"
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(bench.data(name), source)
        with fresh(bench, kind) as tool:
            tool.backup(source)
            before = tool.size()
            change(source, bench.scale)
            tool.backup(source)
            return Figure((tool.size() - before) / 1e6)

    return measure


# --- ways out


def find_mounted(bench: Bench, kind: type[Tool]) -> Figure:
    """find, with a question that each file must be looked at for."""
    tool, source = filled(bench, kind, "many"), bench.data("many")
    with tool.mounted(source) as tree:
        began = time.monotonic()
        count = find(tree)
        taken = time.monotonic() - began
    assert count >= bench.scale.count(100_000), count
    return Figure(taken)


def copy_small(*, s3: bool = False) -> Measure:
    """cp -r of 5,000 small files, nothing cached."""

    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        tool, source = filled(bench, kind, "many", s3=s3), bench.data("many")
        tool.drop_cache()
        forget(tool.place.folder)
        with tool.mounted(source) as tree, scratch() as target:
            folders = some_folders(source, SOME)
            began = time.monotonic()
            copy(folders, tree, target)
            return Figure(time.monotonic() - began)

    return measure


def read_big(*, s3: bool = False) -> Measure:
    """One large file from its beginning to its end, nothing cached."""

    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        tool, source = filled(bench, kind, "big", s3=s3), bench.data("big")
        tool.drop_cache()
        forget(tool.place.folder)
        with tool.mounted(source) as tree:
            began = time.monotonic()
            with open(tree / "file-0", "rb", buffering=0) as file:
                while file.read(1024 * 1024):
                    pass
            return Figure(time.monotonic() - began)

    return measure


def read_at_random(bench: Bench, kind: type[Tool]) -> Figure:
    """200 reads of 64 KiB at random places, nothing cached."""
    tool, source = filled(bench, kind, "big"), bench.data("big")
    tool.drop_cache()
    forget(tool.place.folder)
    chance = random.Random(4)
    with tool.mounted(source) as tree:
        began = time.monotonic()
        with open(tree / "file-1", "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            for _ in range(200):
                file.seek(chance.randrange(max(1, size - 65536)))
                assert file.read(65536)
        return Figure(time.monotonic() - began)


def restore(name: str, *, s3: bool = False) -> Measure:
    """To a memory file system, nothing cached."""

    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        tool, source = filled(bench, kind, name, s3=s3), bench.data(name)
        tool.drop_cache()
        forget(tool.place.folder)
        with scratch() as target:
            return _time(tool.restore(source, target / "restored"))

    return measure


def mount_to_first_ls(bench: Bench, kind: type[Tool]) -> Figure:
    """From the start of mount until the source's directory can be listed."""
    tool, source = with_past(bench, kind), bench.data("million")
    forget(tool.place.folder)
    began = time.monotonic()
    with tool.mounted(source) as tree:
        assert next(tree.iterdir())
        return Figure(time.monotonic() - began)


def check(name: str) -> Measure:
    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        tool = filled(bench, kind, name)
        return _time(tool.run(tool.check_command()))

    return measure


def version(tool: Tool) -> list[str]:
    return tool.version_command()


def snapshots(tool: Tool) -> list[str]:
    return tool.list_command()


def start(command: Callable[[Tool], list[str]], *, s3: bool = False) -> Measure:
    """A short question: what it takes is the start of the program. The median of five."""

    def measure(bench: Bench, kind: type[Tool]) -> Figure:
        tool = filled(bench, kind, "many", s3=s3)
        return Figure(median(tool.run(command(tool)).wall for _ in range(5)))

    return measure


def _time(taken: Taken) -> Figure:
    return Figure(taken.wall, taken.peak)


def find(tree: Path) -> int:
    """How many files there are below a directory that are not empty."""
    command = ("find", str(tree), "-type", "f", "-size", "+0", "-printf", "x")
    return len(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


SOME = 5000
"files that are copied out of a mount"


def some_folders(tree: Path, count: int) -> list[str]:
    """Directories below this one, the first in order of name, with so many files or few less."""
    chosen: list[str] = []
    todo = [tree]
    while todo:
        folder = todo.pop()
        files = sum(len(files) for _, _, files in os.walk(folder))
        if files <= count:
            chosen.append(str(folder.relative_to(tree)))
            count -= files
        elif count > 0:
            below = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
            todo.extend(sorted(below, reverse=True))
    return chosen


def copy(folders: list[str], tree: Path, target: Path) -> None:
    """Copy these directories below a tree."""
    command = ("cp", "-r", "--parents", "--target-directory", str(target), *folders)
    subprocess.run(command, cwd=tree, check=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory in memory, gone with the block."""
    shutil.rmtree(MEMORY, ignore_errors=True)
    MEMORY.mkdir()
    try:
        yield MEMORY
    finally:
        shutil.rmtree(MEMORY, ignore_errors=True)


S3_PEERS = (Snapfs, Restic)

WORKS = (
    Work("first ingest of many, directory", first_ingest("many"), targets=("2.0", "3")),
    Work("first ingest of many, S3", first_ingest("many", s3=True), tools=S3_PEERS,
         targets=("1.8", "3")),
    Work("first ingest of big", first_ingest("big"), targets=("1.5", "2.5")),
    Work("first ingest of image", first_ingest("image"), targets=("1.5", "2.5")),
    Work("nothing changed, many", unchanged("many"), targets=("3", "5")),
    Work("nothing changed, million", unchanged("million"), targets=("3", "5"), runs=2),
    Work("second ingest of dump: MB added", added_by_change("dump", datasets.change_dump),
         unit="MB", targets=("1.0", "2"), runs=1),
    Work("second ingest of image: MB added", added_by_change("image", datasets.change_image),
         unit="MB", runs=1),
    Work("size of the repository of many", repository_size("many"), unit="MB",
         targets=("1.09", "1.18"), runs=1),
    Work("find over the mount, many", find_mounted, targets=("3", "6")),
    Work("cp -r of 5,000 small files, directory", copy_small(), targets=("2", "5")),
    Work("cp -r of 5,000 small files, S3", copy_small(s3=True), tools=S3_PEERS,
         targets=("4", "5"), runs=2),
    Work("one big file through the mount, directory", read_big(), targets=("3", "5")),
    Work("one big file through the mount, S3", read_big(s3=True), tools=S3_PEERS,
         targets=("2", "5"), runs=2),
    Work("64 KiB reads at random places", read_at_random, targets=("2", "5")),
    Work("restore of many", restore("many"), targets=("1.3", "2")),
    Work("restore of big", restore("big"), targets=("1.3", "2")),
    Work("mount to the first ls, million × 30 snapshots", mount_to_first_ls, targets=("10", "")),
    Work("check of many", check("many")),
    Work("to say its version", start(version)),
    Work("to list snapshots, directory", start(snapshots)),
    Work("to list snapshots, S3", start(snapshots, s3=True), tools=S3_PEERS),
)  # fmt: skip
