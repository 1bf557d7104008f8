"""Which snapshot, and what in it: `SNAPSHOT[:PATH]` as a user writes it."""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from snapfs.errors import DamagedError, PathNotFoundError, SnapshotNotFoundError, UsageError
from snapfs.metadata.snapshots import Filter
from snapfs.metadata.tree import Entry, Tree
from snapfs.model.identity import Commit
from snapfs.model.snapshot import Snapshot, Source, by_id, choose
from snapfs.repository.viewed import Viewed
from snapfs.sources.roots import absolute

_WITH_COLONS = re.compile(r"\d{4}-\d\d-\d\d|@")


@dataclass(frozen=True, slots=True)
class Selection:
    """A snapshot as the user named it, and an absolute path in it."""

    snapshot: str
    path: bytes


def parse_selection(text: str) -> Selection:
    """Take `SNAPSHOT[:PATH]` apart. Raises UsageError.

    Times and names with @ have colons themselves, so behind them the path must begin with a slash;
    elsewhere it may.
    """
    if _WITH_COLONS.match(text):
        name, colon, rest = text.partition(":/")
        path = "/" + rest if colon else ""
    else:
        name, _, path = text.partition(":")
    if not name:
        raise UsageError(f"'{text}' names no snapshot", hint="write SNAPSHOT:PATH, as latest:/etc")
    return Selection(name, absolute(os.fsencode(path), b"/"))


def chosen_sources(repository: Viewed, only: Filter) -> list[Source]:
    """The sources that options ask for. Raises SnapshotNotFoundError where none is called so."""
    sources = repository.snapshots.sources()
    found = [source for source in sources if only.takes(source)]
    if sources and not found:
        names = ", ".join(map(str, sources[:5])) + (", …" if len(sources) > 5 else "")
        raise SnapshotNotFoundError(f"there is no source {only}", hint=f"there is {names}")
    return found


async def find_snapshot(
    repository: Viewed, text: str, host: str | None, name: str | None
) -> Snapshot:
    """The snapshot that the user means; the view knows all heads then, and its source's entries.

    Raises SnapshotNotFoundError, DamagedError where the snapshot cannot be read, StoreError.
    """
    await repository.look(blocks=False)
    only = Filter(host, name)
    chosen_sources(repository, only)
    candidates = list(repository.snapshots.stream(only))
    try:
        snapshot = choose(candidates, text, repository.world.now_ns())
    except SnapshotNotFoundError as error:
        gone = by_id(repository.snapshots.forgotten(only), text)
        if gone is None:
            raise
        hint = f"until 'snapfs prune' deletes it: 'snapfs forget --undo {gone.short_id}'"
        raise SnapshotNotFoundError(f"{gone.short_id} was forgotten", hint=hint) from error
    await repository.look([snapshot.source.number], blocks=False)
    readable = [
        standing.number
        for standing in repository.snapshots.standings(snapshot.source.number)
        if standing.shown
    ]
    if snapshot.number not in readable:
        raise _unreadable(repository, snapshot, candidates, readable)
    return snapshot


def _unreadable(
    repository: Viewed, snapshot: Snapshot, candidates: Sequence[Snapshot],
    readable: Collection[Commit],
) -> DamagedError:  # fmt: skip
    before = [one for one in candidates if one.number in readable and one.number < snapshot.number]
    why = repository.lost.what if repository.lost else "it was forgotten a moment ago"
    hint = "run 'snapfs check', and 'snapfs repair' if it says so"
    if before:
        hint += f"; the newest before it that can be read is {before[-1].short_id}"
    return DamagedError(f"snapshot {snapshot.short_id} cannot be read: {why}", hint=hint)


def find_entry(tree: Tree, snapshot: Snapshot, path: bytes) -> Entry:
    """What stands at a path. Raises PathNotFoundError, which names a link that is in the way."""
    entry = tree.resolve(snapshot.anchor, snapshot.number, path)
    if entry is None:
        raise PathNotFoundError(
            f"snapshot {snapshot.short_id} has nothing at {os.fsdecode(path)}",
            hint=_link_on_the_way(tree, snapshot, path),
        )
    return entry


def _link_on_the_way(tree: Tree, snapshot: Snapshot, path: bytes) -> str:
    while path != b"/":
        path = path.rpartition(b"/")[0] or b"/"
        entry = tree.resolve(snapshot.anchor, snapshot.number, path)
        if entry is not None and entry.node.attributes.is_symlink:
            target = os.fsdecode(entry.node.attributes.target)
            return f"{os.fsdecode(path)} is a symbolic link to {target}"
    return f"'snapfs ls {snapshot.short_id}:PATH' shows what there is"
