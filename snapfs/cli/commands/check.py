"""snapfs check: is everything there, whole, and as the log says?"""

import sys
from dataclasses import replace

import click
import msgspec

from snapfs.cli import output, render
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.jobs.check import CheckOptions, CheckReport, check
from snapfs.jobs.check.report import Affected, Problem
from snapfs.jobs.check.subset import EVERYTHING, Subset, parse_subset
from snapfs.jobs.progress import Progress
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import SHORT

_DAMAGED = 1


class ProblemJson(msgspec.Struct):
    """A problem under --json."""

    kind: str
    object: str
    detail: str
    hint: str


class AffectedJson(msgspec.Struct, omit_defaults=True):
    """A path that cannot be given back, under --json."""

    host: str
    source: str
    path: str
    first: str
    last: str
    snapshots: int
    path_base64: str | None = None


class OrphansJson(msgspec.Struct):
    """Objects that no record names, under --json."""

    objects: int
    bytes: int


class CheckedJson(msgspec.Struct):
    """How much was looked at, under --json."""

    slots: int
    records: int
    snapshots: int
    parts: int
    packs: int
    nodes: int
    packs_read: int
    segments_read: int
    blocks_read: int
    bytes_read: int


class CheckJson(msgspec.Struct):
    """What a check found, under --json. Counts are of all; `affected` is cut, if not told else."""

    sound: bool
    problem_count: int
    problems: list[ProblemJson]
    affected_count: int
    affected: list[AffectedJson]
    checked: CheckedJson
    orphans: OrphansJson | None
    compared: bool
    seconds: float


@click.command("check")
@click.option("--read-data", is_flag=True, help="Read, decrypt and hash all data, too.")
@click.option(
    "--read-data-subset",
    metavar="PART",
    help="Read a part of it: 5% or 2G of it by chance, or the n-th of t parts, as in 1/7.",
)
@click.option("--all-paths", is_flag=True, help="Name all paths that are affected, not only 100.")
@global_options
@click.pass_obj
def command(given: Globals, read_data: bool, read_data_subset: str | None, all_paths: bool) -> int:
    """Check that everything is there, whole, and as the log says. Nothing is changed.

    The log is replayed into a fresh database, all objects are looked for and their sizes compared,
    and all references followed. Data is read only with --read-data or --read-data-subset. What is
    damaged is named as paths in snapshots. Ingests and mounts may go on meanwhile.

    The exit status is 1 where anything is damaged.
    """
    options = CheckOptions(read=chosen_subset(read_data, read_data_subset))
    if all_paths:
        options = replace(options, listed_paths=None)
    session = begin(given)
    report = run(lambda: _check(session, options, quiet=given.json))
    if given.json:
        output.say_json(check_json(report))
    else:
        _show(report)
    return 0 if report.sound else _DAMAGED


def chosen_subset(read_data: bool, text: str | None) -> Subset | None:
    """What --read-data and --read-data-subset say is to be read. Raises UsageError."""
    if read_data and text is not None:
        raise UsageError("--read-data reads all of what --read-data-subset chooses from")
    if text is not None:
        return parse_subset(text)
    return EVERYTHING if read_data else None


async def _check(session: Session, options: CheckOptions, *, quiet: bool) -> CheckReport:
    progress = Progress()
    async with session.repository() as repository, displayed(progress, quiet=quiet):
        return await check(repository, options, progress)


def _show(report: CheckReport) -> None:
    show_damage(report)
    for line in _summary(report):
        output.say(line)


def show_damage(report: CheckReport) -> None:
    """What is damaged, and which paths that costs, on standard error."""
    for problem in report.problems[: render.SHOWN_FINDINGS]:
        print(f"{problem.object}: {problem.detail}\n  {problem.hint}", file=sys.stderr)
    _rest(report.problem_count, render.SHOWN_FINDINGS, "problem")
    if report.affected:
        print("this cannot be given back as it was:", file=sys.stderr)
    for affected in report.affected:
        print(f"  {_affected(affected)}", file=sys.stderr)
    _rest(
        report.affected_count,
        len(report.affected),
        "path",
        " ('snapfs check --all-paths' names them)",
    )


def _rest(count: int, shown: int, noun: str, hint: str = "") -> None:
    if count > shown:
        print(f"and {render.plural(count - shown, noun)} more{hint}", file=sys.stderr)


def _affected(affected: Affected) -> str:
    first, last = affected.first.hex()[:SHORT], affected.last.hex()[:SHORT]
    span = f"snapshot {first}"
    if affected.snapshots > 1:
        span = f"{render.plural(affected.snapshots, 'snapshot')} from {first} to {last}"
    return f"{affected.host}/{affected.source}:{render.shown(affected.path)}, {span}"


def _summary(report: CheckReport) -> list[str]:
    checked = report.checked
    lines = [
        f"checked {render.plural(checked.snapshots, 'snapshot')}, "
        f"{render.plural(checked.records, 'record')}, {render.plural(checked.parts, 'part')}, "
        f"{render.plural(checked.packs, 'pack')} in {report.seconds:.1f} s"
    ]
    if checked.packs_read:
        lines.append(
            f"read {render.plural(checked.blocks_read, 'block')} in "
            f"{render.plural(checked.packs_read, 'pack')} ({format_size(checked.bytes_read)})"
        )
    if report.orphans is not None and report.orphans.objects:
        lines.append(
            f"{render.plural(report.orphans.objects, 'object')} "
            f"({format_size(report.orphans.bytes)}) belong to no snapshot, which is no damage: "
            "an ingest is running or was interrupted"
        )
    lines.append("nothing is damaged" if report.sound else _verdict(report))
    return lines


def _verdict(report: CheckReport) -> str:
    found = f"{render.plural(report.problem_count, 'problem')} found"
    if not report.affected_count:
        return f"{found}; no file is affected"
    return f"{found}; {render.plural(report.affected_count, 'path')} cannot be given back"


def check_json(report: CheckReport) -> CheckJson:
    """A report under --json."""
    orphans = report.orphans
    checked = {name: getattr(report.checked, name) for name in CheckedJson.__struct_fields__}
    return CheckJson(
        sound=report.sound,
        problem_count=report.problem_count,
        problems=[_problem_json(problem) for problem in report.problems],
        affected_count=report.affected_count,
        affected=[_affected_json(affected) for affected in report.affected],
        checked=CheckedJson(**checked),
        orphans=OrphansJson(orphans.objects, orphans.bytes) if orphans else None,
        compared=report.compared,
        seconds=round(report.seconds, 3),
    )


def _problem_json(problem: Problem) -> ProblemJson:
    return ProblemJson(problem.kind.value, problem.object, problem.detail, problem.hint)


def _affected_json(affected: Affected) -> AffectedJson:
    return AffectedJson(
        host=affected.host,
        source=affected.source,
        path=render.readable(affected.path),
        first=affected.first.hex(),
        last=affected.last.hex(),
        snapshots=affected.snapshots,
        path_base64=render.exact(affected.path),
    )
