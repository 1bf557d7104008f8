"""From measurements to a table: medians, spreads, and the ratio to the better peer."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.limits import Limit
from bench.works import Figure, Work

OURS = "snapfs"


def line(work: Work, figures: Mapping[str, Sequence[Figure]], peers: Sequence[str]) -> str:
    """One row of the table in Markdown; `peers` are the columns beside ours."""
    cells = [_cell(figures.get(name, ()), work.unit) for name in (OURS, *peers)]
    ratio = better_peer_ratio(figures)
    shown = f"**{ratio:.2f}×**" if ratio else "–"
    wanted = " / ".join(f"{target}×" if target else "–" for target in work.targets)
    met = ""
    if ratio and work.targets[0]:
        met = "yes" if ratio >= float(work.targets[0]) else "no"
    cells += [shown, wanted, met, _peak(figures, peers)]
    return f"| {work.name} | {' | '.join(cells)} |"


def heading(peers: Sequence[str]) -> list[str]:
    """The two lines above the rows."""
    names = ["work", OURS, *peers, "better peer ÷ snapfs", "at least / aim", "met", "peak MiB"]
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]


LIMITS_HEADING = "| snapfs alone | measured | at most | met |\n|---|---|---|---|"


def limit_line(limit: Limit, values: Sequence[float]) -> str:
    """One row of the table of limits in Markdown."""
    most = f"{limit.at_most:g} {limit.unit}"
    if not values:
        return f"| {limit.name} | – | {most} | no |"
    shown = _cell([Figure(value) for value in values], limit.unit)
    met = "yes" if median(values) <= limit.at_most else "no"
    return f"| {limit.name} | {shown} | {most} | {met} |"


def better_peer_ratio(figures: Mapping[str, Sequence[Figure]]) -> float | None:
    """The better peer's median as a multiple of ours: above 1 we are ahead."""
    peers = [_median(all_of) for name, all_of in figures.items() if name != OURS]
    if not peers or not figures.get(OURS):
        return None
    return min(peers) / _median(figures[OURS])


def _median(figures: Sequence[Figure]) -> float:
    return median(figure.value for figure in figures)


def _cell(figures: Sequence[Figure], unit: str) -> str:
    if not figures:
        return "–"
    values = sorted(figure.value for figure in figures)
    middle = f"{_median(figures):.2f} {unit}"
    return middle if len(values) == 1 else f"{middle} ({values[0]:.2f}–{values[-1]:.2f})"


def _peak(figures: Mapping[str, Sequence[Figure]], peers: Sequence[str]) -> str:
    peaks = [
        f"{max(figure.peak for figure in figures[name] if figure.peak):.0f}"
        for name in (OURS, *peers)
        if figures.get(name) and figures[name][0].peak
    ]
    return " / ".join(peaks)
