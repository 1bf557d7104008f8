"""Content-defined cutting: where a run of data is divided into blocks. Pure but for what it reads.

Cuts depend on the run's bytes, the seed and the chunker alone, never on how the bytes arrived. A
hole begins a new run, so that the data behind it is cut the same wherever it lies.
"""

from collections.abc import Iterator
from typing import Protocol

from pyfastcdc import FastCDC

from snapfs.errors import NewerFormatError
from snapfs.model.chunker import FASTCDC, STANDARD, Chunker

_SEED_LIMIT = 2**63
"pyfastcdc doubles the seed within 64 bits"


class Readable(Protocol):
    """A run of bytes, read once from its beginning."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the beginning of `buffer` and return how many bytes: 0 only at the end."""
        ...


class Cutter:
    """Cuts with one chunker and one seed. Not for use from two threads at once.

    The seed is a number from 1 to 2^63 - 1, from the ring. Raises ValueError for another seed, and
    NewerFormatError for a chunker that this program does not know.
    """

    def __init__(self, seed: int, chunker: Chunker = STANDARD) -> None:
        if not 0 < seed < _SEED_LIMIT:
            raise ValueError("the seed must be from 1 to 2^63 - 1")
        if chunker.name != FASTCDC:
            raise NewerFormatError(
                f"the repository cuts contents by {chunker.name!r}, unknown to this version",
                hint="use a newer snapfs",
            )
        self.chunker = chunker
        self._cdc = FastCDC(
            chunker.average,
            min_size=chunker.minimum,
            max_size=chunker.maximum,
            normalized_chunking=1,
            seed=seed,
        )

    def cut(self, data: bytes) -> Iterator[memoryview]:
        """The blocks of a run that is in memory, without copying.

        A block stays valid, and holds on to all of `data`, as long as it is referred to.
        """
        for chunk in self._cdc.cut_buf(data):
            yield chunk.data

    def cut_stream(self, run: Readable) -> Iterator[memoryview]:
        """The blocks of a run of any length, in a buffer of twice the largest block.

        A block is valid only until the next one is asked for: whoever keeps it copies it. The
        buffer costs about 0.3 ms to make: a run of up to its size is better read and `cut`.
        """
        for chunk in self._cdc.cut_stream(run):
            yield chunk.data
