"""snapfs cat: the content of a file."""

import sys

import click

from snapfs.cli import entries
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.render import shown
from snapfs.cli.selecting import find_entry, find_snapshot, parse_selection
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError

_AT_ONCE = 1024 * 1024
"bytes that are read and written at a time"


@click.command("cat")
@click.argument("what", metavar="SNAPSHOT:PATH")
@choosing_source
@global_options
@click.pass_obj
def command(given: Globals, what: str, host: str | None, name: str | None) -> None:
    """Write the content of a file to standard output.

    SNAPSHOT is an id or its beginning, 'latest', or a time. --json changes nothing but errors.
    """
    session = begin(given)
    run(lambda: _write(session, what, host, name))


async def _write(session: Session, what: str, host: str | None, name: str | None) -> None:
    selection = parse_selection(what)
    async with session.repository() as repository:
        snapshot = await find_snapshot(repository, selection.snapshot, host, name)
        node = find_entry(repository.tree, snapshot, selection.path).node
        if not node.attributes.is_file:
            kind = entries.kind(node.attributes.mode)
            raise UsageError(f"{shown(selection.path)} is no file but a {kind}")
        await repository.look()
        async with repository.reading(disk_bytes=session.disk_cache) as reader:
            content = reader.open(node.content())
            for offset in range(0, node.attributes.size, _AT_ONCE):
                sys.stdout.buffer.write(await content.read(offset, _AT_ONCE))
        sys.stdout.buffer.flush()
