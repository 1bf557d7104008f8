"""Compression of single runs of bytes."""

import random
import tracemalloc

import pytest

from snapfs.formats.codec import DEFAULT_LEVEL, Codec, compress, decompress

SIZE = 512 * 1024


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_what_is_packed_takes_the_memory_of_its_bytes(share: float) -> None:
    """A pack's segments wait for one another: at the library's own size they were 70 MiB."""
    random_bytes = int(SIZE * share)
    plain = random.Random(1).randbytes(random_bytes) + bytes(SIZE - random_bytes)
    compress(plain, DEFAULT_LEVEL)  # the thread has its compressor from here on
    tracemalloc.start()
    try:
        codec, packed = compress(plain, DEFAULT_LEVEL)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert codec is Codec.ZSTD
    assert held <= len(packed) + 1024
    assert decompress(codec, packed, SIZE) == plain
