"""snapfs find: looking for files over all snapshots."""

import os
import stat
from collections.abc import Iterator
from itertools import islice

import click
import msgspec

from snapfs.cli import entries, output, render
from snapfs.cli.asking import asking, moments_of, sources_of
from snapfs.cli.moments import first_moment
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.errors import UsageError
from snapfs.metadata.search import Match, Search
from snapfs.metadata.snapshots import Filter
from snapfs.metadata.tree import PAGE
from snapfs.model.criteria import Criteria, is_open, size_bounds, types_of
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Source

_TITLES = ("SNAPSHOT", "MODIFIED", "SIZE", "", "PATH")


class MatchJson(msgspec.Struct, omit_defaults=True):
    """A match under --json. The last snapshot is the one to restore it from."""

    host: str
    source: str
    path: str
    type: str
    mode: str
    uid: int
    gid: int
    size: int
    mtime: str
    first: str
    last: str
    deleted: bool
    path_base64: str | None = None


@click.command("find")
@click.argument("pattern", required=False)
@click.option("--ignore-case", "-i", is_flag=True, help="A to Z match a to z.")
@click.option("--type", "types", metavar="T", help="f, d, l, c, b, p or s; several with commas.")
@click.option("--size", "sizes", multiple=True, metavar="N", help="+10M: more; -1K: less; 5K.")
@click.option("--newer", metavar="TIME", help="Modified since a time: 2026-11-03T14:30, -3d.")
@click.option("--older", metavar="TIME", help="Modified before a time; before a day began.")
@click.option("--owner", metavar="USER", help="Of this user, by number or name.")
@click.option("--deleted", is_flag=True, help="Only what the newest snapshot has no more.")
@click.option("--any-version", is_flag=True, help="Every state of each name, not only its last.")
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, pattern: str | None, ignore_case: bool, types: str | None,
    sizes: tuple[str, ...], newer: str | None, older: str | None, owner: str | None, deleted: bool,
    any_version: bool, host: str | None, name: str | None,
) -> None:  # fmt: skip
    """Look for files in all snapshots at once.

    PATTERN is of the name, such as '*.pdf' or 'report-[0-9]?'; with a slash in it, of the path: '*'
    stays within one name then, and '**' stands for any number of directories, as in
    '/home/**/report*'. Of each name its last state is looked at, and shown with the newest snapshot
    that has it; 'deleted' where that is not the newest of its source.
    """
    if pattern is not None and is_open(pattern):
        raise UsageError(
            f"'{pattern}' can match nothing: a bracket is not closed",
            hint="write '[[]' for the bracket itself",
        )
    with asking(given, sources_of(Filter(host, name))) as view:
        smallest, largest = _bounds(sizes)
        criteria = Criteria(
            pattern=None if pattern is None else os.fsencode(pattern),
            ignore_case=ignore_case,
            types=() if types is None else types_of(types),
            smallest=smallest,
            largest=largest,
            newer_ns=None if newer is None else first_moment(newer, view.now_ns),
            older_ns=None if older is None else first_moment(older, view.now_ns),
            owner=owner,
            deleted=deleted,
            any_version=any_version,
        )
        search = Search(view.db, moments_of(view.db, view.found))
        if owner is not None and not search.knows_owner(owner):
            raise UsageError(
                f"there is no file of a user called '{owner}'",
                hint="names are those of the hosts that were captured; a number does as well",
            )
        _print(search.find(criteria), view.found, given)


def _bounds(sizes: tuple[str, ...]) -> tuple[int | None, int | None]:
    """The range that all sizes allow together."""
    bounds = [size_bounds(text) for text in sizes]
    low = [smallest for smallest, _ in bounds if smallest is not None]
    high = [largest for _, largest in bounds if largest is not None]
    return max(low, default=None), min(high, default=None)


def _print(matches: Iterator[Match], sources: list[Source], given: Globals) -> None:
    by_number = {source.number: source for source in sources}
    if given.json:
        for match in matches:
            output.say_json(_json(match, by_number[match.source]))
        return
    several = len(sources) > 1
    while page := list(islice(matches, PAGE)):
        rows = [_row(match, by_number[match.source], several) for match in page]
        for line in render.table(_TITLES, rows, right=(2,), bold=output.on_terminal()):
            output.say(line)


def _row(match: Match, source: Source, several: bool) -> tuple[str, ...]:
    attributes = match.node.attributes
    return (
        match.last.short_id,
        render.local_time(attributes.mtime_ns),
        format_size(attributes.size) if attributes.is_file else entries.kind(attributes.mode),
        "deleted" if match.deleted else "",
        (f"{source}:" if several else "") + render.shown(match.path),
    )


def _json(match: Match, source: Source) -> MatchJson:
    attributes = match.node.attributes
    return MatchJson(
        host=source.host,
        source=source.name,
        path=render.readable(match.path),
        type=entries.kind(attributes.mode),
        mode=f"{stat.S_IMODE(attributes.mode):04o}",
        uid=attributes.uid,
        gid=attributes.gid,
        size=attributes.size,
        mtime=render.exact_time(attributes.mtime_ns),
        first=match.first.id.hex(),
        last=match.last.id.hex(),
        deleted=match.deleted,
        path_base64=render.exact(match.path),
    )
