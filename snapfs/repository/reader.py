"""Reading contents: offset → extents → blocks → segments → bytes, each block checked on its way."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from snapfs.errors import DamagedError, FormatError, ObjectNotFoundError
from snapfs.formats import packs
from snapfs.metadata.blockindex import BlockIndex, Place
from snapfs.metadata.tree import Tree
from snapfs.model.content import Content, Hole, Layout, Listed, Slice, Stored
from snapfs.repository.neighbours import Neighbours
from snapfs.repository.segmentcache import PlainSegment
from snapfs.repository.segments import SegmentFetcher, Wanted

_WINDOW_FIRST = 1 * 1024 * 1024
_WINDOW_LARGEST = 16 * 1024 * 1024
"plain bytes that are fetched ahead of a sequential reader; doubles from the first"


Piece = bytes | memoryview
T = TypeVar("T")


class _Located(msgspec.Struct, frozen=True):
    """A run of bytes within a block, and where the block lies."""

    place: Place
    start: int
    length: int


class ContentReader:
    """Reads contents of one repository; made once, used by all readers."""

    def __init__(
        self, tree: Tree, blocks: BlockIndex, fetcher: SegmentFetcher, block_id_key: bytes,
        refresh: Callable[[], Awaitable[object]],
    ) -> None:  # fmt: skip
        self._tree = tree
        self._blocks = blocks
        self._fetcher = fetcher
        self._neighbours = Neighbours(blocks, fetcher)
        self._block_id_key = block_id_key
        self._refresh = refresh
        # What is fetched ahead has to be there when it is read.
        self.window = min(_WINDOW_LARGEST, fetcher.memory_bytes // 2)
        "plain bytes that a sequential reader is kept ahead at most"

    def open(self, content: Content) -> "OpenContent":
        """A content to be read from."""
        return OpenContent(self, Layout(content))

    async def read(self, layout: Layout, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer only at the end of the content.

        Raises DamagedError where a block is lost or damaged, StoreError.
        """
        return joined(await self.read_pieces(layout, offset, length))

    async def read_pieces(self, layout: Layout, offset: int, length: int) -> list[Piece]:
        """As `read`, but a piece for each extent, and no byte is copied.

        Pieces hold the memory of their whole segments.
        """
        return await self._patiently(lambda: self._read(layout, offset, length))

    async def read_blocks(self, blocks: Sequence[Stored]) -> list[bytes]:
        """The bytes of each of many blocks: of whole files, which are small.

        Segments that lie side by side come in one request. Raises as `read`.
        """
        return await self._patiently(lambda: self._read_blocks(blocks))

    def at_hand(self, layout: Layout, offset: int, length: int) -> list[Piece] | None:
        """What `read` would give, in pieces, if all of it is in memory; else None.

        Raises DamagedError.
        """
        pieces: list[Piece] = []
        for item in self._locate(layout, offset, length):
            if isinstance(item, int):
                pieces.append(bytes(item))
                continue
            segment = self._fetcher.cached(item.place.segment)
            if segment is None:
                return None
            try:
                pieces.append(self._view(segment, item))
            except FormatError as error:
                raise _damaged(str(error)) from error
        return pieces

    def prefetch(self, layout: Layout, offset: int, length: int) -> None:
        """Begin to fetch what a reader will want; failures wait for that reader."""
        try:
            self._start(self._locate(layout, offset, length))
        except DamagedError:
            return

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        try:
            return await read()
        except ObjectNotFoundError:
            # The pack may have been repacked since we last looked at the log.
            await self._refresh()
        except FormatError as error:
            raise _damaged(str(error)) from error
        try:
            return await read()
        except (ObjectNotFoundError, FormatError) as error:
            raise _damaged(str(error)) from error

    async def _read_blocks(self, blocks: Sequence[Stored]) -> list[bytes]:
        # As `_read`, without the objects for each block that only ranges need.
        places = self._blocks.places({block.number for block in blocks})
        segments = {place.segment: place for place in places.values()}
        self._fetcher.start(self._wanted(place) for place in segments.values())
        found: list[bytes] = []
        for block in blocks:
            place = places.get(block.number)
            if place is None or place.length != block.length:
                raise _damaged(f"block {block.number} is not in the local database as it was")
            segment = self._fetcher.cached(place.segment)
            if segment is None:
                segment = await self._fetcher.get(self._wanted(place))
            self._verify(segment, place)
            # A copy: a view would hold all of the segment.
            found.append(segment.data[place.offset : place.offset + place.length])
        return found

    async def _read(self, layout: Layout, offset: int, length: int) -> list[Piece]:
        located = self._locate(layout, offset, length)
        if len(located) > 1:
            self._start(located)
        else:
            self._follow(layout, located)
        return [await self._piece(item) for item in located]

    def _start(self, located: "list[_Located | int]") -> None:
        """Begin to fetch the segments of these blocks: often many blocks lie in one."""
        places = {item.place.segment: item.place for item in located if isinstance(item, _Located)}
        self._fetcher.start(self._wanted(place) for place in places.values())

    def _follow(self, layout: Layout, located: "list[_Located | int]") -> None:
        """Look further where the content is one block: the next small file is not far."""
        for item in located:
            if isinstance(item, _Located) and item.place.length == layout.length:
                self._neighbours.follow(item.place.segment)

    async def _piece(self, item: "_Located | int") -> Piece:
        if isinstance(item, int):
            return bytes(item)
        place = item.place
        segment = self._fetcher.cached(place.segment)
        if segment is None:
            segment = await self._fetcher.get(self._wanted(place))
        return self._view(segment, item)

    def _view(self, segment: PlainSegment, item: "_Located") -> memoryview:
        """A part of a segment, its block checked; no byte is copied."""
        self._verify(segment, item.place)
        begin = item.place.offset + item.start
        return memoryview(segment.data)[begin : begin + item.length]

    def _verify(self, segment: PlainSegment, place: Place) -> None:
        if place.offset in segment.verified:
            return
        view = memoryview(segment.data)[place.offset : place.offset + place.length]
        if packs.block_key(view, self._block_id_key) != place.key:
            raise FormatError(f"block {place.key.hex()[:16]} does not match its id")
        segment.verified.add(place.offset)

    def _locate(self, layout: Layout, offset: int, length: int) -> "list[_Located | int]":
        """Blocks, and lengths of runs of zeros, that make up a range."""
        pieces = list(layout.slices(offset, length))
        stored = {piece.extent.number for piece in pieces if isinstance(piece.extent, Stored)}
        places = self._blocks.places(stored) if stored else {}
        found: list[_Located | int] = []
        for piece in pieces:
            self._locate_slice(piece, places, found)
        return found

    def _locate_slice(
        self, piece: Slice, places: dict[int, Place], found: "list[_Located | int]"
    ) -> None:
        match piece.extent:
            case Hole():
                found.append(piece.length)
            case Stored(number=number):
                place = places.get(number)
                if place is None:
                    raise _damaged(f"block {number} is not in the local database")
                found.append(_Located(place, piece.start, piece.length))
            case Listed() as listed:
                inner = Layout(self._tree.listed(listed))
                if inner.length != listed.length:
                    raise _damaged(f"list {listed.number} is not in the local database as it was")
                found.extend(self._locate(inner, piece.start, piece.length))

    def _wanted(self, place: Place) -> Wanted:
        segment = self._blocks.segment(place.segment)
        if segment is None:
            raise _damaged(f"segment {place.segment} is not in the local database")
        return Wanted(place.segment, segment)


