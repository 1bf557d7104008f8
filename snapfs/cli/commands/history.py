"""snapfs history: every version of a path."""

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click
import msgspec

from snapfs.cli import entries, output, render
from snapfs.cli.asking import asking, moments_of, sources_of
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.errors import PathNotFoundError
from snapfs.metadata.history import History, Name
from snapfs.metadata.moments import Moment, Moments
from snapfs.metadata.snapshots import Filter
from snapfs.metadata.tree import PAGE, Node
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Source
from snapfs.model.versions import Version
from snapfs.sources.roots import absolute

_VERSIONS = ("FIRST", "TIME", "LAST", "TIME", "SIZE", "MODE", "MODIFIED", "CHANGED")
_NAMES = ("NAME", "TYPE", "VERSIONS", "FIRST", "LAST", "TIME", "SIZE", "")


class SeenJson(msgspec.Struct):
    """A snapshot at one end of a version."""

    snapshot: str
    time: str


class VersionJson(msgspec.Struct, omit_defaults=True):
    """A version of a path under --json; without a state where there was nothing."""

    host: str
    source: str
    path: str
    first: SeenJson
    last: SeenJson
    exists: bool
    changed: tuple[str, ...] = ()
    type: str | None = None
    size: int | None = None
    mode: str | None = None
    uid: int | None = None
    gid: int | None = None
    mtime: str | None = None
    path_base64: str | None = None


class NameJson(msgspec.Struct, omit_defaults=True):
    """A name that a directory has or had, under --json."""

    host: str
    source: str
    path: str
    type: str
    size: int
    versions: int
    first: SeenJson
    last: SeenJson
    deleted: bool
    path_base64: str | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """A path in one source, and where its past is looked up."""

    history: History
    moments: Moments
    source: Source
    path: bytes


@click.command("history")
@click.argument("path")
@click.option(
    "--directory", "-d", "itself", is_flag=True, help="A directory itself, not its names."
)
@choosing_source
@global_options
@click.pass_obj
def command(given: Globals, path: str, itself: bool, host: str | None, name: str | None) -> None:
    """Show every version of a file, or every name that a directory ever had.

    PATH is absolute as it was at the source; else it is taken from where you are. FIRST and LAST
    are the oldest and newest snapshot that show a version, CHANGED is what differs from the one
    before: type, content, mode, owner, time or xattrs. 'deleted' means that the snapshots from
    FIRST to LAST have nothing at PATH. All sources are looked at that --host and --name allow.
    """
    wanted = absolute(os.fsencode(path), os.fsencode(Path.cwd()))
    with asking(given, sources_of(Filter(host, name))) as view:
        moments = moments_of(view.db, view.found)
        history = History(view.db, moments)
        told = [
            _tell(
                _Subject(history, moments, source, wanted),
                given,
                itself=itself,
                several=len(view.found) > 1,
            )
            for source in view.found
        ]
    if not any(told):
        raise PathNotFoundError(
            f"no snapshot has {render.shown(wanted)}",
            hint=f"'snapfs find {shlex.quote(Path(os.fsdecode(wanted)).name)}' looks for the name",
        )


def _tell(subject: _Subject, given: Globals, *, itself: bool, several: bool) -> bool:
    """Print what a source knows of a path; whether that is anything."""
    versions = subject.history.versions(subject.source.number, subject.path)
    first = next(versions, None)
    if first is None:
        return False
    if several and not given.json:
        output.say(f"{subject.source}:")
    if not itself and first.state is not None and first.state.attributes.is_directory:
        _tell_names(subject, given)
    else:
        _tell_versions(subject, given, first, versions)
    return True


def _tell_versions(
    subject: _Subject, given: Globals, first: Version[Node], others: Iterator[Version[Node]]
) -> None:
    found = [first, *others]
    if given.json:
        for version in found:
            output.say_json(_version_json(subject, version))
        return
    rows = [_version_row(subject, version) for version in found]
    for line in render.table(_VERSIONS, rows, right=(4,), bold=output.on_terminal()):
        output.say(line)
    _tell_way_back(subject, found)


def _tell_names(subject: _Subject, given: Globals) -> None:
    names = subject.history.names(subject.source.number, subject.path)
    if given.json:
        for name in names:
            output.say_json(_name_json(subject, name))
        return
    bold = output.on_terminal()
    while page := list(islice(names, PAGE)):
        rows = [_name_row(name) for name in page]
        for line in render.table(_NAMES, rows, right=(2, 6), bold=bold):
            output.say(line)


def _tell_way_back(subject: _Subject, found: list[Version[Node]]) -> None:
    """The command that brings back the version before what is there now."""
    held = [version for version in found if version.state is not None]
    older = held[-1] if found[-1].state is None else held[-2] if len(held) > 1 else None
    if older is None:
        return
    what = f"{subject.moments.at(older.last).short_id}:{os.fsdecode(subject.path)}"
    output.say(f"To get one back: snapfs restore {shlex.quote(what)} --target DIR")


def _version_row(subject: _Subject, version: Version[Node]) -> tuple[str, ...]:
    first, last = subject.moments.at(version.first), subject.moments.at(version.last)
    seen = (
        first.short_id, render.local_time(first.time_ns), last.short_id,
        render.local_time(last.time_ns),
    )  # fmt: skip
    if version.state is None:
        return (*seen, "", "", "", "deleted")
    attributes = version.state.attributes
    return (
        *seen,
        format_size(attributes.size),
        stat.filemode(attributes.mode),
        render.local_time(attributes.mtime_ns),
        ", ".join(version.changed),
    )


def _version_json(subject: _Subject, version: Version[Node]) -> VersionJson:
    found = VersionJson(
        host=subject.source.host,
        source=subject.source.name,
        path=render.readable(subject.path),
        first=_seen(subject.moments.at(version.first)),
        last=_seen(subject.moments.at(version.last)),
        exists=version.state is not None,
        changed=tuple(map(str, version.changed)),
        path_base64=render.exact(subject.path),
    )
    if version.state is not None:
        attributes = version.state.attributes
        found.type = entries.kind(attributes.mode)
        found.size = attributes.size
        found.mode = f"{stat.S_IMODE(attributes.mode):04o}"
        found.uid, found.gid = attributes.uid, attributes.gid
        found.mtime = render.exact_time(attributes.mtime_ns)
    return found


def _name_row(name: Name) -> tuple[str, ...]:
    attributes = name.node.attributes
    return (
        render.shown(name.name) + ("/" if attributes.is_directory else ""),
        entries.kind(attributes.mode),
        str(name.versions),
        name.first.short_id,
        name.last.short_id,
        render.local_time(name.last.time_ns),
        format_size(attributes.size),
        "deleted" if name.deleted else "",
    )


def _name_json(subject: _Subject, name: Name) -> NameJson:
    path = subject.path.rstrip(b"/") + b"/" + name.name
    return NameJson(
        host=subject.source.host,
        source=subject.source.name,
        path=render.readable(path),
        type=entries.kind(name.node.attributes.mode),
        size=name.node.attributes.size,
        versions=name.versions,
        first=_seen(name.first),
        last=_seen(name.last),
        deleted=name.deleted,
        path_base64=render.exact(path),
    )


def _seen(moment: Moment) -> SeenJson:
    return SeenJson(moment.id.hex(), render.exact_time(moment.time_ns))
