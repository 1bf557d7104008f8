"""Parts between store and replica: uploading a delta's, fetching a stream's."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import trio

from snapfs.errors import DamagedError, FormatError, ObjectNotFoundError, SnapfsError
from snapfs.formats import bases, objects, parts
from snapfs.formats.bases import BasePart, BlockBase, EntryBase
from snapfs.formats.parts import BlockPart, EntryPart, PartRef
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import AnyPart, Piece, Replica
from snapfs.repository.kept import Kept
from snapfs.repository.keys import Keys
from snapfs.repository.log import Log
from snapfs.repository.parallel import gather
from snapfs.stores.base import Store

_AT_ONCE = 8
"parts that are fetched at once"
_BYTES_AT_ONCE = 160 * 1024
"""of these, as they are stored: of the longest that we write three, of those of a day's work all.
As objects in memory, names and nodes take a hundred times what they take in the store."""
_OWN_KEPT = 100 * 1024
"bytes of own parts, as they are stored, that need not be fetched again"


class Parts:
    """The parts of one repository."""

    def __init__(
        self, store: Store, keys: Keys, replica: Replica, *,
        random_bytes: Callable[[int], bytes], kept: Kept | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._keys = keys
        self._replica = replica
        self._random = random_bytes
        self._kept = kept
        self._own: dict[bytes, _Opened] = {}
        "uploaded by this process and not yet applied; the first of them are the first wanted"
        self._lock = trio.Lock()

    async def upload(self, part: BlockPart | EntryPart, first: tuple[int, int, int]) -> PartRef:
        """Make a part durable in the store; its reference for the record that will name it.

        Raises FormatError for one that no program could read: it would end its stream for all.
        """
        name = self._random(16)
        data = await self._seal(part, name)
        ref = PartRef(name, len(data), parts.digest(data), first)
        await trio.to_thread.run_sync(self._check_readable, part, ref, data)
        await self._store.put(objects.part(name), data)
        if len(data) + sum(len(own.data) for own in self._own.values()) <= _OWN_KEPT:
            self._own[name] = _Opened(part, data)
        return ref

    def _check_readable(self, part: BlockPart | EntryPart, ref: PartRef, data: bytes) -> None:
        decode: Callable[..., AnyPart] = (
            parts.decode_blocks if isinstance(part, BlockPart) else parts.decode_entries
        )
        try:
            decode(data, ref, self._keys.repository, self._keys.epochs)
        except FormatError as error:
            raise FormatError(
                f"a part is not stored, as nobody could read it: {error}",
                hint="the repository is as it was; please report this",
            ) from error

    async def upload_base(self, part: BasePart) -> PartRef:
        """Make a base part durable in the store; its reference for the base that will name it."""
        name = self._random(16)
        data = await self._seal(part, name)
        await self._store.put(objects.part(name), data)
        if self._kept is not None:
            # Now or never: who has come further than the base does not read its parts.
            await self._kept.keep({objects.part(name): data})
        return PartRef(name, len(data), parts.digest(data), (0, 0, 0))

    async def fetch_base(self, piece: Piece) -> BasePart:
        """The base part of a piece, as it lies in the store. Raises DamagedError, StoreError."""
        part = (await self._fetch(piece)).part
        assert isinstance(part, BlockBase | EntryBase)
        return part

    def drop_own(self) -> None:
        """Forget parts of a delta that was thrown away."""
        self._own.clear()

    async def catch_up(self, streams: Iterable[int]) -> None:
        """Apply what the known heads name for these streams; entries need the blocks before them.

        Raises DamagedError where a part is lost, damaged or contradicts its record; what comes
        before it is applied. StoreError, LocalError.
        """
        wanted = set(streams)
        async with self._lock:
            for stream in sorted(wanted | {BLOCKS}) if wanted else ():
                while pieces := await self._pending(stream):
                    await self._apply(pieces)

    async def catch_up_around(self, streams: Iterable[int]) -> None:
        """Apply what can be: a stream stands still where a part is lost, and the others go on.

        Entries come no further than blocks. Raises StoreError, LocalError.
        """
        async with self._lock:
            for stream in sorted({BLOCKS, *streams}):
                try:
                    while pieces := await self._pending(stream):
                        await self._apply(pieces)
                except DamagedError:
                    await trio.to_thread.run_sync(self._replica.stop, stream)

    async def _pending(self, stream: int) -> list[Piece]:
        pieces = await trio.to_thread.run_sync(self._replica.pending, stream, _AT_ONCE)
        ends = accumulate(piece.ref.size for piece in pieces)
        # One at least, however long.
        return pieces[: max(1, sum(end <= _BYTES_AT_ONCE for end in ends))]

    async def _apply(self, pieces: list[Piece]) -> None:
        fetched = await gather(partial(self._try_to_fetch, piece) for piece in pieces)
        for piece, opened in zip(pieces, fetched, strict=True):
            if isinstance(opened, DamagedError):
                raise opened
            if self._kept is not None:
                await self._kept.keep({objects.part(piece.ref.name): opened.data})
            try:
                await trio.to_thread.run_sync(self._replica.apply_piece, piece, opened.part)
            except FormatError as error:
                raise self._damaged(piece, error) from error
            self._own.pop(piece.ref.name, None)

    async def _try_to_fetch(self, piece: Piece) -> "_Opened | DamagedError":
        """Its part, or why it cannot be had: those before it are applied all the same."""
        try:
            return await self._fetch(piece)
        except DamagedError as error:
            return error

    async def _fetch(self, piece: Piece) -> "_Opened":
        own = self._own.get(piece.ref.name)
        if own is not None:
            return own
        try:
            data = await self._store.get(objects.part(piece.ref.name))
            part = await trio.to_thread.run_sync(decode_piece, data, piece, self._keys)
        except (ObjectNotFoundError, FormatError) as error:
            raise self._damaged(piece, error) from error
        return _Opened(part, data)

    async def _seal(self, part: AnyPart, name: bytes) -> bytes:
        encode: Callable[..., bytes] = (
            bases.encode_base if isinstance(part, BlockBase | EntryBase) else parts.encode_part
        )
        keys = self._keys
        return await trio.to_thread.run_sync(
            encode, part, name, keys.repository, keys.epochs, self._random
        )

    def _damaged(self, piece: Piece, error: SnapfsError) -> DamagedError:
        return DamagedError(
            f"{self._store.url}: a part of log record {piece.record} is lost or damaged: {error}",
            hint="run 'snapfs check', and 'snapfs repair' if it says so",
        )


class _Opened(NamedTuple):
    """A part, and the object that it is sealed in."""

    part: AnyPart
    data: bytes


def decode_piece(data: bytes, piece: Piece, keys: Keys) -> AnyPart:
    """The part in an object, as its record and stream say what it is. Raises FormatError."""
    decode: Callable[..., AnyPart]
    if piece.base:
        decode = bases.decode_block_base if piece.stream == BLOCKS else bases.decode_entry_base
    else:
        decode = parts.decode_blocks if piece.stream == BLOCKS else parts.decode_entries
    return decode(data, piece.ref, keys.repository, keys.epochs)


async def catch_up_parts(
    log: Log, parts: Parts, replica: Replica, streams: Callable[[], Iterable[int]]
) -> None:
    """Apply what the heads name for these streams, once these have been caught up with.

    A part may go while it is waited for, because a base has taken its place: then the stream begins
    with that. Raises as `Parts.catch_up` and `Log.catch_up`.
    """
    while True:
        known = replica.newest_base()
        try:
            await parts.catch_up(streams())
        except DamagedError:
            await log.catch_up()
            if replica.newest_base() == known:
                raise
        else:
            return
