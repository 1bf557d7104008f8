"""snapfs umount: ending a mount."""

from pathlib import Path

import click

from snapfs.cli.options import Globals, global_options
from snapfs.cli.session import log_to_stderr
from snapfs.mount.unmount import unmount


@click.command("umount")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--lazy", "-z", is_flag=True, help="Take it away at once, even if it is in use.")
@global_options
@click.pass_obj
def command(given: Globals, directory: Path, lazy: bool) -> None:
    """End the mount at DIR. Its program ends by itself then."""
    log_to_stderr(given)
    unmount(directory, lazy=lazy)
