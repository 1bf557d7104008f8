"""Bytes that claim to be huge: what a store that lies, or a writer gone mad, can offer."""

import resource
import sys
from collections.abc import Callable, Iterator

import msgspec
import zstandard

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import aead, bases, packs, parts, records, ring, seal, wire
from snapfs.formats.codec import Codec
from snapfs.formats.seal import Context, ObjectKind, Purpose
from tests.formats import samples
from tests.formats.samples import KEYS, REPOSITORY

CONTEXT = Context(REPOSITORY, ObjectKind.PART, "meta/00/00")
LIMIT = 1 << 20
HUGE = 0xFFFF_FFFF
ARRAYS = (b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff")
TYPES = (records.Head, ring.Ring, parts.EntryPart, parts.BlockPart, packs.PackRow, bases.BlockBase,
         bases.EntryBase)  # fmt: skip


def frame(size: int, window: int | None = None) -> bytes:
    """A zstd frame that states `size`, and a window of 2**`window`, with one byte behind it."""
    if window is None:
        head = b"\xe0" + size.to_bytes(8, "little")
    else:
        head = bytes([0xC0, (window - 10) << 3]) + size.to_bytes(8, "little")
    return b"\x28\xb5\x2f\xfd" + head + b"\x09\x00\x00x"


def bomb(size: int) -> bytes:
    """Zeros, at a thousandth of their size or less."""
    return zstandard.ZstdCompressor(level=1).compress(bytes(size))


def opener(method: int, data: bytes, plain_length: int) -> Callable[[], object]:
    """Opens a section that was sealed with these claims."""
    _, keys = seal.new_object(CONTEXT, (Purpose.NAMES,), KEYS, samples.draw("claims"))
    packed = (method, data, plain_length)
    sealed = seal.seal_section(keys, Purpose.NAMES, 0, packed, last=True)  # type: ignore[arg-type]
    return lambda: seal.open_section(keys, Purpose.NAMES, 0, sealed, last=True, limit=LIMIT)


def raw_opener(plain: bytes) -> Callable[[], object]:
    """Opens a section that holds these very bytes."""
    _, keys = seal.new_object(CONTEXT, (Purpose.NAMES,), KEYS, samples.draw("claims"))
    bound = seal._bind(CONTEXT, Purpose.NAMES, 0, True)
    sealed = aead.encrypt(keys.of(Purpose.NAMES), bytes(12), plain, bound)
    return lambda: seal.open_section(keys, Purpose.NAMES, 0, sealed, last=True, limit=LIMIT)


def cases() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each bad claim, and what reads it. All must be refused, cheaply."""
    yield "4 GiB plain", opener(Codec.NONE, b"x", HUGE)
    yield "4 GiB packed", raw_opener(b"\0\0\0\0\5" + HUGE.to_bytes(4, "big") + b"plain")
    for length in (0, 1, 8):
        yield f"a section of {length} bytes", raw_opener(bytes(length))
    yield "4 GiB by zstd", opener(Codec.ZSTD, frame(HUGE), HUGE)
    yield "a frame of 2**60", opener(Codec.ZSTD, frame(2**60), 100)
    yield "a frame of unknown size", opener(Codec.ZSTD, b"\x28\xb5\x2f\xfd\0\x58\x09\0\0x", 1)
    yield "as large as allowed, and empty", opener(Codec.ZSTD, frame(LIMIT), LIMIT)
    yield "one more than allowed", opener(Codec.ZSTD, frame(LIMIT + 1), LIMIT + 1)
    for window in (27, 31, 41):
        yield f"a window of 2**{window}", opener(Codec.ZSTD, frame(1, window), 1)
    packed_zeros = bomb(64 << 20)
    yield "zeros without end", opener(Codec.ZSTD, packed_zeros, 64 << 20)
    yield "zeros beyond what they state", opener(Codec.ZSTD, packed_zeros, LIMIT)
    trailing = zstandard.ZstdCompressor().compress(b"x" * 100)
    yield "a frame and more", opener(Codec.ZSTD, trailing + b"more", 100)
    yield "two frames", opener(Codec.ZSTD, trailing * 2, 200)
    yield "footer of 4 GiB", lambda: packs.footer_span(b"\xff" * 8, 1 << 40)
    yield "footer before its pack", lambda: packs.footer_span(b"\0\0\1\0" * 2, 100)
    for kind in TYPES:
        for array in ARRAYS:
            for before in (b"", b"\x92", b"\x81\xa6epochs", b"\x92\x91\x94\xc0"):
                yield (
                    f"{kind.__name__} of {(before + array).hex()}",
                    lambda data=before + array, kind=kind: wire.decode(  # type: ignore[misc]
                        msgspec.msgpack.Decoder(kind), data + bytes(1000), "x"
                    ),
                )
    yield (
        "nested arrays",
        lambda: wire.decode(msgspec.msgpack.Decoder(parts.EntryPart), b"\x91" * 1_000_000, "x"),
    )
    # What stands behind the known elements of a row is passed over, however deep it goes.
    deep = b"\x93\x90\x90" + b"\x91" * 1_000_000
    yield (
        "nesting that is passed over",
        lambda: wire.decode(msgspec.msgpack.Decoder(parts.BlockPart), deep, "x"),
    )


def main() -> None:
    """Read all of them with room for no more than 64 MiB above what is in use."""
    pending = list(cases())
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
    for name, read in pending:
        try:
            read()
        except (FormatError, NewerFormatError):
            continue
        sys.exit(f"{name}: was read")
    print(len(pending), "refused")


if __name__ == "__main__":
    main()
