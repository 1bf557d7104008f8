"""Compression of one run of bytes: none or zstd, whichever is worth it.

The library is loaded at its first use: questions have none for it.
"""

import enum
import threading
from typing import TYPE_CHECKING

from snapfs.errors import FormatError
from snapfs.formats import limits

if TYPE_CHECKING:
    import zstandard

DEFAULT_LEVEL = 3


class _OfThread(threading.local):
    """A compressor for each thread: none may be used by two at once, and a new one for each
    segment means more than a megabyte that the kernel clears and takes back again."""

    level: int | None = None
    compressor: "zstandard.ZstdCompressor"


_mine = _OfThread()


class Codec(enum.IntEnum):
    """How bytes were packed before they were sealed."""

    NONE = 0
    ZSTD = 1


def compress(plain: bytes, level: int) -> tuple[Codec, bytes]:
    """Pack `plain` by zstd at `level`; what shrinks by less than a 32nd is left as it is.

    Reading back plain bytes is faster, and a 32nd is not worth a decompression on each read.
    """
    if _mine.level != level:
        import zstandard

        _mine.compressor, _mine.level = zstandard.ZstdCompressor(level=level), level
    packed = _mine.compressor.compress(plain)
    if len(packed) > len(plain) - len(plain) // 32:
        return Codec.NONE, plain
    # The library only calls its result shorter: it keeps the memory of the longest that could be.
    return Codec.ZSTD, bytes(memoryview(packed))


def decompress(codec: int, packed: bytes | memoryview, plain_length: int) -> bytes:
    """Undo `compress`. The caller has checked `plain_length` against a limit.

    Raises FormatError where the bytes do not unpack to exactly that length.
    """
    if codec == Codec.NONE:
        plain = bytes(packed)
    elif codec == Codec.ZSTD:
        plain = _unzstd(packed, plain_length)
    else:
        raise FormatError(f"packed by an unknown method ({codec})")
    if len(plain) != plain_length:
        raise FormatError(f"unpacks to {len(plain)} bytes instead of {plain_length}")
    return plain


def _unzstd(packed: bytes | memoryview, plain_length: int) -> bytes:
    import zstandard

    try:
        # The frame states its size itself, and the library would allocate by that statement.
        frame = zstandard.get_frame_parameters(packed)
        if frame.content_size != plain_length or frame.window_size > limits.WINDOW:
            raise FormatError("a compressed frame states another size than its section")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise FormatError(f"does not decompress: {error}") from error
