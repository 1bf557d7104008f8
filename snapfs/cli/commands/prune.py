"""snapfs prune: giving back the space of what nothing needs any more."""

import socket
from math import ceil

import click
import msgspec

from snapfs.cli import output, render
from snapfs.cli.ending import WITH_FINDINGS
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions, PruneReport
from snapfs.model.pruning import PrunePolicy
from snapfs.model.sizes import format_size, parse_size

_GET_BYTES = 4 * 1024 * 1024
"about what one request for segments fetches"
_PUT_BYTES = 16 * 1024 * 1024
"about what one pack takes"
_KEPT_DAYS = 14


class RequestsJson(msgspec.Struct):
    """About how many requests a prune makes to the store, besides what a rehearsal makes too."""

    gets: int
    puts: int
    deletes: int

    def __str__(self) -> str:
        return f"gets {self.gets:,}, puts {self.puts:,}, deletes {self.deletes:,}"


class PruneJson(msgspec.Struct):
    """What a prune did, or would do, under --json. Sizes are bytes."""

    dry_run: bool
    packs_unneeded: int
    bytes_unneeded: int
    packs_repacked: int
    bytes_repacked: int
    bytes_copied: int
    packs_kept: int
    bytes_kept: int
    bytes_kept_unneeded: int
    orphans: int
    bytes_orphaned: int
    parts_replaced: int
    bytes_replaced: int
    compacts: bool
    base: int | None
    due: int
    bytes_due: int
    packs_damaged: list[str]
    condemned: int
    waiting: int
    rescued: int
    deleted: int
    bytes_deleted: int
    held: int
    held_until: str | None
    requests: RequestsJson
    seconds: float


@click.command("prune")
@click.option(
    "--max-unused",
    default="5%",
    show_default=True,
    metavar="PERCENT",
    help="Unneeded data that may stay, as a part of what is needed.",
)
@click.option("--max-repack", metavar="SIZE", help="Copy out of packs of at most this size in all.")
@click.option(
    "--keep-forgotten",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="For which forgotten snapshots can be brought back.  [default: 14]",
)
@click.option(
    "--now",
    is_flag=True,
    help="Don't wait a day between condemning and deleting, nor --keep-forgotten: "
    "forgotten snapshots cannot be brought back then.",
)
@click.option(
    "--compact/--no-compact",
    default=None,
    help="Restate what is recorded, so that other machines need not replay all of it. By default "
    "that is done when it pays.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Only tell what would be done.")
@global_options
@click.pass_obj
def command(
    given: Globals,
    max_unused: str,
    max_repack: str | None,
    keep_forgotten: int | None,
    now: bool,
    compact: bool | None,
    dry_run: bool,
) -> int:
    """Give back the space of what no snapshot needs. Everybody else may go on meanwhile.

    What is not needed is condemned first, and deleted by a prune a day later; what was forgotten
    less than 14 days ago, or --keep-forgotten, counts as needed, so that 'snapfs forget --undo' can
    bring it back.

    Damaged packs stay as they are; the exit status is 3 where there are any that are needed.
    """
    if now and keep_forgotten is not None:
        raise UsageError("--now keeps nothing that was forgotten: leave --keep-forgotten away")
    kept_days = _KEPT_DAYS if keep_forgotten is None else keep_forgotten
    options = PruneOptions(
        host=socket.gethostname(),
        policy=PrunePolicy(
            max_unused=_percent(max_unused),
            max_repack=None if max_repack is None else parse_size(max_repack),
        ),
        dry_run=dry_run,
        condemned_for_ns=0 if now else DAY_NS,
        forgotten_for_ns=0 if now else kept_days * DAY_NS,
        compact=compact,
    )
    session = begin(given)
    report = run(lambda: _prune(session, options, quiet=given.json))
    if given.json:
        output.say_json(_json(report, options))
    else:
        _show(report, options)
    return WITH_FINDINGS if report.damaged or report.plan.damaged else 0


async def _prune(session: Session, options: PruneOptions, *, quiet: bool) -> PruneReport:
    progress = Progress()
    async with session.repository() as repository, displayed(progress, quiet=quiet):
        return await prune(repository, options, progress)


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"not a percentage: {text!r}", hint="write it as 5%")
    return value


