"""snapfs restore: writing files of a snapshot back."""

import os
from dataclasses import dataclass

import click
import msgspec

from snapfs.cli import ending, output, render
from snapfs.cli.loop import run
from snapfs.cli.moments import last_moment
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.progress import displayed
from snapfs.cli.selecting import Selection, find_snapshot, parse_selection
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.jobs.progress import Progress
from snapfs.jobs.restore.job import restore
from snapfs.jobs.restore.options import Overwrite, RestoreOptions
from snapfs.jobs.restore.report import Action, RestoreReport, Watch
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Snapshot
from snapfs.repository.repository import Repository
from snapfs.sources.roots import absolute
from snapfs.stores.locate import DirectoryLocation


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
    removed: int
    bytes: int
    findings: dict[str, int]


class PathJson(msgspec.Struct, omit_defaults=True):
    """One path of the target in a dry run under --json, before what it comes to in all."""

    action: str
    path: str
    path_base64: str | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be restored, as the user named it."""

    selection: Selection
    at: str | None
    host: str | None
    name: str | None


@click.command("restore")
@click.argument("what", metavar="[SNAPSHOT][:PATH]", default="")
@click.option("--target", "-t", required=True, metavar="DIR", help="Where to; made if missing.")
@click.option(
    "--at", metavar="TIME", help="The newest snapshot at or before TIME: 2026-11-03T14:30, -3d."
)
@click.option("--deleted", is_flag=True, help="What the snapshot no longer has, as it last was.")
@click.option(
    "--overwrite",
    type=click.Choice([str(choice) for choice in Overwrite]),
    help="What happens to things that are there: always, the default, replaces them; of --deleted"
    " never is the default.",
)
@click.option("--delete", is_flag=True, help="Remove from DIR what the snapshot does not have.")
@click.option(
    "--owners-by-name", is_flag=True, help="Look users and groups up by name instead of by number."
)
@click.option("--no-sparse", is_flag=True, help="Take disk space for holes in files, too.")
@click.option("--verify", is_flag=True, help="Read each file back from the disk and compare.")
@click.option(
    "--dry-run",
    "-n",
    is_flag=True,
    help="Only tell what would be done; with -v or --json, of each path.",
)
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, what: str, target: str, at: str | None, deleted: bool, overwrite: str | None,
    delete: bool, owners_by_name: bool, no_sparse: bool, verify: bool, dry_run: bool,
    host: str | None, name: str | None,
) -> int:  # fmt: skip
    """Write what lies at PATH of a snapshot back, below a directory.

    A directory's content becomes that of DIR, a file is put into DIR under its own name; without
    PATH it is the whole snapshot with its absolute paths. Nothing outside of DIR is written,
    whatever links lie in it. DIR itself keeps its mode and owner if it has other things in it, as
    /tmp does, and takes those of PATH else. With --at TIME only the PATH is named, as /etc.

    --deleted brings back every name below PATH that an earlier snapshot shows and this one, the
    newest if none is named, does not: in its last version, with the directories that lead there.
    Of what is there nothing is changed, if --overwrite does not say so.

    --delete makes of DIR what the snapshot has and no more. It does not follow links, leaves what
    is mounted in a directory that is to go, and refuses / as DIR, a PATH that is an empty directory
    or none, and the repository's own directories.

    The exit status is 3 where something could not be restored as it was.
    """
    session = begin(given)
    if deleted and delete:
        raise UsageError("--deleted brings back and --delete removes: choose one")
    asked = _Asked(_selection(what, at=at, deleted=deleted), at, host, name)
    options = RestoreOptions(
        target=os.fsencode(os.path.normpath(session.machine.cwd / target)),
        path=asked.selection.path,
        owners_by_name=owners_by_name,
        sparse=not no_sparse,
        verify=verify,
        overwrite=Overwrite(overwrite or (Overwrite.NEVER if deleted else Overwrite.ALWAYS)),
        deleted=deleted,
        delete=delete,
        spared=_spared(session),
        dry_run=dry_run,
    )
    report = run(lambda: _restore(session, asked, options, given))
    _show(report, options, given)
    return 0 if report.is_clean else ending.WITH_FINDINGS


def _selection(what: str, *, at: str | None, deleted: bool) -> Selection:
    """What is restored; without a snapshot where something else says which. Raises UsageError."""
    path = what.removeprefix(":")
    if at is None and not (deleted and (not path or path.startswith("/"))):
        if not what:
            raise UsageError("nothing to restore", hint="write SNAPSHOT:PATH, or --at TIME PATH")
        return parse_selection(what)
    if path and not path.startswith("/"):
        raise UsageError(f"--at says which snapshot: {what!r} must be a path", hint="write /etc")
    return Selection("latest", absolute(os.fsencode(path), b"/"))


def _spared(session: Session) -> tuple[bytes, ...]:
    own = [session.directories.state, session.directories.cache]
    if isinstance(session.location, DirectoryLocation):
        own.append(session.location.path)
    return tuple(map(os.fsencode, own))


async def _restore(
    session: Session, asked: _Asked, options: RestoreOptions, given: Globals
) -> RestoreReport:
    progress = Progress()
    watch = _watch(given) if options.dry_run and (given.json or given.verbosity) else None
    async with (
        session.repository() as repository,
        displayed(progress, quiet=given.json or watch is not None),
    ):
        snapshot = await _find(repository, asked)
        async with repository.reading(disk_bytes=session.disk_cache) as reader:
            return await restore(repository, reader, snapshot, options, progress, watch=watch)


async def _find(repository: Repository, asked: _Asked) -> Snapshot:
    text = asked.selection.snapshot
    if asked.at is not None:
        text = render.exact_time(last_moment(asked.at, repository.world.now_ns()))
    return await find_snapshot(repository, text, asked.host, asked.name)


def _watch(given: Globals) -> Watch:
    def say(action: Action, path: bytes) -> None:
        output.say(f"{action:6} {render.shown(path)}")

    def say_json(action: Action, path: bytes) -> None:
        output.say_json(PathJson(action, render.readable(path), render.exact(path)))

    return say_json if given.json else say


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
    if options.delete:
        verb = "would remove" if options.dry_run else "removed"
        output.say(f"{verb} {render.plural(report.removed, 'thing')} that the snapshot lacks")


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
        removed=report.removed,
        bytes=report.bytes,
        findings=kinds,
    )
