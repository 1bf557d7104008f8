"""snapfs ingest: storing the state of a source as a snapshot."""

import os
import socket
import time

import click
import msgspec

from snapfs.cli import ending, output, render
from snapfs.cli.commands.snapshots import BytesJson, FilesJson
from snapfs.cli.loop import run
from snapfs.cli.moments import first_moment
from snapfs.cli.options import Globals, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.formats.codec import DEFAULT_LEVEL
from snapfs.jobs.ingest.job import ingest
from snapfs.jobs.ingest.options import IngestOptions, IngestReport
from snapfs.jobs.progress import Progress
from snapfs.jobs.tag import check_tags
from snapfs.model.names import default_source_name
from snapfs.model.sizes import format_size, parse_size
from snapfs.mount import mountinfo
from snapfs.mount.options import FSTYPE
from snapfs.sources.exclude import Exclusions
from snapfs.sources.patterns import read_patterns
from snapfs.sources.roots import names_from, plan_roots, read_list
from snapfs.stores.locate import DirectoryLocation


class IngestJson(msgspec.Struct):
    """What an ingest did, under --json."""

    snapshot: str | None
    time: str | None
    host: str
    source: str
    dry_run: bool
    files: FilesJson
    bytes: BytesJson
    findings: dict[str, int]
    healed: int
    seconds: float


class Words(msgspec.Struct, frozen=True):
    """The command line as click gives it, its options by their names."""

    paths: tuple[str, ...]
    name: str | None
    host: str | None
    tag: tuple[str, ...]
    exclude: tuple[str, ...]
    exclude_from: tuple[str, ...]
    exclude_caches: bool
    exclude_if_present: tuple[str, ...]
    exclude_larger_than: str | None
    one_file_system: bool
    files_from: tuple[str, ...]
    stdin: bool
    stdin_name: str | None
    time: str | None
    compression: int
    dry_run: bool
    force: bool


@click.command("ingest")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--name", help="Name of the source; made of the paths by default.")
@click.option("--host", help="Host of the source; this machine's name by default.")
@click.option("--tag", multiple=True, help="A tag for the snapshot.")
@click.option("--exclude", "-e", multiple=True, metavar="PATTERN", help="Leave this out.")
@click.option("--exclude-from", multiple=True, metavar="FILE", help="A file of such patterns.")
@click.option("--exclude-caches", is_flag=True, help="Leave out what CACHEDIR.TAG marks.")
@click.option(
    "--exclude-if-present",
    multiple=True,
    metavar="NAME",
    help="Leave out the content of directories that have this.",
)
@click.option("--exclude-larger-than", metavar="SIZE", help="Leave out larger files; as 500M.")
@click.option("--one-file-system", "-x", is_flag=True, help="Stay on the file system of each PATH.")
@click.option(
    "--files-from",
    multiple=True,
    metavar="FILE",
    help="Paths from a file, on lines or ended by NUL; - is standard input.",
)
@click.option("--stdin", is_flag=True, help="Store standard input as a file.")
@click.option("--stdin-name", metavar="NAME", help="What that file is called.  [default: stdin]")
@click.option("--time", metavar="TIME", help="Time of the snapshot, instead of now.")
@click.option(
    "--compression",
    type=click.IntRange(1, 19),
    default=DEFAULT_LEVEL,
    show_default=True,
    metavar="LEVEL",
    help="Level of zstd, 1 to 19.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Only tell what would be stored.")
@click.option("--force", is_flag=True, help="Read all files, changed or not.")
@global_options
@click.pass_obj
def command(given: Globals, /, **words: object) -> int:  # fmt: skip
    """Store the state of files and directories as a snapshot.

    Patterns are those of .gitignore, matched against absolute paths; --exclude counts after
    --exclude-from, and the last one that matches decides. The repository itself, if it is a
    directory, snapfs's own state and cache, and what is in mounts of snapshots are left out.

    The exit status is 3 where the snapshot was made and something could not be read.
    """
    asked = msgspec.convert(words, Words)
    session = begin(given)
    options = plan(asked, session)
    report = run(lambda: _ingest(session, options, quiet=given.json))
    _show(report, options, given)
    return ending.WITH_FINDINGS if report.findings.failures else 0


def plan(asked: Words, session: Session) -> IngestOptions:
    """What the command line means. Looks at the paths that it names. Raises UsageError."""
    _refuse_contradictions(asked)
    roots: tuple[bytes, ...] = ()
    if not asked.stdin:
        named = [*map(os.fsencode, asked.paths), *names_from(map(os.fsencode, asked.files_from))]
        roots = plan_roots(named, os.fsencode(session.machine.cwd))
    stream = asked.stdin_name or "stdin"
    default = stream if asked.stdin else default_source_name([os.fsdecode(root) for root in roots])
    return IngestOptions(
        host=socket.gethostname() if asked.host is None else asked.host,
        name=default if asked.name is None else asked.name,
        roots=roots,
        stream_name=_stream_name(stream) if asked.stdin else None,
        tags=check_tags(asked.tag),
        exclusions=_exclusions(asked),
        time_ns=None if asked.time is None else _time(asked.time),
        level=asked.compression,
        dry_run=asked.dry_run,
        force=asked.force,
        never=_own_places(session),
    )


