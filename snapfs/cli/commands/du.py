"""snapfs du: how much the directories of a snapshot hold."""

import click
import msgspec

from snapfs.cli import output, render
from snapfs.cli.asking import asking, snapshots_of
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.selecting import parse_selection
from snapfs.errors import PathNotFoundError
from snapfs.metadata.tree import Tree
from snapfs.metadata.usage import Usage, UsageQuestions
from snapfs.model.sizes import format_size

_TITLES = ("SIZE", "ENTRIES", "PATH")


class UsageJson(msgspec.Struct, omit_defaults=True):
    """A directory under --json."""

    path: str
    size: int
    entries: int
    path_base64: str | None = None


@click.command("du")
@click.argument("what", metavar="[SNAPSHOT[:PATH]]", default="latest")
@click.option(
    "--depth", "-d", type=click.IntRange(0, 32), default=1, show_default=True, metavar="N",
    help="Directories down to so many levels below PATH.",
)  # fmt: skip
@choosing_source
@global_options
@click.pass_obj
def command(given: Globals, what: str, depth: int, host: str | None, name: str | None) -> None:
    """Show how much the directories of a snapshot hold, the largest last.

    SIZE is bytes of files with all directories below, each file once however many names it has:
    what a restore writes, not what the repository stores of it ('snapfs stats' says that).
    """
    selection = parse_selection(what)
    with asking(given, snapshots_of((selection.snapshot,), host, name)) as view:
        (snapshot,) = view.found
        entry = Tree(view.db).resolve(snapshot.anchor, snapshot.number, selection.path)
        if entry is None:
            raise PathNotFoundError(
                f"snapshot {snapshot.short_id} has nothing at {render.shown(selection.path)}"
            )
        if entry.child is None:
            found = [Usage(selection.path, 1, entry.node.attributes.size)]
        else:
            found = UsageQuestions(view.db).directory(entry.child, snapshot.number, depth)
    _print(found, given)


def _print(found: list[Usage], given: Globals) -> None:
    ordered = sorted(found, key=lambda one: (one.size, one.entries))
    if given.json:
        for usage in ordered:
            output.say_json(_json(usage))
        return
    rows = [
        (format_size(usage.size), f"{usage.entries:,}", render.shown(usage.path))
        for usage in ordered
    ]
    for line in render.table(_TITLES, rows, right=(0, 1), bold=output.on_terminal()):
        output.say(line)


def _json(usage: Usage) -> UsageJson:
    return UsageJson(
        path=render.readable(usage.path),
        size=usage.size,
        entries=usage.entries,
        path_base64=render.exact(usage.path),
    )
