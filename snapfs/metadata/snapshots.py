"""Questions about sources and snapshots."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from snapfs.formats.records import Head, Ingest, Lost, Summary
from snapfs.metadata.database import Database
from snapfs.model.identity import Attempt, Commit, DirectoryNumber, SourceNumber
from snapfs.model.snapshot import Counts, Snapshot, Source
from snapfs.model.taken import Taken

_decoder = msgspec.msgpack.Decoder(Head)
_SOURCE = "SELECT number, host, name, head, anchor FROM source"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which snapshots are asked for; None means all."""

    host: str | None = None
    name: str | None = None
    forgotten: bool = False
    "forgotten ones too"

    def takes(self, source: Source) -> bool:
        """Whether it asks for this source's."""
        return self.host in (None, source.host) and self.name in (None, source.name)

    def __str__(self) -> str:
        return f"{self.host or '*'}/{self.name or '*'}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A complete snapshot as a directory of the mount."""

    number: Commit
    source: SourceNumber
    time_ns: int
    shown: bool
    "nobody has forgotten it, and the entries of its source are applied as far as it needs"


_STANDING = (
    "SELECT s.number, s.source, s.time, s.forgotten IS NULL"
    " AND s.number < coalesce((SELECT record FROM cursor WHERE stream = s.source), 1)"
    " FROM snapshot s WHERE s.complete AND "
)


