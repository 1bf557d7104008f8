"""A story of several hosts on one repository, beside a plain model of what it must look like."""

import os
import stat
from dataclasses import dataclass, field, replace

from snapfs.formats import objects, packs
from snapfs.formats.parts import BlockPart, MoveRow
from snapfs.formats.records import Condemn, Delete, Gone, New
from snapfs.metadata.database import Database
from snapfs.model.identity import Commit, PackName
from snapfs.repository.reader import ContentReader
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS, Builder, Thing, file, folder
from tests.repository.machines import publish

Shape = dict[bytes, "bytes | Shape"]
"names of a directory: a file's content, or a directory"

_KEPT = {
    "node": "SELECT * FROM node",
    "directory": "SELECT * FROM directory",
    "block": "SELECT number, key, length FROM block",
    "segment": "SELECT * FROM segment",
    "pack": "SELECT * FROM pack",
    "list": "SELECT * FROM list",
    "source": "SELECT number, host, name FROM source",
}
"what a number means, once it was given"


@dataclass
class History:
    """What was done, and what every commit's tree is."""

    machines: list[Repository]
    trees: dict[Commit, dict[bytes, bytes | None]] = field(default_factory=dict)
    "by commit: a file's content, None for a directory, by path"
    forgotten: set[Commit] = field(default_factory=set)
    condemned: list[bytes] = field(default_factory=list)
    deleting: list[bytes] = field(default_factory=list)
    builders: dict[str, Builder] = field(default_factory=dict)
    meanings: dict[tuple[str, int], tuple] = field(default_factory=dict)

    async def commit(self, machine: int, source: str, shape: Shape, complete: bool) -> None:
        builder = self._builder(machine, source)
        things = dict(_things(b"", shape))
        number = await builder.commit(things, complete=complete)
        tree = {path: _content(thing) for path, thing in things.items()}
        self.trees[number] = {b"/": None, **tree}

    async def forget(self, machine: int, source: str, which: int) -> None:
        builder = self._builder(machine, source)
        own = await self._commits(machine, source)
        if not own:
            return
        number = own[which % len(own)]
        await builder.forget(number)
        self.forgotten.add(number)
        await self.machines[machine].log.catch_up()
        held = self.machines[machine].snapshots.source("web", source)
        assert held is not None
        if held.head != builder.head:  # it begins anew
            builder.head, builder.tree, builder.known_directories = held.head, {}, set()

    async def recall(self, machine: int, source: str) -> None:
        own = await self._commits(machine, source)
        numbers = [number for number in own if number in self.forgotten]
        if numbers:
            await self._builder(machine, source).recall(*numbers)
            self.forgotten -= set(numbers)

    async def waste(self, machine: int) -> None:
        """Take numbers that no row ever gets."""
        new = New(packs=1, segments=2, blocks=3)
        await publish(self.machines[machine], Condemn((), new, (), ()))

    async def repack(self, machine: int, which: int) -> None:
        """Copy all blocks of a pack to a new one, and condemn it."""
        repository = self.machines[machine]
        await repository.catch_up()
        names = [
            name for (name,) in repository.db.rows("SELECT name FROM pack ORDER BY number")
            if name not in (*self.condemned, *self.deleting)
            and objects.pack(name) in _objects(repository)
        ]  # fmt: skip
        if not names:
            return
        name = names[which % len(names)]
        row, segments, moves = _repacked(repository, name)
        await repository.store.put(objects.pack(row.name), segments)
        part = BlockPart((row,), moves)
        ref = await repository.parts.upload(part, (0, 0, 0))
        blocks = sum(len(segment.lengths) for segment in row.segments)
        new = New(packs=1, segments=len(row.segments), blocks=blocks)
        await publish(repository, Condemn((name,), new, (ref,), (row.name,)))
        self.condemned.append(name)

    async def delete(self, machine: int) -> None:
        """Go on with what is condemned: announce that it goes, or let it go."""
        repository = self.machines[machine]
        if self.condemned:
            await publish(repository, Delete((self.condemned[0],)))
            self.deleting.append(self.condemned.pop(0))
        elif self.deleting:
            name = self.deleting.pop(0)
            await repository.store.delete(objects.pack(name))
            await publish(repository, Gone((name,)))

    async def look(self, machine: int, sources: list[str]) -> None:
        """Catch up with some sources only."""
        repository = self.machines[machine]
        await repository.log.catch_up()
        found = [repository.snapshots.source("web", source) for source in sources]
        await repository.catch_up([source.number for source in found if source])

    def check_numbers(self, machine: int) -> None:
        """Fails where a number means something else than it once did, on whatever machine."""
        for table, sql in _KEPT.items():
            for row in self.machines[machine].db.rows(sql):
                known = self.meanings.setdefault((table, row[0]), row)
                assert known == row, f"{table} {row[0]} was given twice"

    async def _commits(self, machine: int, source: str) -> list[Commit]:
        repository = self.machines[machine]
        await repository.log.catch_up()
        held = repository.snapshots.source("web", source)
        return [number for number, _, _ in repository.snapshots.times(held.number)] if held else []

    def _builder(self, machine: int, source: str) -> Builder:
        builder = self.builders.setdefault(source, Builder(self.machines[machine], source=source))
        builder.repository = self.machines[machine]
        return builder


