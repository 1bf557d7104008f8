"""`python -m bench.growth`: what grows with the number of files and of snapshots, and how.

Trees of more and more files are captured, each in a repository of its own; and one tree is captured
again and again while it changes a little every day. Each step is a process of its own, with the
derivation of the key in it. Written are docs/growth.svg, a table, and the figures as JSON, which
`--again` takes in place of new measurements. With a million files it takes an hour, and 40 GB.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from bench import growth_report, step
from bench.changing import ChangingTree
from bench.counting import Requests
from bench.datasets import SETTLED
from bench.measure import run, say, tree_size
from snapfs.formats import objects
from snapfs.repository.state import REPLICA


class Step(msgspec.Struct):
    """What one step took."""

    seconds: float
    processor: float
    "seconds"
    peak: float
    "MiB"
    requests: Requests


class Point(msgspec.Struct):
    """All that was measured at one size."""

    files: int
    snapshots: int
    source: int
    "bytes of the tree"
    packs: int
    "bytes"
    rest: int
    "bytes of log and parts"
    replica: int
    "bytes of the database"
    steps: dict[str, Step]


class Growth(msgspec.Struct):
    """The two series."""

    by_files: list[Point]
    by_snapshots: list[Point]


def main() -> None:
    given = _arguments()
    if given.again:
        growth = msgspec.json.decode(given.again.read_bytes(), type=Growth)
    else:
        folder = Path(given.folder or tempfile.mkdtemp(prefix="snapfs-growth-")).absolute()
        growth = Growth(
            [_by_files(folder / f"files-{count}", count) for count in sorted(given.files)],
            _by_snapshots(folder / "snapshots", given.base, sorted(given.snapshots)),
        )
        (folder / "growth.json").write_bytes(msgspec.json.format(msgspec.json.encode(growth)))
        say(f"figures: {folder / 'growth.json'}")
    given.docs.mkdir(exist_ok=True)
    growth_report.plot(growth, given.docs / "growth.svg")
    (given.docs / "benchmarks-growth.md").write_text(growth_report.tables(growth))


def _by_files(folder: Path, count: int) -> Point:
    tree = _begin(folder, count)
    steps = {"first": _step(folder, "ingest"), "unchanged": _step(folder, "ingest")}
    tree.live()
    steps["day"] = _step(folder, "ingest")
    for name in ("look", "replay", "check", "prune", "restore"):
        steps[name] = _step(folder, name)
    return _end(folder, tree, 3, steps)


def _by_snapshots(folder: Path, count: int, marks: list[int]) -> list[Point]:
    tree, points = _begin(folder, count), list[Point]()
    taken = 0
    for mark in marks:
        if mark > taken + 1:
            trio.run(step.live, folder, tree, mark - taken - 1)
        if taken:
            tree.live()
        steps = {"day" if mark > 1 else "first": _step(folder, "ingest")}
        taken = mark
        for name in ("look", "replay", "check"):
            steps[name] = _step(folder, name)
        points.append(_point(folder, tree, mark, steps))
    shutil.rmtree(folder)
    return points


def _begin(folder: Path, count: int) -> ChangingTree:
    """A tree of so many files, old enough to be trusted, and an empty repository."""
    say(f"making {count:,} files")
    shutil.rmtree(folder, ignore_errors=True)
    tree = ChangingTree(folder / step.TREE, random.Random(count))
    tree.root.mkdir(parents=True)
    tree.populate(count)
    _step(folder, "init")
    time.sleep(SETTLED)
    return tree


def _end(folder: Path, tree: ChangingTree, snapshots: int, steps: dict[str, Step]) -> Point:
    point = _point(folder, tree, snapshots, steps)
    shutil.rmtree(folder)
    return point


def _point(folder: Path, tree: ChangingTree, snapshots: int, steps: dict[str, Step]) -> Point:
    store = folder / step.STORE
    return Point(
        files=len(tree.files),
        snapshots=snapshots,
        source=sum(state.size for state in tree.files.values()),
        packs=tree_size(store / objects.PACKS),
        rest=tree_size(store / objects.LOG) + tree_size(store / objects.PARTS),
        replica=sum(path.stat().st_size for path in (folder / step.STATE).rglob(REPLICA)),
        steps=steps,
    )


def _step(folder: Path, name: str) -> Step:
    taken = run([sys.executable, "-m", "bench.step", str(folder), name], {})
    requests = msgspec.json.decode((folder / step.REQUESTS).read_bytes(), type=Requests | None)
    say(f"{folder.name}: {name} {taken.wall:.2f} s, {taken.peak:.0f} MiB, {requests}")
    return Step(taken.wall, taken.cpu, taken.peak, requests or Requests())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--snapshots", type=int, nargs="+", default=[1, 10, 100, 300])
    parser.add_argument("--base", type=int, default=10**4, help="files of which snapshots are made")
    parser.add_argument("--folder", type=Path, help="for everything; a temporary one by default")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the results go")
    parser.add_argument("--again", type=Path, metavar="JSON", help="report on these figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
