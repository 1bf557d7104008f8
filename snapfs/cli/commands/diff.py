"""snapfs diff: what differs between two snapshots."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence

import click
import msgspec

from snapfs.cli import entries, output, render
from snapfs.cli.asking import asking, snapshots_of
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.errors import PathNotFoundError
from snapfs.metadata.database import Database
from snapfs.metadata.differences import Differences, Side
from snapfs.metadata.tree import Tree
from snapfs.model.attributes import Attributes
from snapfs.model.difference import Difference, Kind
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Snapshot
from snapfs.sources.roots import absolute

_SIGNS = {
    Kind.ADDED: "+",
    Kind.REMOVED: "-",
    Kind.MODIFIED: "M",
    Kind.METADATA: "m",
    Kind.RENAMED: "R",
}


class StateJson(msgspec.Struct):
    """One side of a difference."""

    type: str
    size: int
    mode: str
    uid: int
    gid: int
    mtime: str


class DifferenceJson(msgspec.Struct, omit_defaults=True):
    """A difference under --json."""

    kind: str
    path: str
    changed: tuple[str, ...] = ()
    renamed_from: str | None = None
    before: StateJson | None = None
    after: StateJson | None = None
    path_base64: str | None = None
    renamed_from_base64: str | None = None


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.argument("path", required=False, default="/")
@click.option("--only", type=click.Choice([str(kind) for kind in Kind]), multiple=True,
              help="Only this kind of difference; can be repeated.")  # fmt: skip
@choosing_source
@global_options
@click.pass_obj
def command(
    given: Globals, old: str, new: str, path: str, only: tuple[str, ...], host: str | None,
    name: str | None,
) -> None:  # fmt: skip
    """Show what differs between the snapshots OLD and NEW, at PATH and below.

    \b
    +  added
    -  removed
    M  modified: another content or type
    m  metadata: the same content; mode, owner, time or extended attributes differ
    R  renamed: removed elsewhere, with the same content

    Snapshots of different sources are compared too, which takes longer. The exit status says
    nothing about differences: it is 0 where the comparison was made.
    """
    wanted = absolute(os.fsencode(path), b"/")
    with asking(given, snapshots_of((old, new), host, name)) as view:
        sides = [_side(snapshot) for snapshot in view.found]
        _require(view.db, sides, wanted)
        found = Differences(view.db).between(sides[0], sides[1], wanted)
        kinds = frozenset(map(Kind, only)) or frozenset(Kind)
        _print((one for one in found if one.kind in kinds), given)


def _require(db: Database, sides: Sequence[Side], path: bytes) -> None:
    """Raise PathNotFoundError where neither side has anything at this path."""
    tree = Tree(db)
    if all(tree.resolve(side.anchor, side.commit, path) is None for side in sides):
        raise PathNotFoundError(
            f"neither snapshot has anything at {os.fsdecode(path)}",
            hint="PATH is as it is in the snapshots, from / on: see 'snapfs ls'",
        )


def _side(snapshot: Snapshot) -> Side:
    return Side(snapshot.anchor, snapshot.number)


def _print(found: Iterator[Difference], given: Globals) -> None:
    if given.json:
        for difference in found:
            output.say_json(_json(difference))
        return
    counts: Counter[Kind] = Counter()
    growth = 0
    for difference in found:
        counts[difference.kind] += 1
        growth += difference.growth
        output.say(_line(difference))
    told = ", ".join(f"{counts[kind]:,} {kind}" for kind in Kind if counts[kind])
    output.say(f"{told or 'no differences'}{_grown(growth)}")


def _line(difference: Difference) -> str:
    path = render.shown(difference.path)
    if difference.renamed_from is not None:
        path = f"{render.shown(difference.renamed_from)} -> {path}"
    return f"{_SIGNS[difference.kind]}  {path}{_detail(difference)}"


def _detail(difference: Difference) -> str:
    """What changed, and how the size did."""
    details = [str(aspect) for aspect in difference.changed]
    before, after = difference.before, difference.after
    if before and after and before.size != after.size and before.is_file and after.is_file:
        details.append(f"{format_size(before.size)} to {format_size(after.size)}")
    one = after or before
    if one is not None and (before is None or after is None):
        details.append(format_size(one.size) if one.is_file else entries.kind(one.mode))
    return f"  ({', '.join(details)})" if details else ""


def _grown(growth: int) -> str:
    if growth == 0:
        return ""
    return f"; {'+' if growth > 0 else '-'}{format_size(abs(growth))}"


def _json(difference: Difference) -> DifferenceJson:
    origin = difference.renamed_from
    return DifferenceJson(
        kind=str(difference.kind),
        path=render.readable(difference.path),
        changed=tuple(map(str, difference.changed)),
        renamed_from=None if origin is None else render.readable(origin),
        before=_state(difference.before),
        after=_state(difference.after),
        path_base64=render.exact(difference.path),
        renamed_from_base64=None if origin is None else render.exact(origin),
    )


def _state(attributes: Attributes | None) -> StateJson | None:
    if attributes is None:
        return None
    return StateJson(
        type=entries.kind(attributes.mode),
        size=attributes.size,
        mode=f"{stat.S_IMODE(attributes.mode):04o}",
        uid=attributes.uid,
        gid=attributes.gid,
        mtime=render.exact_time(attributes.mtime_ns),
    )
