"""Repair: damaged packs. What they still hold, or others have of it, is copied to new packs.

A damaged pack is left behind with nothing in it but what is lost. Blocks are tried one by one, and
what cannot be read is looked for among the other copies of the same key. That of which there is no
sound copy is recorded as suspect.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from snapfs.errors import FormatError, ObjectNotFoundError
from snapfs.formats.codec import DEFAULT_LEVEL
from snapfs.formats.records import Mend
from snapfs.jobs.check.examination import DamagedPack, Examination
from snapfs.jobs.progress import Progress
from snapfs.jobs.repair.mending import publish
from snapfs.jobs.repair.report import RepairReport
from snapfs.metadata import need
from snapfs.metadata.bits import NumberSet
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.database import Database
from snapfs.model.identity import BlockKey
from snapfs.repository.copying import BlockCopier, StoredBlock
from snapfs.repository.moving import moves_of, suspects_of, upload_blocks
from snapfs.repository.repository import Repository
from snapfs.repository.segments import open_fetcher
from snapfs.repository.writer import open_writer

_CACHE = 64 * 1024 * 1024
_BATCH_BYTES = 1024**3
"plain bytes that are looked at before what was found is committed"
_BATCH_BLOCKS = 150_000
"blocks after which it is, too: they are held in memory"
_AHEAD = 16
"blocks whose segments are fetched ahead"
_HELD = (
    "SELECT s.pack, b.number, b.key, b.segment, b.offset, b.length"
    " FROM block b JOIN segment s ON s.number = b.segment ORDER BY b.number"
)


async def mend_packs(
    repository: Repository, examination: Examination, report: RepairReport, progress: Progress,
    host: str,
) -> None:  # fmt: skip
    """Save what can be saved of damaged packs, and record what cannot. Adds to the report.

    Raises StoreError where a store cannot be asked, DeltaVoidError; what was published until then
    holds, and another repair goes on.
    """
    index = BlockIndex(examination.replica.db)
    keys = repository.keys
    async with (
        open_fetcher(repository.store, keys, memory_bytes=_CACHE, disk=None) as fetcher,
        open_writer(repository.store, keys, repository.world, level=DEFAULT_LEVEL) as writer,
    ):
        copier = BlockCopier(index, fetcher, writer, keys.block_id)
        for blocks in batches(examination.replica.db, examination.damaged_packs()):
            found = await _Salvage(index, copier, progress).run(blocks)
            await _record(repository, index, found, host)
            report.saved += len(found.moved)
            report.saved_bytes += found.size
            report.doubted += len(found.suspects) + found.suspects_before


def batches(db: Database, packs: Sequence[DamagedPack]) -> Iterator[list[StoredBlock]]:
    """The blocks that lie in these packs, in order of number, in batches of bounded size.

    Of a pack that a record deletes only what is needed: the rest goes with it.
    """
    if not packs:
        return
    doomed = {pack.number: pack.doomed for pack in packs}
    needed = _needed(db) if any(doomed.values()) else NumberSet(0)
    batch: list[StoredBlock] = []
    size = 0
    for pack, *block in db.stream(_HELD):
        if pack not in doomed or (doomed[pack] and block[0] not in needed):
            continue
        batch.append(StoredBlock(*block))
        size += batch[-1].length
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_BLOCKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _needed(db: Database) -> NumberSet:
    needed = need.needed_blocks(db, need.wanted_commits(db))
    need.add_progress(db, needed)
    return needed


@dataclass(slots=True)
class _Salvage:
    """The blocks of one batch: what could be saved of them."""

    index: BlockIndex
    copier: BlockCopier
    progress: Progress
    moved: list[tuple[int, int]] = field(default_factory=list)
    "number, and position among the new blocks"
    suspects: list[int] = field(default_factory=list)
    "not known to be damaged before"
    suspects_before: int = 0
    size: int = 0
    "plain bytes of what could be saved"
    _failed: set[int] = field(default_factory=set)
    "segments that could not be had: they are asked for once"
    _lost: set[bytes] = field(default_factory=set)
    "keys of which there is no sound copy"

    async def run(self, blocks: list[StoredBlock]) -> "_Salvage":
        for at, block in enumerate(blocks):
            if at % _AHEAD == 0:
                ahead = blocks[at : at + 2 * _AHEAD]
                self.copier.start(each for each in ahead if each.segment not in self._failed)
            position = await self._position(block)
            if position is not None:
                self.moved.append((block.number, position))
                self.size += block.length
            elif self.index.is_suspect(block.number):
                self.suspects_before += 1
            else:
                self.suspects.append(block.number)
            self.progress.bytes += block.length
        return self

    async def _position(self, block: StoredBlock) -> int | None:
        """Where the block is stored anew; None where there is no sound copy of it."""
        position = self.copier.positions.get(block.key)
        if position is not None or block.key in self._lost:
            return position
        for copy in self._copies(block):
            plain = await self._read(copy)
            if plain is not None:
                return await self.copier.add(block.key, plain)
        self._lost.add(block.key)
        return None

    def _copies(self, block: StoredBlock) -> Iterator[StoredBlock]:
        yield block
        for number in self.index.copies(BlockKey(block.key)):
            place = self.index.place(number)
            if place is not None and (place.segment, place.offset) != (block.segment, block.offset):
                yield StoredBlock(number, place.key, place.segment, place.offset, place.length)

    async def _read(self, block: StoredBlock) -> bytes | None:
        if block.segment in self._failed:
            return None
        try:
            return await self.copier.read(block)
        except (FormatError, ObjectNotFoundError):
            if not self.copier.has(block.segment):
                self._failed.add(block.segment)
            return None


async def _record(repository: Repository, index: BlockIndex, found: _Salvage, host: str) -> None:
    """Publish what one batch came to. Packs are durable when flush returns, parts when upload does;
    only THEN the record says so."""
    rows = await found.copier.flush()
    if not (found.moved or found.suspects):
        return
    refs, new = await upload_blocks(
        repository.parts,
        rows,
        moves_of(index, found.moved),
        suspects_of(index, found.suspects),
    )
    await publish(repository, Mend(new, refs, tuple(row.name for row in rows)), host)
