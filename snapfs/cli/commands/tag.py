"""snapfs tag: changing the tags of a snapshot."""

import socket

import click
import msgspec

from snapfs.cli import output
from snapfs.cli.loop import run
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.selecting import find_snapshot
from snapfs.cli.session import Session, begin
from snapfs.errors import UsageError
from snapfs.jobs.tag import check_tags, tag
from snapfs.model.snapshot import Snapshot


class TaggedJson(msgspec.Struct):
    """A snapshot's tags under --json."""

    id: str
    tags: tuple[str, ...]


@click.command("tag")
@click.argument("snapshot")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@click.option("--add", multiple=True, metavar="TAG", help="Add this tag, as TAG behind SNAPSHOT.")
@click.option("--remove", multiple=True, metavar="TAG", help="Remove this tag.")
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, snapshot: str, tags: tuple[str, ...], add: tuple[str, ...],
    remove: tuple[str, ...], host: str | None, name: str | None,
) -> None:  # fmt: skip
    """Add tags to a snapshot, and remove some. SNAPSHOT is an id, 'latest', or a time."""
    added, removed = check_tags((*tags, *add)), check_tags(remove)
    if not added and not removed:
        raise UsageError("no tag was named", hint="write 'snapfs tag SNAPSHOT TAG'")
    if both := sorted({*added} & {*removed}):
        raise UsageError(f"to be added and removed: {', '.join(both)}")
    session = begin(given)
    changed = run(lambda: _tag(session, snapshot, added, removed, host, name))
    if given.json:
        output.say_json(TaggedJson(changed.id.hex(), changed.tags))
    else:
        output.say(f"{changed.short_id}: {', '.join(changed.tags) or 'no tags'}")


async def _tag(
    session: Session, text: str, add: tuple[str, ...], remove: tuple[str, ...], host: str | None,
    name: str | None,
) -> Snapshot:  # fmt: skip
    async with session.repository() as repository:
        snapshot = await find_snapshot(repository, text, host, name)
        await tag(repository, [snapshot], add, remove, socket.gethostname())
        return repository.snapshots.by_number(snapshot.number) or snapshot
