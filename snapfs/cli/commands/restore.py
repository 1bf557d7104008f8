"""snapfs restore: writing files of a snapshot back."""

import os

import click
import msgspec

from snapfs.cli import ending, output, render
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.selecting import Selection, find_snapshot, parse_selection
from snapfs.cli.session import Session, begin, run
from snapfs.jobs.progress import Progress
from snapfs.jobs.restore.job import restore
from snapfs.jobs.restore.options import Overwrite, RestoreOptions
from snapfs.jobs.restore.report import RestoreReport
from snapfs.model.sizes import format_size


class RestoreJson(msgspec.Struct):
    """What a restore did, under --json."""

    target: str
    dry_run: bool
    files: int
    directories: int
    symlinks: int
    specials: int
    hard_links: int
    skipped: int
    bytes: int
    findings: dict[str, int]


@click.command("restore")
@click.argument("what", metavar="SNAPSHOT[:PATH]")
@click.option("--target", "-t", required=True, metavar="DIR", help="Where to; made if missing.")
@click.option(
    "--overwrite",
    type=click.Choice([str(choice) for choice in Overwrite]),
    default=str(Overwrite.ALWAYS),
    show_default=True,
    help="What happens to things that are there already.",
)
@click.option(
    "--owners-by-name", is_flag=True, help="Look users and groups up by name instead of by number."
)
@click.option("--no-sparse", is_flag=True, help="Take disk space for holes in files, too.")
@click.option("--verify", is_flag=True, help="Read each file back from the disk and compare.")
@click.option("--dry-run", "-n", is_flag=True, help="Only tell what would be written.")
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, what: str, target: str, overwrite: str, owners_by_name: bool, no_sparse: bool,
    verify: bool, dry_run: bool, host: str | None, name: str | None,
) -> int:  # fmt: skip
    """Write what lies at PATH of a snapshot back, below a directory.

    A directory's content becomes that of DIR, a file is put into DIR under its own name; without
    PATH it is the whole snapshot with its absolute paths. Things in DIR that the snapshot does not
    have are left alone. Nothing outside of DIR is written, whatever links lie in it.

    The exit status is 3 where something could not be restored as it was.
    """
    session = begin(given)
    selection = parse_selection(what)
    options = RestoreOptions(
        target=os.fsencode(os.path.normpath(session.machine.cwd / target)),
        path=selection.path,
        owners_by_name=owners_by_name,
        sparse=not no_sparse,
        verify=verify,
        overwrite=Overwrite(overwrite),
        dry_run=dry_run,
    )
    report = run(lambda: _restore(session, selection, options, host, name, quiet=given.json))
    _show(report, options, given)
    return 0 if report.is_clean else ending.WITH_FINDINGS


async def _restore(
    session: Session, selection: Selection, options: RestoreOptions, host: str | None,
    name: str | None, *, quiet: bool,
) -> RestoreReport:  # fmt: skip
    progress = Progress()
    async with session.repository() as repository, displayed(progress, quiet=quiet):
        snapshot = await find_snapshot(repository, selection.snapshot, host, name)
        async with repository.reading(disk_bytes=session.disk_cache) as reader:
            return await restore(repository, reader, snapshot, options, progress)


def _show(report: RestoreReport, options: RestoreOptions, given: Globals) -> None:
    kinds = {str(each.trouble): each.count for each in report.troubles}
    output.report_findings(report.findings, kinds, given)
    if given.json:
        output.say_json(_json_of(report, options, kinds))
        return
    verb = "would restore" if options.dry_run else "restored"
    output.say(
        f"{verb} {render.plural(report.files, 'file')} ({format_size(report.bytes)}), "
        f"{report.directories:,} directories, {render.plural(report.symlinks, 'link')} "
        f"to {render.shown(options.target)}"
    )
    if report.skipped:
        output.say(f"kept {render.plural(report.skipped, 'thing')} that were there")


def _json_of(report: RestoreReport, options: RestoreOptions, kinds: dict[str, int]) -> RestoreJson:
    return RestoreJson(
        target=render.readable(options.target),
        dry_run=options.dry_run,
        files=report.files,
        directories=report.directories,
        symlinks=report.symlinks,
        specials=report.specials,
        hard_links=report.hard_links,
        skipped=report.skipped,
        bytes=report.bytes,
        findings=kinds,
    )
