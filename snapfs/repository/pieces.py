"""Parts between store and replica: uploading a delta's, fetching a stream's."""

from collections.abc import Callable, Iterable
from functools import partial

import trio

from snapfs.errors import DamagedError, FormatError, ObjectNotFoundError, SnapfsError
from snapfs.formats import objects, parts
from snapfs.formats.parts import BlockPart, EntryPart, PartRef
from snapfs.metadata.replica import BLOCKS, Piece, Replica
from snapfs.repository.keys import Keys
from snapfs.repository.parallel import gather
from snapfs.stores.base import Store

_AT_ONCE = 8
"parts that are fetched at once; each is a megabyte at most as we write them"
_OWN_KEPT = 16
"parts that need not be fetched again; as objects in memory each takes some megabytes"


class Parts:
    """The parts of one repository."""

    def __init__(
        self, store: Store, keys: Keys, replica: Replica, *, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._keys = keys
        self._replica = replica
        self._random = random_bytes
        self._own: dict[bytes, BlockPart | EntryPart] = {}
        "uploaded by this process and not yet applied; the first of them are the first wanted"
        self._lock = trio.Lock()

    async def upload(self, part: BlockPart | EntryPart, first: tuple[int, int, int]) -> PartRef:
        """Make a part durable in the store; its reference for the record that will name it."""
        name = self._random(16)
        data = await trio.to_thread.run_sync(
            parts.encode_part, part, name, self._keys.repository, self._keys.epochs, self._random
        )
        await self._store.put(objects.part(name), data)
        if len(self._own) < _OWN_KEPT:
            self._own[name] = part
        return PartRef(name, len(data), parts.digest(data), first)

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

    async def _pending(self, stream: int) -> list[Piece]:
        return await trio.to_thread.run_sync(self._replica.pending, stream, _AT_ONCE)

    async def _apply(self, pieces: list[Piece]) -> None:
        fetched = await gather(partial(self._fetch, piece) for piece in pieces)
        for piece, part in zip(pieces, fetched, strict=True):
            try:
                await trio.to_thread.run_sync(self._replica.apply_piece, piece, part)
            except FormatError as error:
                raise self._damaged(piece, error) from error
            self._own.pop(piece.ref.name, None)

    async def _fetch(self, piece: Piece) -> BlockPart | EntryPart:
        own = self._own.get(piece.ref.name)
        if own is not None:
            return own
        decode = parts.decode_blocks if piece.stream == BLOCKS else parts.decode_entries
        try:
            data = await self._store.get(objects.part(piece.ref.name))
            return await trio.to_thread.run_sync(
                decode, data, piece.ref, self._keys.repository, self._keys.epochs
            )
        except (ObjectNotFoundError, FormatError) as error:
            raise self._damaged(piece, error) from error

    def _damaged(self, piece: Piece, error: SnapfsError) -> DamagedError:
        return DamagedError(
            f"{self._store.url}: a part of log record {piece.record} is lost or damaged: {error}",
            hint="run 'snapfs check', and 'snapfs repair' if it says so",
        )
