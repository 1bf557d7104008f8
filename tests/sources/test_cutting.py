"""Cuts depend on the bytes alone, and blocks make up the run."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import NewerFormatError
from snapfs.model.chunker import FASTCDC, STANDARD, Chunker
from snapfs.sources.cutting import Cutter

TINY = Chunker(name=FASTCDC, minimum=64, average=256, maximum=1024)
GOLDEN = [633943, 558568, 212509, 802920, 589304, 256865, 337678, 509895, 292622]
"block sizes of 4 MiB from Random(4)"

runs = st.builds(
    lambda seed, size, pattern: random.Random(seed).randbytes(size) if seed else pattern * size,
    st.integers(0, 50),
    st.integers(0, 6000),
    st.binary(min_size=1, max_size=3),
)


@dataclass
class Fed:
    """A run that arrives in pieces of the given sizes, over and over."""

    data: bytes
    sizes: list[int]
    position: int = 0
    turn: int = 0

    def readinto(self, buffer: memoryview) -> int:
        size = min(self.sizes[self.turn % len(self.sizes)], len(buffer))
        piece = self.data[self.position : self.position + size]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        self.turn += 1
        return len(piece)


@given(runs, st.lists(st.integers(1, 3000), min_size=1, max_size=8), st.integers(1, 2**63 - 1))
def test_cuts_do_not_depend_on_how_the_bytes_arrive(
    data: bytes, sizes: list[int], seed: int
) -> None:
    cutter = Cutter(seed, TINY)
    whole = [bytes(block) for block in cutter.cut(data)]
    streamed = [bytes(block) for block in cutter.cut_stream(Fed(data, sizes))]
    assert streamed == whole
    assert b"".join(whole) == data


@given(runs)
def test_blocks_keep_within_their_sizes(data: bytes) -> None:
    sizes = [len(block) for block in Cutter(7, TINY).cut(data)]
    assert all(TINY.minimum <= size <= TINY.maximum for size in sizes[:-1])
    assert not sizes or 0 < sizes[-1] <= TINY.maximum
    if 0 < len(data) <= TINY.minimum:
        assert sizes == [len(data)]


def test_blocks_of_a_run_in_memory_stay_valid() -> None:
    data = random.Random(1).randbytes(20_000)
    blocks = list(Cutter(7, TINY).cut(data))
    assert len(blocks) > 10
    assert b"".join(blocks) == data


def test_an_insertion_moves_only_the_cuts_next_to_it() -> None:
    data = random.Random(2).randbytes(200_000)
    cutter = Cutter(7, TINY)
    before = {bytes(block) for block in cutter.cut(data)}
    after = {bytes(block) for block in cutter.cut(data[:100_000] + b"x" + data[100_000:])}
    assert len(after - before) <= 4


def test_the_seed_moves_the_cuts() -> None:
    data = random.Random(3).randbytes(50_000)
    cuts = [[len(block) for block in Cutter(seed, TINY).cut(data)] for seed in (1, 2, 2**63 - 1)]
    assert cuts[0] != cuts[1] != cuts[2] != cuts[0]


def test_the_cuts_of_the_standard_chunker_are_the_ones_recorded() -> None:
    """A library that cuts elsewhere would end deduplication against all that is stored."""
    data = random.Random(4).randbytes(4 << 20)
    sizes = [len(block) for block in Cutter(0x5EED_5EED, STANDARD).cut(data)]
    assert sizes == GOLDEN


@pytest.mark.parametrize("seed", [0, -1, 2**63])
def test_a_seed_beyond_what_the_library_takes_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        Cutter(seed, TINY)


def test_an_unknown_way_of_cutting_is_refused() -> None:
    with pytest.raises(NewerFormatError, match="rabin"):
        Cutter(1, Chunker(name="rabin", minimum=1, average=2, maximum=3))
