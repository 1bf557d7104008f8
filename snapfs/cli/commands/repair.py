"""snapfs repair: putting right what a check finds."""

import socket
import sys

import click
import msgspec

from snapfs.cli import ending, output, render
from snapfs.cli.commands.check import CheckJson, check_json, chosen_subset, show_damage
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.session import Session, begin
from snapfs.jobs.check.report import CheckReport, ProblemKind
from snapfs.jobs.progress import Progress
from snapfs.jobs.repair import RepairOptions, RepairReport, put_back_keys, repair
from snapfs.model.sizes import format_size

_ADVICE = {
    ProblemKind.LOG: "this machine has no copy of a lost record of the log: run 'snapfs repair' on "
    "one that has used this repository since the record was written, or bring the object back from "
    "a copy of the storage. Until then nothing can be written, and what is behind it cannot be "
    "read by a machine that has not seen it. If nobody has it any more, 'snapfs repair --give-up' "
    "goes on without it",
    ProblemKind.PART: "this machine has no copy of a lost part that holds names, or says that "
    "blocks moved: run 'snapfs repair' on the host whose files they are, or bring the object back "
    "from a copy of the storage. Other sources, and this one under another --name, are not "
    "concerned by lost names; what is stored already is not stored again. If nobody has it any "
    "more, 'snapfs repair --give-up' goes on without it",
    ProblemKind.BASE: "what a lost base restates is not there any more, or not all else is sound: "
    "run 'snapfs repair' on the machine that wrote it, which has copies of it, or bring the "
    "objects back from a copy of the storage",
}
"what to do about that which a repair cannot put right"
_SHOWN = 5
"objects that are named when they are put back"


class GaveUpJson(msgspec.Struct):
    """What the repository goes on without: a record of the log, or snapshots of a source."""

    record: int
    host: str | None
    source: str | None
    snapshots: int


class RepairJson(msgspec.Struct):
    """What a repair did, or would do, under --json. Sizes are bytes."""

    dry_run: bool
    sound: bool
    set_aside: list[str]
    put_back: list[str]
    given_up: list[GaveUpJson]
    parts: int
    base: int | None
    packs: int
    blocks_saved: int
    bytes_saved: int
    blocks_without_copy: int
    found: CheckJson | None
    left: CheckJson | None
    seconds: float


@click.command("repair")
@click.option("--read-data", is_flag=True, help="Read all data to find what is damaged.")
@click.option(
    "--read-data-subset",
    metavar="PART",
    help="Read a part of it: 5% or 2G of it by chance, or the n-th of t parts, as in 1/7.",
)
@click.option(
    "--give-up", is_flag=True, help="Go on without records and names that nobody has any more."
)
@click.option("--dry-run", "-n", is_flag=True, help="Only tell what is damaged.")
@global_options
@click.pass_obj
def command(
    given: Globals, read_data: bool, read_data_subset: str | None, give_up: bool, dry_run: bool
) -> int:
    """Put right what a check finds. Nothing is deleted.

    A local database that is not what the log says is moved aside and built again. Every machine
    keeps copies of what it has seen of the log, its parts, and the objects that hold the keys: what
    the storage has lost of them is put back. Lists of blocks can also be made again from the packs.
    Out of damaged packs everything is saved that they, or copies elsewhere, still hold; files of
    which blocks are lost are read again by the next ingest, which heals them, and all older
    snapshots that have the same content.

    Where this machine has no copy of a lost record of the log, or of names, run it on the others
    that use the repository first. If nobody has one, --give-up goes on without: the repository can
    be written to again, and snapshots that cannot be read without it are given up. Contents stay,
    so that the next ingest stores nothing again. What was given up does not come back.

    Without --read-data only what is missing is found, and what was found before.

    The exit status is 3 where something is left that could not be repaired.
    """
    options = RepairOptions(
        host=socket.gethostname(),
        read=chosen_subset(read_data, read_data_subset),
        dry_run=dry_run,
        give_up=give_up,
    )
    session = begin(given)
    report = run(lambda: _repair(session, options, quiet=given.json))
    if given.json:
        output.say_json(_json(report, options))
    else:
        _show(report, options)
    return 0 if report.sound else ending.WITH_FINDINGS


async def _repair(session: Session, options: RepairOptions, *, quiet: bool) -> RepairReport:
    session.check_directory()
    async with session.store() as store:
        put_back = await put_back_keys(store, session.directories, dry_run=options.dry_run)
    if put_back and options.dry_run:
        return RepairReport(put_back=put_back)
    progress = Progress()
    async with session.unlocked() as (store, keys), displayed(progress, quiet=quiet):
        report = await repair(store, session.directories, keys, options, progress)
    report.put_back = put_back + report.put_back
    return report