class Snapshots:
    """Look-ups in the tables of sources and snapshots."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def sources(self) -> list[Source]:
        """All sources, in order of host and name."""
        return [_source(*row) for row in self._db.rows(_SOURCE + " ORDER BY host, name")]

    def source(self, host: str, name: str) -> Source | None:
        """The source of this host and name."""
        row = self._db.row(_SOURCE + " WHERE host = ? AND name = ?", (host, name))
        return _source(*row) if row else None

    def source_by_number(self, number: int) -> Source | None:
        """The source of this number."""
        row = self._db.row(_SOURCE + " WHERE number = ?", (number,))
        return _source(*row) if row else None

    def stream(self, only: Filter = Filter()) -> Iterator[Snapshot]:  # a frozen value
        """Complete snapshots in order of the log."""
        sources = {source.number: source for source in self.sources()}
        wanted = [number for number, source in sources.items() if only.takes(source)]
        for number, source_number in self._db.stream(
            "SELECT number, source FROM snapshot WHERE complete"
            " AND (forgotten IS NULL OR ? AND number NOT IN (SELECT snapshot FROM lapsed))"
            " AND source IN (SELECT value FROM json_each(?))"
            " ORDER BY number",
            (int(only.forgotten), msgspec.json.encode(wanted).decode()),
        ):
            yield self._snapshot(Commit(number), sources[SourceNumber(source_number)])

    def forgotten(self, only: Filter = Filter()) -> list[Snapshot]:  # a frozen value
        """Those that were forgotten and can still be brought back, in order of the log."""
        with_others = Filter(only.host, only.name, forgotten=True)
        return [one for one in self.stream(with_others) if self.by_number(one.number) is None]

    def by_number(self, number: Commit) -> Snapshot | None:
        """The complete snapshot that this commit made, unless it is forgotten."""
        row = self._db.row(
            "SELECT source FROM snapshot WHERE number = ? AND complete AND forgotten IS NULL",
            (number,),
        )
        source = self.source_by_number(row[0]) if row else None
        return self._snapshot(number, source) if source else None

    def times(self, source: SourceNumber) -> list[tuple[Commit, int, bool]]:
        """Number, time and whether it is wanted, of each complete snapshot, in order of the log."""
        return [
            (Commit(number), time, forgotten is None)
            for number, time, forgotten in self._db.rows(
                "SELECT number, time, forgotten FROM snapshot WHERE source = ? AND complete"
                " ORDER BY number",
                (source,),
            )
        ]

    def standing(self, number: int) -> Standing | None:
        """How the complete snapshot of this number stands."""
        row = self._db.row(_STANDING + "s.number = ?", (number,))
        return _standing(*row) if row else None

    def standings(self, source: int) -> list[Standing]:
        """All complete snapshots of a source, forgotten ones too, in order of the log."""
        rows = self._db.rows(_STANDING + "s.source = ? ORDER BY s.number", (source,))
        return [_standing(*row) for row in rows]

    def standings_within(self, source: int, begin_ns: int, end_ns: int) -> list[Standing]:
        """Those of `standings` whose time is at least `begin_ns` and before `end_ns`."""
        rows = self._db.rows(
            _STANDING + "s.source = ? AND s.time >= ? AND s.time < ? ORDER BY s.number",
            (source, begin_ns, end_ns),
        )
        return [_standing(*row) for row in rows]

    def latest_standing(self, source: int) -> Standing | None:
        """The newest snapshot of a source that is shown, by the order of the log."""
        rows = self._db.stream(_STANDING + "s.source = ? ORDER BY s.number DESC", (source,))
        return next((found for row in rows if (found := _standing(*row)).shown), None)

    def anchor(self, number: Commit) -> DirectoryNumber | None:
        """The directory whose one entry is the root of this snapshot's tree."""
        row = self._db.row("SELECT anchor FROM snapshot WHERE number = ?", (number,))
        return DirectoryNumber(row[0]) if row else None

    def forgotten_since(self, record: int) -> list[Standing]:
        """Snapshots that records after this one have forgotten."""
        rows = self._db.rows(_STANDING + "s.forgotten > ? ORDER BY s.number", (record,))
        return [_standing(*row) for row in rows]

    def tagged(self, tag: str) -> list[Standing]:
        """Complete snapshots that have this tag, in order of the log."""
        rows = self._db.rows(
            _STANDING + "s.number IN (SELECT snapshot FROM tag WHERE name = ?) ORDER BY s.number",
            (tag,),
        )
        return [_standing(*row) for row in rows]

    def taken(self, source: int) -> list[Taken]:
        """The snapshots of a source that are shown, as names of times see them."""
        tags: dict[int, list[str]] = {}
        for number, tag in self._db.rows(
            "SELECT t.snapshot, t.name FROM tag t JOIN snapshot s ON s.number = t.snapshot"
            " WHERE s.source = ? ORDER BY t.name",
            (source,),
        ):
            tags.setdefault(number, []).append(tag)
        return [
            Taken(one.number, one.time_ns, tuple(tags.get(one.number, ())))
            for one in self.standings(source)
            if one.shown
        ]

    def newest_time(self) -> int | None:
        """The time of the last snapshot in the log, complete or not, in nanoseconds."""
        row = self._db.row("SELECT time FROM snapshot ORDER BY number DESC LIMIT 1")
        return int(row[0]) if row else None

    def latest(self, source: SourceNumber) -> Commit | None:
        """The newest complete snapshot of a source, by the order of the log."""
        row = self._db.row(
            "SELECT number FROM snapshot WHERE source = ? AND complete AND forgotten IS NULL"
            " ORDER BY number DESC LIMIT 1",
            (source,),
        )
        return Commit(row[0]) if row else None

    def owner_names(self, source: SourceNumber) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """Names of users and of groups as the source's host knew them, by id."""
        users: dict[int, bytes] = {}
        groups: dict[int, bytes] = {}
        for kind, number, name in self._db.rows(
            "SELECT kind, number, name FROM owner WHERE source = ?", (source,)
        ):
            (groups if kind else users)[number] = name
        return users, groups

    def _snapshot(self, number: Commit, source: Source) -> Snapshot:
        row = self._db.row(
            "SELECT l.head, s.anchor FROM log l JOIN snapshot s USING (number) WHERE number = ?",
            (number,),
        )
        assert row is not None
        head = _decoder.decode(row[0])
        body = head.body
        assert isinstance(body, Ingest | Lost)
        # What a stand-in does not know is for people only.
        paths, summary = (body.paths, body.summary) if isinstance(body, Ingest) else ((), Summary())
        tags = self._db.rows("SELECT name FROM tag WHERE snapshot = ? ORDER BY name", (number,))
        return Snapshot(
            number=number,
            anchor=DirectoryNumber(row[1]),
            id=Attempt(head.attempt),
            source=source,
            time_ns=body.time,
            tags=tuple(str(tag) for (tag,) in tags),
            paths=paths,
            counts=Counts(*(getattr(summary, name) for name in Counts.__slots__)),
        )


def _source(number: int, host: str, name: str, head: int, anchor: int) -> Source:
    return Source(SourceNumber(number), host, name, Commit(head), DirectoryNumber(anchor))


def _standing(number: int, source: int, time: int, shown: int) -> Standing:
    return Standing(Commit(number), SourceNumber(source), time, bool(shown))
