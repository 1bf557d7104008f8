"""Sources with a past, beside a plain model of it: for each snapshot a dict of what it shows."""

import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import trio
from hypothesis import settings
from hypothesis import strategies as st

from snapfs.metadata import sweep
from snapfs.metadata.moments import Moments
from snapfs.model.identity import Commit
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, Thing, built, file, folder, link

SOURCES = ("home", "root")
BLOCK = 64
"plain bytes of a block"
Shown = dict[bytes, Thing]
"what a snapshot shows, by path; the root too"

_names = st.sampled_from([b"a", b"a-", b"b.txt", b"\xff", b"B.TXT"])
_files = st.builds(
    file,
    st.sampled_from([b"", b"1", b"2", b"3" * 70, b"3" * 64 + b"4"]),
    mode=st.sampled_from([0o644, 0o600]),
    uid=st.sampled_from([0, 1000]),
    mtime_ns=st.sampled_from([5 * 10**9, 5 * 10**9 + 1, -1]),
)
_links = st.builds(link, st.sampled_from([b"a", b"nowhere"]))
_inner = st.dictionaries(_names, _files | _links, max_size=3)
_deep = st.dictionaries(_names, _inner, max_size=2)
_shapes = st.dictionaries(_names, _files | _links | _inner | _deep, max_size=4)
_edits = st.dictionaries(_names, st.none() | _files | _inner, max_size=2)
connections = st.sampled_from([1, 2])
"that make passes over all entries"
quickly = settings(max_examples=40, database=None)
_source = st.sampled_from(SOURCES)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), _source, _shapes),
        st.tuples(st.just("edit"), _source, _edits),
        st.tuples(st.just("edit"), _source, _edits),
        st.tuples(st.just("progress"), _source, _shapes),
        st.tuples(st.just("forget"), _source, st.integers(0, 9)),
        st.tuples(st.just("recall"), _source, st.integers(0, 9)),
    ),
    min_size=1,
    max_size=9,
)


@dataclass
class Past:
    """What was committed to a repository."""

    repository: Repository
    builders: dict[str, Builder] = field(default_factory=dict)
    snapshots: dict[Commit, Shown] = field(default_factory=dict)
    "of complete ones, also of those that are forgotten"
    source_of: dict[Commit, str] = field(default_factory=dict)
    forgotten: set[Commit] = field(default_factory=set)
    shapes: dict[str, Mapping] = field(default_factory=dict)
    "of each source's last complete snapshot"

    def shown(self, source: str) -> dict[Commit, Shown]:
        """The snapshots of a source that count, in order."""
        return {
            number: tree
            for number, tree in self.snapshots.items()
            if self.source_of[number] == source and number not in self.forgotten
        }

    def number(self, source: str) -> int:
        """The number of a source; 0 where it has never been."""
        found = self.repository.snapshots.source("web", source)
        return found.number if found else 0

    def moments(self) -> Moments:
        return Moments(
            self.repository.db, [one.number for one in self.repository.snapshots.sources()]
        )

    def _builder(self, source: str) -> Builder:
        made = Builder(self.repository, source=source, block_size=BLOCK)
        return self.builders.setdefault(source, made)

    async def commit(self, source: str, shape: Mapping, *, complete: bool = True) -> None:
        builder = self._builder(source)
        things = _flat(b"", shape)
        number = await builder.commit(things, complete=complete)
        if complete:
            self.snapshots[number] = {b"/": folder(), **things}
            self.source_of[number] = source
            self.shapes[source] = shape

    async def edit(self, source: str, edits: Mapping) -> None:
        """Commit the last complete shape with some names changed; None takes one away."""
        shape = {**self.shapes.get(source, {}), **edits}
        await self.commit(source, {name: held for name, held in shape.items() if held is not None})

    async def progress(self, source: str, shape: Mapping) -> None:
        await self.commit(source, shape, complete=False)

    async def linked(self, source: str, things: Shown) -> None:
        """Commit things by path; one under several paths is one file with several names."""
        builder = self._builder(source)
        self.snapshots[number := await builder.commit(things)] = things
        self.source_of[number] = source

    async def forget(self, source: str, which: int) -> None:
        numbers = list(self.shown(source))
        if not numbers:
            return
        number = numbers[which % len(numbers)]
        builder = self.builders[source]
        await builder.forget(number)
        self.forgotten.add(number)
        await self.repository.catch_up_all()
        held = self.repository.snapshots.source("web", source)
        assert held is not None
        if held.head != builder.head:  # it begins anew
            builder.head, builder.tree, builder.known_directories = held.head, {}, set()

    async def recall(self, source: str, which: int) -> None:
        numbers = sorted(one for one in self.forgotten if self.source_of[one] == source)
        if numbers:
            await self.builders[source].recall(numbers[which % len(numbers)])
            self.forgotten.discard(numbers[which % len(numbers)])


def tell(story: list[tuple], check: Callable[[Past], None], *, connections: int = 1) -> None:
    """Make the past of a story, and check what is then said of it, by so many connections."""

    async def told() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with built(MemoryStore(), Path(directory)) as repository:
                past = Past(repository)
                for verb, *rest in story:
                    await getattr(past, verb)(*rest)
                await repository.catch_up_all()
                # Views as small as this would have all their passes made by one connection.
                with patch.object(sweep, "_worthwhile", lambda _: connections):
                    check(past)

    trio.run(told)


def type_of(thing: Thing) -> int:
    return stat.S_IFMT(thing.mode)


def differing(before: Thing, after: Thing) -> set[str]:
    """What differs between two things, in the words of `Aspect`."""
    same_type = type_of(before) == type_of(after)
    found = {
        "type": not same_type,
        "content": same_type and (before.content, before.target) != (after.content, after.target),
        "mode": stat.S_IMODE(before.mode) != stat.S_IMODE(after.mode),
        "owner": (before.uid, before.gid) != (after.uid, after.gid),
        "time": before.mtime_ns != after.mtime_ns,
    }
    return {name for name, differs in found.items() if differs}


def _flat(path: bytes, shape: Mapping) -> Shown:
    found: Shown = {}
    for name, held in shape.items():
        at = path + b"/" + name
        if isinstance(held, Thing):
            found[at] = replace(held)
        else:
            found[at] = folder()
            found.update(_flat(at, held))
    return found
