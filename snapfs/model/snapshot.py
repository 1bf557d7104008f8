"""Sources and snapshots as values, and which snapshot a user means."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snapfs.errors import SnapshotNotFoundError
from snapfs.model import timenames, times
from snapfs.model.identity import Attempt, Commit, DirectoryNumber, SourceNumber
from snapfs.model.taken import Taken

_HEX = frozenset("0123456789abcdef")
SHORT = 8
_SHORTEST = 4
"letters of an id that are enough, where only one begins so"
_LISTED = "'snapfs snapshots' lists their ids, times and tags"
"letters of an id as it is shown"


@dataclass(frozen=True, slots=True)
class Source:
    """What one host captures under one name."""

    number: SourceNumber
    host: str
    name: str
    head: Commit
    anchor: DirectoryNumber

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"


@dataclass(frozen=True, slots=True)
class Counts:
    """What an ingest found and did."""

    new: int
    changed: int
    unchanged: int
    removed: int
    failed: int
    directories: int
    bytes_total: int
    bytes_read: int
    bytes_new: int
    bytes_stored: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete ingest."""

    number: Commit
    anchor: DirectoryNumber
    "directory whose one entry '/' is the root of its tree"
    id: Attempt
    source: Source
    time_ns: int
    tags: tuple[str, ...]
    paths: tuple[bytes, ...]
    counts: Counts

    @property
    def short_id(self) -> str:
        return self.id.hex()[:SHORT]


def directory_names(snapshots: Iterable[Snapshot]) -> list[tuple[str, Snapshot]]:
    """The name of each snapshot's directory in the mount; they are given in order of the log.

    The second of one second gets -2, and so on. Names do not change when others are forgotten
    later only as long as the earlier ones of the same second stay; so callers pass forgotten
    snapshots too and leave them out afterwards.
    """
    seen: dict[str, int] = {}
    named = []
    for snapshot in snapshots:
        name = times.directory_name(snapshot.time_ns)
        count = seen[name] = seen.get(name, 0) + 1
        named.append((name if count == 1 else f"{name}-{count}", snapshot))
    return named


def choose(snapshots: Sequence[Snapshot], text: str, now_ns: int) -> Snapshot:
    """The snapshot that `text` means: an id or a prefix of one, `latest`, a time, or a name with @.

    Those with @ are the names that it has in the mount, see `timenames`. `snapshots` are the
    candidates in order of the log. A time means the newest snapshot at or before it. Raises
    SnapshotNotFoundError, also where a prefix or a time is ambiguous.
    """
    if not snapshots:
        raise SnapshotNotFoundError(
            "there is no snapshot yet", hint="see 'snapfs snapshots'; make one with 'snapfs ingest'"
        )
    if text == "latest":
        return _one_source(snapshots, text)[-1]
    if text.startswith("@"):
        return _by_name(snapshots, text, now_ns)
    return by_id(snapshots, text) or _at_time(snapshots, text, now_ns)


def by_id(snapshots: Iterable[Snapshot], text: str) -> Snapshot | None:
    """The snapshot whose id begins so. Raises SnapshotNotFoundError where several do."""
    if len(text) < _SHORTEST or not set(text) <= _HEX:
        return None
    found = [snapshot for snapshot in snapshots if snapshot.id.hex().startswith(text)]
    if len(found) > 1:
        raise SnapshotNotFoundError(f"{len(found)} snapshots have ids that begin with {text}")
    return found[0] if found else None


def _by_name(snapshots: Sequence[Snapshot], text: str, now_ns: int) -> Snapshot:
    tag = timenames.tag(text)
    if tag is not None:
        snapshots = [snapshot for snapshot in snapshots if tag in snapshot.tags]
        if not snapshots:
            raise SnapshotNotFoundError(
                f"no snapshot has the tag '{tag}'", hint="'snapfs snapshots' lists their tags"
            )
    snapshots = _one_source(snapshots, text)
    taken = [Taken(each.number, each.time_ns, each.tags) for each in snapshots]
    number = timenames.resolve(text, now_ns, taken)
    for snapshot in snapshots:
        if snapshot.number == number:
            return snapshot
    raise SnapshotNotFoundError(f"no snapshot is {text}", hint=_LISTED)


def _at_time(snapshots: Sequence[Snapshot], text: str, now_ns: int) -> Snapshot:
    moment = timenames.moment(text, now_ns)
    if moment is None:
        is_path = text.startswith("/")
        hint = f"behind a snapshot comes a path: latest:{text}" if is_path else _LISTED
        raise SnapshotNotFoundError(_unknown(text), hint=hint)
    before = [snapshot for snapshot in snapshots if snapshot.time_ns <= moment]
    if not before:
        raise SnapshotNotFoundError(f"no snapshot is as old as {text}")
    return max(_one_source(before, text), key=lambda snapshot: (snapshot.time_ns, snapshot.number))


def _unknown(text: str) -> str:
    if text and set(text) <= _HEX and len(text) < _SHORTEST:
        return f"'{text}' is too short for an id: write {_SHORTEST} of its letters or more"
    if text[:1].isdigit() and "-" in text:
        return f"not a time, nor the id of a snapshot: '{text}'"
    return f"no snapshot is called '{text}'"


def _one_source(snapshots: Sequence[Snapshot], text: str) -> Sequence[Snapshot]:
    sources = sorted({str(snapshot.source) for snapshot in snapshots})
    if len(sources) > 1:
        raise SnapshotNotFoundError(
            f"'{text}' is ambiguous: there are the sources {', '.join(sources[:5])}"
            + (", …" if len(sources) > 5 else ""),
            hint="choose one with --host and --name",
        )
    return snapshots
