"""snapfs info: what a mount knows of a file in it."""

import errno
import os
from pathlib import Path

import click

from snapfs.cli import output, render
from snapfs.cli.options import Globals, global_options
from snapfs.cli.session import log_to_stderr
from snapfs.errors import UsageError
from snapfs.mount.factnames import NAMES, NUMBERS, PREFIX, packs_of

_NONE = (errno.ENODATA, errno.EOPNOTSUPP)


@click.command("info")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@global_options
@click.pass_obj
def command(given: Globals, path: Path) -> None:
    """Show what the repository knows of the file at PATH, which lies in a mount.

    The first and the last snapshot with this very version, how many versions there are, and what
    its content takes in the store. 'getfattr -n user.snapfs.versions PATH' shows one of these.
    """
    log_to_stderr(given)
    known = {name: value for name in NAMES if (value := _read(path, name)) is not None}
    if not known:
        raise UsageError(
            f"{path}: nothing is known of it",
            hint="PATH is to be a regular file, which has content, in a mount that is not --plain",
        )
    if given.json:
        raw = os.fsencode(path)
        exact = {"path_base64": exact} if (exact := render.exact(raw)) else {}
        output.say_json({"path": render.readable(raw), **exact, **_typed(known)})
        return
    width = max(map(len, known))
    for name, value in known.items():
        output.say(f"{name:{width}}  {value}")


def _typed(known: dict[str, str]) -> dict[str, object]:
    """The facts with their numbers as numbers, and the packs one by one."""
    typed: dict[str, object] = {
        name: int(value) if name in NUMBERS else value for name, value in known.items()
    }
    if "packs" in known:
        typed["packs"], more = packs_of(known["packs"])
        if more:
            typed["more_packs"] = more
    return typed


def _read(path: Path, name: str) -> str | None:
    """One fact; None where there is none."""
    try:
        return os.getxattr(path, PREFIX + name, follow_symlinks=False).decode()
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise UsageError(f"{path}: {error.strerror}") from error