def _show(report: RepairReport, options: RepairOptions) -> None:
    if report.left is not None and not report.left.sound:
        show_damage(report.left)
        _advise(report.left, given_up=bool(report.given_up))
    for line in _done(report, dry_run=options.dry_run):
        output.say(line)
    reads = options.read is not None
    output.say(_verdict(report, dry_run=options.dry_run, reads=reads))


def _advise(left: CheckReport, *, given_up: bool) -> None:
    kinds = {problem.kind for problem in left.problems}
    for kind, advice in _ADVICE.items():
        if kind in kinds:
            print(advice, file=sys.stderr)
    if given_up and left.affected:
        print(
            "snapshots that a lost record had forgotten come back, without what a prune has "
            "deleted of them since: if these had been, 'snapfs forget' them again",
            file=sys.stderr,
        )
    if kinds & _ADVICE.keys() and left.hosts:
        names = ", ".join(left.hosts[:_SHOWN]) + ("" if len(left.hosts) <= _SHOWN else ", …")
        print(f"hosts that have written to it, the last first: {names}", file=sys.stderr)


def _done(report: RepairReport, *, dry_run: bool) -> list[str]:
    lines = [
        f"{name}: would be moved aside and built again"
        if dry_run
        else f"the local database was built again; the damaged one is {name}"
        for name in report.set_aside
    ]
    would = "would be " if dry_run else ""
    if report.put_back:
        names = ", ".join(report.put_back[:_SHOWN])
        more = "" if len(report.put_back) <= _SHOWN else ", …"
        count = render.plural(len(report.put_back), "object")
        lines.append(f"{would}put back from this machine's copies: {count} ({names}{more})")
    lines += _given_up(report)
    if report.parts:
        lines.append(f"{would}made again from packs: {render.plural(report.parts, 'part')}")
    if report.base is not None:
        lines.append(f"another base was written, record {report.base}, for one that lost parts")
    if report.packs and dry_run:
        lines.append(f"would be saved from: {render.plural(report.packs, 'damaged pack')}")
    elif report.packs:
        lines.append(
            f"{render.plural(report.packs, 'damaged pack')}: "
            f"{render.plural(report.saved, 'block')} saved ({format_size(report.saved_bytes)}), "
            f"{report.doubted:,} without a sound copy"
        )
    if report.doubted:
        lines.append("run 'snapfs ingest' now: it stores anew what is still at its source")
    return lines


def _given_up(report: RepairReport) -> list[str]:
    numbers = [str(each.record) for each in report.given_up if not each.snapshots]
    lines = []
    if numbers:
        shown = ", ".join(numbers[:_SHOWN]) + ("" if len(numbers) <= _SHOWN else ", …")
        count = render.plural(len(numbers), "record")
        lines.append(f"given up: {count} of the log ({shown})")
    lines += [
        f"given up: {render.plural(each.snapshots, 'snapshot')} of {each.host}/{each.source}"
        for each in report.given_up
        if each.snapshots
    ]
    if lines:
        lines.append(
            "run 'snapfs repair' on machines that say that they have what was given up, and "
            "'snapfs ingest' before the next prune: what is stored is not stored again"
        )
    return lines


def _verdict(report: RepairReport, *, dry_run: bool, reads: bool) -> str:
    if report.left is None:
        return "the rest is known once that is done"
    if report.left.sound:
        done = report.put_back or report.given_up or report.parts or report.base or report.packs
        if done and not dry_run:
            return "nothing is damaged any more"
        unseen = "" if reads else ", as far as is seen without --read-data"
        return f"nothing is damaged{unseen}"
    found = f"{render.plural(report.left.problem_count, 'problem')}"
    return f"{found} found" if dry_run else f"{found} left, in {report.seconds:.1f} s"


def _json(report: RepairReport, options: RepairOptions) -> RepairJson:
    return RepairJson(
        dry_run=options.dry_run,
        sound=report.sound,
        set_aside=list(report.set_aside),
        put_back=list(report.put_back),
        given_up=[
            GaveUpJson(each.record, each.host or None, each.source or None, each.snapshots)
            for each in report.given_up
        ],
        parts=report.parts,
        base=report.base,
        packs=report.packs,
        blocks_saved=report.saved,
        bytes_saved=report.saved_bytes,
        blocks_without_copy=report.doubted,
        found=check_json(report.found) if report.found else None,
        left=check_json(report.left) if report.left else None,
        seconds=round(report.seconds, 3),
    )
