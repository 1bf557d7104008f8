"""snapfs ls: what a snapshot holds."""

from collections.abc import Iterable, Iterator

import click

from snapfs.cli import entries, output
from snapfs.cli.asking import asking, snapshots_of
from snapfs.cli.entries import Listed, OwnerNames
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.selecting import find_entry, parse_selection
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.tree import PAGE, Tree
from snapfs.model.identity import Commit


@click.command("ls")
@click.argument("what", metavar="SNAPSHOT[:PATH]")
@click.option("--recursive", "-R", is_flag=True, help="Directories below, too.")
@choosing_source
@global_options
@click.pass_obj
def command(given: Globals, what: str, recursive: bool, host: str | None, name: str | None) -> None:
    """List what a snapshot holds, as 'ls -l' does.

    SNAPSHOT is an id or its beginning, 'latest', a time such as 2026-11-03 or 2026-11-03T14:30,
    which means the newest snapshot until then, or a name of the mount as @yesterday, @-3d and
    @tag:NAME. PATH is as it was at the source.

    Control characters in names, and bytes that are not UTF-8, are shown as \\n or \\xff. --json
    prints an object for each entry; where a name is not UTF-8 it has its bytes in path_base64.
    """
    selection = parse_selection(what)
    with asking(given, snapshots_of((selection.snapshot,), host, name)) as view:
        (snapshot,) = view.found
        tree = Tree(view.db)
        top = Listed(selection.path, find_entry(tree, snapshot, selection.path))
        names = OwnerNames(*Snapshots(view.db).owner_names(snapshot.source.number))
        walk = _walk(tree, snapshot.number, top, recursive)
        full = recursive or given.json
        _print(walk if full else _without_directory(walk), names, given)


def _walk(tree: Tree, commit: Commit, top: Listed, recursive: bool) -> Iterator[Listed]:
    """A directory's entries with their full paths, in order; of anything else itself."""
    if top.entry.child is None:
        yield top
        return
    open_: list[Iterator[Listed]] = [_children(tree, commit, top)]
    while open_:
        listed = next(open_[-1], None)
        if listed is None:
            open_.pop()
            continue
        yield listed
        if recursive and listed.entry.child is not None:
            open_.append(_children(tree, commit, listed))


def _children(tree: Tree, commit: Commit, parent: Listed) -> Iterator[Listed]:
    assert parent.entry.child is not None
    for entry in tree.entries(parent.entry.child, commit):
        yield Listed(parent.path.rstrip(b"/") + b"/" + entry.name, entry)


def _without_directory(walk: Iterable[Listed]) -> Iterator[Listed]:
    for listed in walk:
        yield Listed(listed.entry.name, listed.entry)


def _print(walk: Iterable[Listed], names: OwnerNames, given: Globals) -> None:
    if given.json:
        for listed in walk:
            output.say_json(entries.json_of(listed, names))
        return
    for page in _pages(walk):
        for line in entries.lines(page, names):
            output.say(line)


def _pages(walk: Iterable[Listed]) -> Iterator[list[Listed]]:
    """As many as are aligned among themselves: a listing of any length takes bounded memory."""
    page: list[Listed] = []
    for listed in walk:
        page.append(listed)
        if len(page) == PAGE:
            yield page
            page = []
    yield page
