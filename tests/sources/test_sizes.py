"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import UsageError
from snapfs.model.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("500K", 500 << 10),
        ("10M", 10 << 20),
        ("10 MiB", 10 << 20),
        ("10mb", 10 << 20),
        ("1.5G", 3 << 29),
        (" 2T ", 2 << 40),
        ("0.3K", 307),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "M", "-1", "1e3", "10X", "1.M", ".5G", "1 0", "10iB", "inf", "١"]
)
def test_nonsense(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (2**70, "1024.0 EiB"),
    ],
)
def test_format(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 2**62))
def test_what_is_written_is_read_to_within_its_decimal(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= max(size * 0.051, 0)