def _refuse_contradictions(asked: Words) -> None:
    if asked.stdin and (asked.paths or asked.files_from):
        raise UsageError("--stdin stores one stream: it goes with no PATH and no --files-from")
    if asked.stdin and asked.dry_run:
        raise UsageError("--stdin cannot be read twice, so there is no --dry-run of it")
    if asked.stdin_name is not None and not asked.stdin:
        raise UsageError("--stdin-name goes with --stdin")
    if not (asked.stdin or asked.paths or asked.files_from):
        raise UsageError("nothing was named to be stored", hint="write 'snapfs ingest PATH'")


def _exclusions(asked: Words) -> Exclusions:
    from_files = [
        line for file in asked.exclude_from for line in read_patterns(read_list(os.fsencode(file)))
    ]
    limit = asked.exclude_larger_than
    return Exclusions(
        patterns=(*from_files, *map(os.fsencode, asked.exclude)),
        caches=asked.exclude_caches,
        if_present=tuple(map(os.fsencode, asked.exclude_if_present)),
        larger_than=None if limit is None else parse_size(limit),
        one_file_system=asked.one_file_system,
        # In a mount of snapshots each new one would hold all before it.
        devices=mountinfo.devices(FSTYPE),
    )


def _stream_name(name: str) -> bytes:
    encoded = os.fsencode(name)
    if encoded in (b"", b".", b"..") or b"/" in encoded or len(encoded) > 255:
        raise UsageError(f"not a file name: {name!r}")
    return encoded


def _time(text: str) -> int:
    moment = first_moment(text, time.time_ns())
    if not -(2**63) <= moment < 2**63:
        raise UsageError(f"no time for a snapshot: '{text}'", hint="it must be of 1678 to 2262")
    return moment


def _own_places(session: Session) -> frozenset[bytes]:
    """What must not be stored in the repository: itself, and what this machine can rebuild."""
    places = [session.directories.state, session.directories.cache]
    if isinstance(session.location, DirectoryLocation):
        places.append(session.location.path)
    found = {os.fsencode(os.path.normpath(place)) for place in places}
    return frozenset(found | {os.path.realpath(place) for place in found})


async def _ingest(session: Session, options: IngestOptions, *, quiet: bool) -> IngestReport:
    progress = Progress()
    async with session.repository() as repository, displayed(progress, quiet=quiet):
        return await ingest(repository, options, progress)


def _show(report: IngestReport, options: IngestOptions, given: Globals) -> None:
    kinds = {str(kind): count for kind, count in report.findings.counts.items()}
    output.report_findings(report.findings.listed, kinds, given)
    if given.json:
        output.say_json(_json_of(report, options, kinds))
        return
    for line in _summary(report, options):
        output.say(line)


def _summary(report: IngestReport, options: IngestOptions) -> list[str]:
    counts, dry = report.counts, options.dry_run
    held = counts.new + counts.changed + counts.unchanged
    figures = [
        f"{count:,} {word}"
        for word, count in (
            ("new", counts.new), ("changed", counts.changed), ("unchanged", counts.unchanged),
            ("removed", counts.removed), ("failed", counts.failed),
        )
        if count or word in {"new", "changed", "unchanged"}
    ]  # fmt: skip
    lines = [
        f"{options.host}/{options.name}: {render.plural(held, 'file')}, "
        f"{format_size(counts.bytes_total)}: {', '.join(figures)}"
    ]
    if dry:
        return [*lines, "a dry run: nothing was read or stored"]
    lines.append(
        f"read {format_size(counts.bytes_read)}, of it new {format_size(counts.bytes_new)}, "
        f"stored {format_size(counts.bytes_stored)}, in {report.seconds:.1f} s"
    )
    if report.healed:
        lines.append(f"healed {render.plural(report.healed, 'damaged block')}: stored anew")
    if report.snapshot is not None:
        snapshot = report.snapshot
        lines.append(f"snapshot {snapshot.short_id} of {render.local_time(snapshot.time_ns)}")
    return lines


def _json_of(report: IngestReport, options: IngestOptions, kinds: dict[str, int]) -> IngestJson:
    counts, snapshot = report.counts, report.snapshot
    return IngestJson(
        snapshot=snapshot.id.hex() if snapshot else None,
        time=render.exact_time(snapshot.time_ns) if snapshot else None,
        host=options.host,
        source=options.name,
        dry_run=options.dry_run,
        files=FilesJson(
            counts.new, counts.changed, counts.unchanged, counts.removed, counts.failed,
            counts.directories,
        ),
        bytes=BytesJson(
            counts.bytes_total, counts.bytes_read, counts.bytes_new, counts.bytes_stored
        ),
        findings=kinds,
        healed=report.healed,
        seconds=round(report.seconds, 3),
    )  # fmt: skip