async def tree_of(
    repository: Repository, reader: ContentReader, commit: Commit
) -> dict[bytes, bytes | None]:
    """What the tree of a commit holds."""
    root = repository.tree.root(commit)
    assert root is not None
    assert root.child is not None
    found: dict[bytes, bytes | None] = {b"/": None}
    todo = [(b"", root.child)]
    while todo:
        path, directory = todo.pop()
        for entry in repository.tree.entries(directory, commit):
            name = path + b"/" + entry.name
            if entry.child is not None:
                assert stat.S_ISDIR(entry.node.attributes.mode)
                found[name] = None
                todo.append((name, entry.child))
            else:
                size = entry.node.attributes.size
                found[name] = await reader.open(entry.node.content()).read(0, size + 1)
    return found


def check_intervals(db: Database) -> None:
    """Fails where versions of a name overlap, are empty, or two of them are open."""
    last: dict[tuple[int, bytes], int] = {}
    for directory, name, first, end in db.rows(
        "SELECT directory, name, first, last FROM entry ORDER BY directory, name, first"
    ):
        assert first < end
        assert first >= last.get((directory, name), 0)
        last[directory, name] = end


def _objects(repository: Repository) -> dict[str, bytes]:
    assert isinstance(repository.store, MemoryStore)
    return repository.store.objects


def _repacked(
    repository: Repository, name: bytes
) -> tuple[packs.PackRow, bytes, tuple[MoveRow, ...]]:
    data = _objects(repository)[objects.pack(name)]
    old, opened = packs.read_whole(data, KEYS.repository, name, KEYS.epochs)
    offset, position = len(old.header), 0
    segments, moves = [], []
    for place, row in enumerate(old.segments):
        plain = packs.open_segment(opened, place, data[offset : offset + row.stored])
        offset += row.stored
        count = len(row.lengths)
        segments.append(packs.pack_segment(plain, row.keys, row.lengths, 1))
        positions = tuple(range(position, position + count))
        moves.append(MoveRow(name, place, tuple(range(count)), positions))
        position += count
    fresh = PackName(os.urandom(16))
    row, built = packs.build(fresh, segments, KEYS.repository, KEYS.epochs, os.urandom)
    return row, built, tuple(moves)


def _things(path: bytes, shape: Shape) -> list[tuple[bytes, Thing]]:
    found: list[tuple[bytes, Thing]] = []
    for name, held in shape.items():
        at = path + b"/" + name
        if isinstance(held, dict):
            found.append((at, replace(folder())))
            found.extend(_things(at, held))
        else:
            found.append((at, file(held)))
    return found


def _content(thing: Thing) -> bytes | None:
    return None if stat.S_ISDIR(thing.mode) else b"".join(map(bytes, thing.content))
