"""snapfs export: a snapshot, or a part of it, as a tar archive."""

import sys
from contextlib import AbstractContextManager

import click
import msgspec

from snapfs.cli import ending, output, render
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.selecting import Selection, find_snapshot, parse_selection
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.jobs.export import ExportReport, Format, Sink, export, file_sink, stream_sink
from snapfs.jobs.export.sink import format_of
from snapfs.jobs.progress import Progress
from snapfs.model.sizes import format_size

_STREAM = "-"


class ExportJson(msgspec.Struct):
    """What an export wrote, under --json; only where standard output is not the archive."""

    output: str
    files: int
    directories: int
    others: int
    hard_links: int
    bytes: int
    written: int
    findings: dict[str, int]


@click.command("export")
@click.argument("what", metavar="SNAPSHOT[:PATH]")
@click.option(
    "--output", "-o", "place", default=_STREAM, metavar="FILE",
    help="FILE.tar, FILE.tar.zst or FILE.tar.gz; - is standard output, which is also the default.",
)  # fmt: skip
@click.option(
    "--format", "chosen", type=click.Choice([str(each) for each in Format]),
    help="Instead of what the name of FILE says.",
)  # fmt: skip
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, what: str, place: str, chosen: str | None, host: str | None, name: str | None
) -> int:
    """Write what lies at PATH of a snapshot as a tar archive.

    Members of a directory are named from it on: 'snapfs export latest:/etc | tar -x -C DIR' makes
    of DIR what 'snapfs restore latest:/etc --target DIR' makes of it. The archive is in the pax
    format and holds all that tar can: bytes in names, nanoseconds, hard links, devices, extended
    attributes and ACLs (GNU tar sets those with '-p --xattrs --xattrs-include=* --acls'). Holes are
    written as zeros. FILE appears when the archive is whole, and replaces what had its name.

    A content that is damaged ends the export with an error and status 1: the archive is cut there.
    The exit status is 3 where something has no form in tar, as sockets.
    """
    session = begin(given)
    selection = parse_selection(what)
    sink = _sink(session, place, None if chosen is None else Format(chosen))
    report = run(lambda: _export(session, selection, sink, host, name, quiet=given.json))
    _show(report, place, given)
    return 0 if report.is_clean else ending.WITH_FINDINGS


def _sink(session: Session, place: str, chosen: Format | None) -> AbstractContextManager[Sink]:
    if place != _STREAM:
        return file_sink(session.machine.cwd / place, chosen or format_of(place))
    if output.on_terminal():
        raise UsageError(
            "an archive is not for a terminal", hint="name a file with -o, or redirect the output"
        )
    return stream_sink(sys.stdout.fileno(), chosen or Format.TAR)


async def _export(
    session: Session, selection: Selection, sink: AbstractContextManager[Sink], host: str | None,
    name: str | None, *, quiet: bool,
) -> ExportReport:  # fmt: skip
    progress = Progress()
    async with session.repository() as repository, displayed(progress, quiet=quiet):
        snapshot = await find_snapshot(repository, selection.snapshot, host, name)
        async with repository.reading(disk_bytes=session.disk_cache) as reader:
            with sink as opened:
                return await export(repository, reader, snapshot, selection.path, opened, progress)


def _show(report: ExportReport, place: str, given: Globals) -> None:
    kinds = {str(each.trouble): each.count for each in report.troubles}
    output.report_findings(report.findings, kinds, given)
    if place == _STREAM:
        return
    if given.json:
        output.say_json(
            ExportJson(
                output=place,
                files=report.files,
                directories=report.directories,
                others=report.others,
                hard_links=report.hard_links,
                bytes=report.bytes,
                written=report.written,
                findings=kinds,
            )
        )
        return
    output.say(
        f"exported {render.plural(report.files, 'file')} ({format_size(report.bytes)}) "
        f"to {place}, {format_size(report.written)}"
    )