class OpenContent:
    """One reader's view of a content; fetches ahead while it is read in sequence."""

    def __init__(self, reader: ContentReader, layout: Layout) -> None:
        self._reader = reader
        self._layout = layout
        self._next = 0
        self._ahead = 0
        "up to where fetching has begun"
        self._window = min(_WINDOW_FIRST, self._reader.window)

    async def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer only at the end. Raises as `ContentReader.read`."""
        return joined(await self.read_pieces(offset, length))

    async def read_pieces(self, offset: int, length: int) -> list[Piece]:
        """As `read`, in pieces of which none is copied."""
        self._follow(offset, length)
        return await self._reader.read_pieces(self._layout, offset, length)

    def at_hand(self, offset: int, length: int) -> list[Piece] | None:
        """What `read_pieces` would give, if it is in memory; else None: then read them."""
        pieces = self._reader.at_hand(self._layout, offset, length)
        if pieces is not None:
            self._follow(offset, length)
        return pieces

    def _follow(self, offset: int, length: int) -> None:
        """See whether it is read in sequence, and fetch ahead if so."""
        if offset == self._next:
            self._fetch_ahead(offset + length)
        else:
            self._window, self._ahead = min(_WINDOW_FIRST, self._reader.window), 0
        self._next = offset + length

    def _fetch_ahead(self, position: int) -> None:
        """Keep between half a window and a whole one on its way."""
        if position >= self._layout.length or self._ahead - position > self._window // 2:
            return
        begin = max(position, self._ahead)
        end = position + self._window
        self._reader.prefetch(self._layout, begin, end - begin)
        self._ahead = end
        self._window = min(2 * self._window, self._reader.window)


def joined(pieces: list[Piece]) -> bytes:
    """The bytes of all pieces, apart from their segments."""
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


def _damaged(detail: str) -> DamagedError:
    return DamagedError(
        f"content is lost or damaged: {detail}",
        hint="run 'snapfs check' to see what else is, and 'snapfs repair'",
    )
