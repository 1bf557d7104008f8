"""No claim of a length makes a decoder allocate before it has been checked."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import limits, seal
from tests.formats import crafted

CASES = dict(crafted.cases())


@pytest.mark.parametrize("read", CASES.values(), ids=CASES)
def test_a_claim_of_a_huge_length_costs_nothing(read: Callable[[], object]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((FormatError, NewerFormatError)):
            read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * crafted.LIMIT


def test_nor_does_it_where_memory_is_short() -> None:
    """In a process of its own, for what Python does not count: OpenSSL, zstd."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.formats.crafted"]
    done = subprocess.run(
        command, check=False, cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{len(CASES)} refused\n"


def test_a_section_may_be_exactly_as_large_as_its_limit() -> None:
    assert crafted.opener(0, bytes(crafted.LIMIT), crafted.LIMIT)() == bytes(crafted.LIMIT)
    read = crafted.opener(1, crafted.bomb(crafted.LIMIT), crafted.LIMIT)
    assert read() == bytes(crafted.LIMIT)


@pytest.mark.parametrize("plain", [0, 1, 9, 100, limits.SMALL, limits.SEGMENT, limits.PART])
def test_the_bound_of_stored_bytes_holds_for_the_worst_padding(plain: int) -> None:
    for length in range(max(plain - 100, 0), plain + 1):
        assert seal.sealed_length(length, padded=True) <= limits.stored_bound(plain)
