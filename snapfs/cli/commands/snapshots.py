"""snapfs snapshots: the list of snapshots."""

from collections import deque
from collections.abc import Sequence

import click
import msgspec

from snapfs.cli import output, render
from snapfs.cli.asking import Prepare, asking
from snapfs.cli.options import Globals, choosing_source, global_options
from snapfs.cli.selecting import chosen_sources
from snapfs.metadata.snapshots import Filter
from snapfs.model.sizes import format_size
from snapfs.model.snapshot import Snapshot
from snapfs.repository.viewed import Viewed

_TITLES = ("ID", "TIME", "HOST", "NAME", "FILES", "SIZE", "NEW", "TAGS", "PATHS")
_RIGHT = (4, 5, 6)


class FilesJson(msgspec.Struct):
    """Numbers of files as the ingest counted them."""

    new: int
    changed: int
    unchanged: int
    removed: int
    failed: int
    directories: int


class BytesJson(msgspec.Struct):
    """Numbers of bytes as the ingest counted them."""

    total: int
    read: int
    new: int
    stored: int


class SnapshotJson(msgspec.Struct, omit_defaults=True):
    """A snapshot under --json."""

    id: str
    time: str
    host: str
    source: str
    tags: tuple[str, ...]
    paths: list[str]
    files: FilesJson
    bytes: BytesJson
    paths_base64: list[str | None] | None = None


@click.command("snapshots")
@choosing_source
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only with all of these tags.")
@click.option(
    "--latest", type=click.IntRange(min=1), metavar="N", help="Only the newest N of each source."
)
@click.option("--forgotten", "gone", is_flag=True, help="Those that can still be brought back.")
@global_options
@click.pass_obj
def command(
    given: Globals, host: str | None, name: str | None, tags: tuple[str, ...], latest: int | None,
    gone: bool,
) -> None:  # fmt: skip
    """List the snapshots, in the order in which they were made.

    Times are local here, and UTC under --json. FILES and SIZE are what a snapshot holds, NEW the
    bytes of it that the repository did not have, before compression.

    --forgotten lists those that were forgotten and that no prune has deleted, instead: 'snapfs
    forget --undo ID' brings them back.
    """
    with asking(given, _chosen(Filter(host, name), frozenset(tags), gone)) as view:
        found = newest(view.found, latest)
    if given.json:
        output.say_json([json_of(snapshot) for snapshot in found])
        return
    rows = [_row(snapshot) for snapshot in found]
    for line in render.table(_TITLES, rows, right=_RIGHT, bold=output.on_terminal()):
        output.say(line)


def newest(found: Sequence[Snapshot], count: int | None) -> list[Snapshot]:
    """The newest `count` snapshots of each source, in the order of the log; None means all."""
    if count is None:
        return list(found)
    kept: dict[int, deque[Snapshot]] = {}
    for snapshot in found:
        kept.setdefault(snapshot.source.number, deque(maxlen=count)).append(snapshot)
    return sorted((one for of in kept.values() for one in of), key=lambda one: one.number)


def json_of(snapshot: Snapshot) -> SnapshotJson:
    """A snapshot for --json."""
    counts = snapshot.counts
    exact = [render.exact(path) for path in snapshot.paths]
    return SnapshotJson(
        id=snapshot.id.hex(),
        time=render.exact_time(snapshot.time_ns),
        host=snapshot.source.host,
        source=snapshot.source.name,
        tags=snapshot.tags,
        paths=[render.readable(path) for path in snapshot.paths],
        files=FilesJson(
            counts.new, counts.changed, counts.unchanged, counts.removed, counts.failed,
            counts.directories,
        ),
        bytes=BytesJson(
            counts.bytes_total, counts.bytes_read, counts.bytes_new, counts.bytes_stored
        ),
        paths_base64=exact if any(exact) else None,
    )  # fmt: skip


def _chosen(only: Filter, tags: frozenset[str], gone: bool) -> Prepare[list[Snapshot]]:
    async def prepare(repository: Viewed) -> list[Snapshot]:
        await repository.look(blocks=False)
        chosen_sources(repository, only)
        snapshots = repository.snapshots
        found = snapshots.forgotten(only) if gone else snapshots.stream(only)
        return [one for one in found if tags <= set(one.tags)]

    return prepare


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    counts = snapshot.counts
    return (
        snapshot.short_id,
        render.local_time(snapshot.time_ns),
        snapshot.source.host,
        snapshot.source.name,
        f"{counts.new + counts.changed + counts.unchanged:,}",
        format_size(counts.bytes_total),
        format_size(counts.bytes_new),
        ",".join(snapshot.tags),
        " ".join(render.shown(path) for path in snapshot.paths),
    )
