"""snapfs mount: all snapshots as a file system, in the background or the foreground."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import msgspec
import trio

from snapfs.cli import ending, notify, output
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, global_options
from snapfs.cli.session import Session, begin
from snapfs.errors import SnapfsError
from snapfs.model.sizes import parse_size
from snapfs.mount import daemon
from snapfs.mount.daemon import Handover
from snapfs.mount.mountpoint import Machine, check_machine, check_mountpoint
from snapfs.mount.options import MEMORY_CACHE, MountOptions
from snapfs.repository.ahead import Ahead
from snapfs.repository.keys import read_key_objects

_LOG = "mount.log"


class MountedJson(msgspec.Struct):
    """A mount under --json."""

    mountpoint: str


@click.command("mount")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--foreground", "-f", is_flag=True, help="Stay, until the mount is ended.")
@click.option("--allow-other", is_flag=True, help="Let other users in, as far as modes allow.")
@click.option("--uid", type=click.IntRange(0, 2**32 - 2), help="Show all files as this user's.")
@click.option("--gid", type=click.IntRange(0, 2**32 - 2), help="Show all files as this group's.")
@click.option("--plain", is_flag=True, help="Only snapshots: no names that are not listed.")
@click.option(
    "--cache-size", metavar="SIZE", help="Cache on disk; 5G for S3, none for a directory."
)
@click.option("--memory", metavar="SIZE", help="Cache in memory.  [default: 40M]")
@global_options
@click.pass_obj
def command(
    given: Globals, directory: Path, foreground: bool, allow_other: bool, uid: int | None,
    gid: int | None, plain: bool, cache_size: str | None, memory: str | None,
) -> None:  # fmt: skip
    """Mount all snapshots at DIR, an empty directory.

    There they are as DIR/HOST/NAME/TIME, and DIR/HOST/NAME/latest. New ones appear by themselves.
    This returns as soon as the mount is ready; 'snapfs umount DIR' ends it.

    In DIR/HOST/NAME some names are there without being listed: @yesterday, @-3d, @2026-11-03 and
    @tag:TAG lead to the newest snapshot until then; .versions/PATH has all versions of a file,
    .deleted what the newest snapshot lacks, .changes/@A..@B the difference of two.
    """
    session = begin(given)
    options = MountOptions(
        allow_other=allow_other,
        uid=uid,
        gid=gid,
        plain=plain,
        memory_bytes=MEMORY_CACHE if memory is None else parse_size(memory),
        disk_bytes=session.disk_cache if cache_size is None else parse_size(cache_size),
    )
    handover = daemon.inherited()
    if handover is None and not foreground:
        _start(session, given, directory, options)
    elif handover is None:
        _serve(session, directory, options, lambda _: _ready(directory, given))
    else:
        _serve_in_background(session, given, directory, options, handover)
    given.incomplete = False  # said when the mount began; that it was ended is no finding


def _start(session: Session, given: Globals, directory: Path, options: MountOptions) -> None:
    """Let a program of its own serve the mount, and see it become ready."""
    # What can be known to be wrong is said before a passphrase is asked for.
    check_machine(options, Machine())
    target = check_mountpoint(directory)
    if given.ahead is None:
        run(lambda: _look(session))
    ahead = given.ahead or Ahead(session.secret())
    _make_environment_absolute(session)
    note = daemon.start(
        _command(target, given, options),
        secret=ahead.hand_over,
        log_file=session.directories.state / _LOG,
    )
    _say_mounted(directory, given)
    if note:
        print(note, file=sys.stderr)


async def _look(session: Session) -> None:
    session.check_directory()
    async with session.store() as store:
        await read_key_objects(store)


def _make_environment_absolute(session: Session) -> None:
    """The background program runs in another directory, and needs no passphrase from there."""
    os.environ |= {
        "SNAPFS_REPOSITORY": session.location.url,
        "SNAPFS_STATE_DIR": str(session.directories.state),
        "SNAPFS_CACHE_DIR": str(session.directories.cache),
    }
    os.environ.pop("SNAPFS_PASSPHRASE", None)


def _command(target: str, given: Globals, options: MountOptions) -> list[str]:
    words = [sys.executable, "-P", "-m", "snapfs.cli.main", "mount", target]
    words += ["-v"] * given.verbosity
    words += [f"--memory={options.memory_bytes}", f"--cache-size={options.disk_bytes}"]
    if options.allow_other:
        words.append("--allow-other")
    if options.plain:
        words.append("--plain")
    if options.uid is not None:
        words.append(f"--uid={options.uid}")
    if options.gid is not None:
        words.append(f"--gid={options.gid}")
    return words


def _serve_in_background(
    session: Session, given: Globals, directory: Path, options: MountOptions, handover: Handover
) -> None:
    """Serve, and tell the program that waits how it went."""
    session.directories.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    logging.getLogger().handlers = [daemon.log_to(session.directories.state / _LOG)]
    logging.getLogger("snapfs").setLevel(min(given.log_level, logging.INFO))
    given.ahead = Ahead.take_over(handover.secret)
    try:
        _serve(session, directory, options, handover.ready)
    except (SnapfsError, BaseExceptionGroup) as error:
        known = ending.known(error)
        if known is not None:
            handover.failed(known)
        raise


def _serve(
    session: Session, directory: Path, options: MountOptions, ready: Callable[[str], None]
) -> None:
    # Before the passphrase: pyfuse3 may be what is missing.
    from snapfs.mount.serve import serve

    async def serving() -> None:
        async with session.repository() as repository:
            await repository.look(None)
            note = _note(repository.lost)
            await serve(repository, directory, options, ready=partial(ready, note))

    trio.run(serving)


def _note(lost: SnapfsError | None) -> str:
    if lost is None:
        return ""
    return f"snapfs: {lost.what}; snapshots that build on it are not in the mount\n  {lost.hint}"


def _ready(directory: Path, given: Globals) -> None:
    _say_mounted(directory, given)
    sys.stdout.flush()
    notify.ready()


def _say_mounted(directory: Path, given: Globals) -> None:
    if given.json:
        output.say_json(MountedJson(str(directory.absolute())))
    else:
        output.say(f"mounted at {directory}; 'snapfs umount {directory}' ends it")
