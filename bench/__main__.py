"""`python -m bench`: each work by each tool in turn, several times, and a table of what it took."""

import argparse
import os
import platform
import shutil
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from bench import datasets, report
from bench.datasets import Scale
from bench.limits import LIMITS, Limit
from bench.measure import FailedError, say
from bench.tools import PEERS, Snapfs, Tool
from bench.works import WORKS, Bench, Figure, Work
from tests.servers import seaweedfs


def main() -> None:
    given = _arguments()
    with ExitStack() as stack:
        folder = given.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="snapfs-bench-"))
        )
        chosen = [work for work in WORKS if given.only.lower() in work.name.lower()]
        limits = [limit for limit in LIMITS if given.only.lower() in limit.name.lower()]
        server = None
        if any("S3" in work.name for work in (*chosen, *limits)):
            s3_folder = folder / "s3"
            shutil.rmtree(s3_folder, ignore_errors=True)
            s3_folder.mkdir(parents=True)
            server = stack.enter_context(seaweedfs(s3_folder))
        bench = Bench(folder, Scale(given.scale), server)
        for name in sorted({data for work in (*chosen, *limits) for data in work.data}):
            say(f"making {name}")
            bench.data(name)
        datasets.settle(folder / "data")
        lines = [_line(bench, work, given.runs) for work in chosen]
        kept = [_kept(bench, limit, given.runs) for limit in limits]
        peers = [kind.name for kind in _peers()]
        text = "\n".join(
            (*_heading(given), *report.heading(peers), *lines, "", report.LIMITS_HEADING, *kept)
        )
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


def _peers() -> list[type[Tool]]:
    return [kind for kind in PEERS if kind.is_there()]


def _line(bench: Bench, work: Work, runs: int) -> str:
    figures: dict[str, list[Figure]] = defaultdict(list)
    for turn in range(min(runs, work.runs or runs)):
        for kind in work.tools:
            if not kind.is_there():
                continue
            figure = _measure(bench, work, kind)
            if figure is not None:
                figures[kind.name].append(figure)
                say(f"{work.name} · {kind.name} · {turn + 1}: {figure.value:.2f} {work.unit}")
    return report.line(work, figures, [kind.name for kind in _peers()])


def _kept(bench: Bench, limit: Limit, runs: int) -> str:
    values = []
    for turn in range(min(runs, limit.runs or runs)):
        try:
            values.append(limit.measure(bench))
        except (FailedError, RuntimeError, OSError) as error:
            say(f"{limit.name}: {error}")
        else:
            say(f"{limit.name} · {turn + 1}: {values[-1]:.2f} {limit.unit}")
    return report.limit_line(limit, values)


def _measure(bench: Bench, work: Work, kind: type[Tool]) -> Figure | None:
    try:
        return work.measure(bench, kind)
    except (FailedError, RuntimeError, OSError) as error:
        say(f"{work.name} · {kind.name}: {error}")
        return None


def _heading(given: argparse.Namespace) -> list[str]:
    versions = ", ".join(kind.version() for kind in (Snapfs, *_peers()))
    cores = len(os.sched_getaffinity(0))
    return [
        f"{versions}; {platform.system()} {platform.release().split('-')[0]}, {cores} cores; "
        f"scale {given.scale:g}, up to {given.runs} runs.",
        "",
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each work by each tool")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the data's full size")
    parser.add_argument("--only", default="", help="works whose names have this in them")
    parser.add_argument("--folder", type=Path, help="keep data and repositories here")
    parser.add_argument("--output", type=Path, help="write the table here too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
