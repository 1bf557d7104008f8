"""Check: the parts. They are applied to the replay, stream by stream, as far as they are sound.

A stream ends at its first part that is lost, unless it can be made again. Parts behind that are
only compared with the hash that their record has of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import trio

from snapfs.errors import FormatError, NewerFormatError, ObjectNotFoundError, ViewDamagedError
from snapfs.formats import objects, parts, records
from snapfs.formats.parts import BlockPart, PartRef
from snapfs.jobs.check.chain import LogWalk
from snapfs.jobs.check.rebuild import rebuild_block_part
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata import standins
from snapfs.metadata.database import Row
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import AnyPart, Piece
from snapfs.metadata.superseded import named_until
from snapfs.model.identity import Commit
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.repository.pieces import decode_piece
from snapfs.stores.base import Store

Position: TypeAlias = tuple[int, int]
"a record, and a place among its parts of one stream"
_AT_ONCE = 8
"parts that are fetched at once"
_BLOCKS_HINT = "'snapfs repair' writes it again from the packs, which repeat what it says"
_ENTRIES_HINT = (
    "'snapfs repair' puts it back, on the host whose files they are; else bring it back from a copy"
    " of the storage"
)
_BASE_HINT = (
    "what it restates is there until the next one: 'snapfs repair' puts it back, or goes round it "
    "and puts another in its place"
)
_FAULTS = (FormatError, NewerFormatError, ViewDamagedError)


class Replay:
    """Fills the replay's rows. The heads are there."""

    def __init__(self, store: Store, keys: Keys, scratch: Scratch, walk: LogWalk) -> None:
        self._walk = walk
        self._store = store
        self._keys = keys
        self._scratch = scratch
        self._replica = scratch.replica
        self._stopped: dict[int, Piece] = {}
        self.parts = 0
        "that open"
        self.rebuilt: list[Piece] = []
        "block parts that are lost, and were made again from packs"

    @property
    def whole(self) -> bool:
        """Whether no stream has stopped."""
        return not self._stopped

    def stopped_at(self, stream: int) -> Piece | None:
        """The part of a stream that could not be applied, if there is one."""
        return self._stopped.get(stream)

    def streams(self) -> list[int]:
        """All streams; the blocks first, for entries refer to them."""
        rows = self._scratch.db.rows("SELECT number FROM source ORDER BY number")
        return [BLOCKS, *(int(number) for (number,) in rows)]

    async def run(self, ends: Mapping[int, Position] | None = None) -> None:
        """Apply the parts before these positions, or all. Raises StoreError, LocalError."""
        for stream in self.streams():
            end = (self._replica.tip().number + 1, 0) if ends is None else ends[stream]
            while await self._advance(stream, self._end(stream, end)):
                pass
            # Entries go no further than the blocks: what comes before their end is whole.
            await trio.to_thread.run_sync(self._replica.stop, stream)

    def unread(self) -> Iterator[tuple[int, Commit]]:
        """Sources whose entries could not all be applied, and the first record that lacks some."""
        for stream in self.streams()[1:]:
            record = self._replica.awaited(stream)
            if record is not None:
                yield stream, record

    async def verify_rest(self) -> None:
        """Compare what could not be applied with its hash, so that all damage is named at once."""
        self._pass_over_replaced()
        self._pass_over_restated()
        self._pass_over_given_up()
        while rows := self._scratch.db.rows(
            "SELECT name, id, record, size, hash FROM check_named"
            " WHERE NOT seen AND hash IS NOT NULL LIMIT ?",
            (_AT_ONCE,),
        ):
            await gather(partial(self._verify, *row) for row in rows)

    def _end(self, stream: int, end: Position) -> Position:
        """Entries of a record need its blocks."""
        stopped = self._stopped.get(BLOCKS)
        if stream != BLOCKS and stopped is not None:
            return min(end, (stopped.record, 0))
        return end

    async def _advance(self, stream: int, end: Position) -> bool:
        """Apply the next parts of a stream; false at its end."""
        if stream in self._stopped:
            return False
        pending = self._replica.pending(stream, _AT_ONCE)
        pieces = [piece for piece in pending if (piece.record, piece.index) < end]
        fetched = await gather(partial(self._fetch, piece) for piece in pieces)
        for piece, part in zip(pieces, fetched, strict=True):
            if part is None and stream == BLOCKS and not piece.base:
                part = await self._rebuild(piece)
            if part is None or not await trio.to_thread.run_sync(self._apply, piece, part):
                self._stopped[stream] = piece
                return False
        return bool(pieces)

    def _pass_over_replaced(self) -> None:
        """Parts that others replace are needed no more."""
        for record, index in self._scratch.db.rows("SELECT record, piece FROM mended"):
            refs = records.part_refs(self._replica.head(Commit(record)).body)[0]
            self._scratch.note_seen(refs[index].name)

    def _pass_over_restated(self) -> None:
        """Nor are those that a base takes the place of; a prune may have deleted them."""
        base = self._replica.newest_base()
        for ref in named_until(self._scratch.db, base.until) if base else ():
            self._scratch.note_seen(ref.name)

    def _pass_over_given_up(self) -> None:
        """Nor are those of commits that are none any more."""
        for ref in standins.given_up_parts(self._scratch.db):
            self._scratch.note_seen(ref.name)

    async def _rebuild(self, piece: Piece) -> BlockPart | None:
        body = self._replica.head(piece.record).body
        part = await rebuild_block_part(self._store, self._keys, body, piece.index)
        if part is not None:
            self.rebuilt.append(piece)
        return part

    async def _fetch(self, piece: Piece) -> AnyPart | None:
        try:
            return await self._open(piece)
        except (ObjectNotFoundError, FormatError, NewerFormatError) as error:
            fault = "is missing" if isinstance(error, ObjectNotFoundError) else error.what
        if piece.stream == BLOCKS:
            # The heads may be replayed up to a record before the one that replaces it.
            ref = (await self._walk.replacements()).get((piece.record, piece.index))
            if ref is not None:
                return await self._fetch_replacement(piece, ref)
        self._report(piece, fault)
        return None

    async def _fetch_replacement(self, piece: Piece, ref: PartRef) -> AnyPart | None:
        try:
            return await self._open(replace(piece, ref=ref))
        except (ObjectNotFoundError, FormatError, NewerFormatError):
            return None  # reported with the objects that records name

    async def _open(self, piece: Piece) -> AnyPart:
        data = await self._store.get(objects.part(piece.ref.name))
        part = await trio.to_thread.run_sync(decode_piece, data, piece, self._keys)
        self.parts += 1
        return part

    def _apply(self, piece: Piece, part: AnyPart) -> bool:
        try:
            self._replica.apply_piece(piece, part)
        except _FAULTS as error:
            self._report(piece, error.what)
            return False
        self._scratch.note_seen(piece.ref.name)
        return True

    def _report(self, piece: Piece, detail: str) -> None:
        self._scratch.note_seen(piece.ref.name)
        what = "base" if piece.base else "record"
        holds = "blocks" if piece.stream == BLOCKS else f"entries of {self._source(piece.stream)}"
        self._scratch.report(
            ProblemKind.BASE if piece.base else ProblemKind.PART,
            objects.part(piece.ref.name),
            f"{detail} ({holds} of {what} {piece.record})",
            _hint(piece),
        )

    def _source(self, stream: int) -> str:
        row: Row | None = self._scratch.db.row(
            "SELECT host || '/' || name FROM source WHERE number = ?", (stream,)
        )
        return str(row[0]) if row else "?"

    async def _verify(self, name: str, id_: bytes, record: Commit, size: int, hash_: bytes) -> None:
        try:
            data = await self._store.get(name)
        except ObjectNotFoundError:
            detail = "is missing"
        else:
            sound = len(data) == size and parts.digest(data) == hash_
            detail = "" if sound else "is not the object that its record names"
        self._scratch.note_seen(id_)
        if detail:
            text = f"{detail} (of record {record})"
            self._scratch.report(ProblemKind.PART, name, text, _ENTRIES_HINT)
        else:
            self.parts += 1


def _hint(piece: Piece) -> str:
    if piece.base:
        return _BASE_HINT
    return _BLOCKS_HINT if piece.stream == BLOCKS else _ENTRIES_HINT