def _show(report: PruneReport, options: PruneOptions) -> None:
    plan = report.plan
    size = format_size
    output.say(f"unneeded: {render.plural(len(plan.drop), 'pack')}, {size(plan.dropped_bytes)}")
    output.say(
        f"to repack: {render.plural(len(plan.repack), 'pack')}, {size(plan.repacked_bytes)}, "
        f"of which {size(int(plan.copied_bytes))} are copied"
        if plan.repack
        else "to repack: nothing"
    )
    output.say(
        f"kept: {render.plural(plan.kept_packs, 'pack')}, {size(plan.kept_bytes)}, "
        f"{size(int(plan.kept_unused))} of it unneeded"
    )
    output.say(
        f"left over: {render.plural(report.orphans, 'object')}, {size(report.orphaned_bytes)}"
    )
    if report.replaced:
        output.say(
            f"replaced by compaction: {render.plural(report.replaced, 'object')}, "
            f"{size(report.replaced_bytes)}"
        )
    output.say(
        f"condemned before: {render.plural(report.due, 'object')}, {size(report.due_bytes)}, to be "
        f"deleted; {report.waiting:,} not yet"
    )
    if report.held:
        output.say(
            f"forgotten, and still needed for 'snapfs forget --undo': "
            f"{render.plural(report.held, 'snapshot')}, until "
            f"{render.local_time(report.held_until_ns)}"
        )
    _show_compacting(report, options)
    _show_damaged(report)
    if options.dry_run:
        output.say(f"requests: {_requests(report, options)}, about")
        freed = plan.freed_bytes + report.orphaned_bytes + report.replaced_bytes
        output.say(
            f"a prune would free about {size(report.due_bytes + int(freed))}"
            if options.condemned_for_ns == 0
            else f"a prune would free about {size(report.due_bytes)} now, and one a day later "
            f"{size(int(freed))} more"
        )
        return
    waiting = report.waiting + (report.condemned if options.condemned_for_ns else 0)
    output.say(
        f"{render.plural(report.deleted, 'object')} deleted, {size(report.deleted_bytes)}; "
        f"{waiting:,} condemned and deleted by a prune in a day or later; "
        f"{report.rescued:,} rescued; {report.seconds:.1f} s"
    )


def _requests(report: PruneReport, options: PruneOptions) -> RequestsJson:
    plan = report.plan
    condemned = len(plan.drop) + len(plan.repack) + report.orphans + report.replaced
    due = report.due + (condemned if options.condemned_for_ns == 0 else 0)
    puts = ceil(plan.copied_bytes / _PUT_BYTES) + (1 if plan.repack else 0)  # and their part
    puts += (1 if condemned else 0) + (2 if due else 0)  # records of what is done
    return RequestsJson(ceil(plan.repacked_bytes / _GET_BYTES), puts, due)


def _show_compacting(report: PruneReport, options: PruneOptions) -> None:
    growth = report.growth
    if report.base is not None:
        output.say(f"compacted: record {report.base} restates what is recorded")
    elif growth is not None and options.dry_run:
        would = "would be" if report.compacting else "would not be"
        output.say(
            f"it {would} compacted: {render.plural(growth.parts, 'part')} since the last time, "
            f"{format_size(growth.part_bytes)}; {growth.dead:,} of {growth.entries:,} versions of "
            "names are in no snapshot"
        )
    elif report.compacting:
        output.say("not compacted: others came in between; the next prune tries again")


def _show_damaged(report: PruneReport) -> None:
    for name, detail in report.damaged.items():
        output.say(f"damaged, and left alone: pack {name.hex()}: {detail}")
    if report.plan.damaged:
        packs = render.plural(report.plan.damaged, "pack")
        output.say(f"known to be damaged, and left alone: {packs}")
    if report.damaged:
        output.say("run 'snapfs check --read-data', then 'snapfs repair'")


def _json(report: PruneReport, options: PruneOptions) -> PruneJson:
    plan = report.plan
    return PruneJson(
        dry_run=options.dry_run,
        packs_unneeded=len(plan.drop),
        bytes_unneeded=plan.dropped_bytes,
        packs_repacked=len(plan.repack),
        bytes_repacked=plan.repacked_bytes,
        bytes_copied=int(plan.copied_bytes),
        packs_kept=plan.kept_packs,
        bytes_kept=plan.kept_bytes,
        bytes_kept_unneeded=int(plan.kept_unused),
        orphans=report.orphans,
        bytes_orphaned=report.orphaned_bytes,
        parts_replaced=report.replaced,
        bytes_replaced=report.replaced_bytes,
        compacts=report.compacting,
        base=report.base,
        due=report.due,
        bytes_due=report.due_bytes,
        packs_damaged=[name.hex() for name in report.damaged],
        condemned=report.condemned,
        waiting=report.waiting,
        rescued=report.rescued,
        deleted=report.deleted,
        bytes_deleted=report.deleted_bytes,
        held=report.held,
        held_until=render.exact_time(report.held_until_ns) if report.held else None,
        requests=_requests(report, options),
        seconds=round(report.seconds, 3),
    )
