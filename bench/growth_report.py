"""From the figures of growth to a picture and tables."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.counting import Requests

if TYPE_CHECKING:
    from bench.growth import Growth, Point, Step

_STEPS = {
    "first": "first ingest",
    "unchanged": "nothing changed",
    "day": "a day's changes",
    "replay": "a new machine",
    "check": "check",
    "restore": "restore",
}
_GIGABYTE = 1e9
_PUT_PRICE, _GET_PRICE, _MONTH_PRICE = 0.005 / 1000, 0.0004 / 1000, 0.023
"dollars, by the list of S3 Standard in us-east-1, 2025; listing costs as putting, deleting nothing"
_MINUTES = 24 * 60


def plot(growth: "Growth", path: Path) -> None:
    """Draw both series: time, memory, and what is stored."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "snapfs", "svg.fonttype": "none", "font.size": 9, "axes.grid": True}
    )
    mpl.rcParams.update({f"axes.spines.{side}": False for side in ("top", "right")})
    mpl.rcParams["grid.alpha"] = 0.3
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(2, 3, figsize=(12, 7), layout="constrained")
    series = (
        ("files", growth.by_files, [point.files for point in growth.by_files]),
        ("snapshots", growth.by_snapshots, [point.snapshots for point in growth.by_snapshots]),
    )
    for (what, points, along), (time, memory, stored) in zip(series, rows, strict=True):
        _lines(time, along, points, "processor")
        time.set(title=f"processor time by {what}", ylabel="seconds", yscale="log")
        _lines(memory, along, points, "peak")
        memory.set(title=f"peak memory by {what}", ylabel="MiB")
        memory.axhline(220, color="grey", linestyle=":", label="limit of ingest, mount, check")
        memory.set_ylim(bottom=0)
        stored.plot(along, [p.replica / 1e6 for p in points], "o-", label="database")
        stored.plot(along, [p.rest / 1e6 for p in points], "s-", label="log and parts")
        stored.plot(along, [p.packs / 1e6 for p in points], "^-", label="packs")
        stored.set(title=f"size by {what}", ylabel="MB", yscale="log")
        for axes in (time, memory, stored):
            axes.set(xscale="log", xlabel=what)
            axes.set_xticks(along, [f"{x:,}" for x in along], minor=False)
            axes.set_xticks([], minor=True)
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
            axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _lines(axes, along: list[int], points: "list[Point]", field: str) -> None:  # type: ignore[no-untyped-def]
    for name, title in _STEPS.items():
        found = [(x, p.steps[name]) for x, p in zip(along, points, strict=True) if name in p.steps]
        if len(found) > 1:
            axes.plot(
                [x for x, _ in found], [getattr(s, field) for _, s in found], "o-", label=title
            )


def tables(growth: "Growth") -> str:
    """The tables in Markdown."""
    return (
        "\n\n".join(
            (
                "Seconds of the clock / of the processor / peak MiB, by the number of files:",
                _times([(f"{p.files:,}", p) for p in growth.by_files]),
                f"The same by the number of snapshots, of {growth.by_snapshots[0].files:,} files:",
                _times([(f"{p.snapshots:,}", p) for p in growth.by_snapshots]),
                "What is stored:",
                _sizes([*growth.by_files, *growth.by_snapshots]),
                "Requests of the first ingest and of a restore, for each gigabyte of the source:",
                _per_gigabyte(growth.by_files),
                _day(growth.by_files),
            )
        )
        + "\n"
    )


def _times(points: "list[tuple[str, Point]]") -> str:
    names = [name for name in _STEPS if any(name in point.steps for _, point in points)]
    rows = [[label, *(_taken(point.steps.get(name)) for name in names)] for label, point in points]
    return _table(["", *(_STEPS[name] for name in names)], rows)


def _taken(step: "Step | None") -> str:
    return f"{step.seconds:.1f} / {step.processor:.1f} / {step.peak:.0f}" if step else "–"


def _sizes(points: "list[Point]") -> str:
    return _table(
        ["files", "snapshots", "source MB", "packs MB", "log and parts MB", "database MB",
         "database, bytes a file"],
        [
            [f"{p.files:,}", f"{p.snapshots:,}", f"{p.source / 1e6:,.0f}", f"{p.packs / 1e6:,.0f}",
             f"{p.rest / 1e6:.1f}", f"{p.replica / 1e6:.1f}", f"{p.replica / p.files:,.0f}"]
            for p in points
        ],
    )  # fmt: skip


def _per_gigabyte(points: "list[Point]") -> str:
    rows = []
    for point in points:
        source, row = point.source / _GIGABYTE, [f"{point.files:,}"]
        for name in ("first", "restore"):
            taken = point.steps[name].requests
            row += [f"{taken.put / source:.0f}", f"{(taken.get + taken.list) / source:.0f}"]
        rows.append(row)
    return _table(
        ["files", "ingest: puts", "ingest: gets and lists", "restore: puts", "restore: gets"], rows
    )


def _day(points: "list[Point]") -> str:
    """What a server's day costs."""
    point = min(points, key=lambda point: abs(point.files - 100_000))
    taken = {name: step.requests for name, step in point.steps.items()}
    gigabyte = _GIGABYTE / point.source
    parts = (
        ("an ingest of the day's changes", taken["day"]),
        ("23 ingests with next to none", taken["unchanged"].times(23)),
        ("a mount that looks every minute", taken["look"].times(_MINUTES)),
        ("1 GB read again", taken["restore"].times(gigabyte)),
        ("a check", taken["check"]),
        ("a seventh of a prune", taken["prune"].times(1 / 7)),
    )
    total = sum((requests for _, requests in parts), Requests())
    rows = [
        [what, *(f"{n:,}" for n in (r.put, r.get, r.list)), f"{_cost(r):.5f}"]
        for what, r in (*parts, ("all of it", total))
    ]
    month = 30 * _cost(total)
    stored = (point.packs + point.rest) / _GIGABYTE
    return (
        f"A server's day: {point.files:,} files, {point.source / _GIGABYTE:.1f} GB, ingested each "
        "hour, and mounted all day.\n\n"
        + _table(["", "puts", "gets", "lists", "dollars"], rows)
        + f"\n\nThat is {month:.2f} dollars a month; the {stored:.1f} GB that are stored cost "
        f"{stored * _MONTH_PRICE:.2f}. Assumed are the prices that S3 Standard had in us-east-1 in "
        "2025: 0.005 dollars for 1,000 puts or lists, 0.0004 for 1,000 gets, 0.023 for a gigabyte "
        "and month; what leaves Amazon's network is paid for apart."
    )


def _cost(requests: Requests) -> float:
    return (requests.put + requests.list) * _PUT_PRICE + requests.get * _GET_PRICE


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---", *("--:" for _ in heading[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
