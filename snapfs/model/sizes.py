"""Sizes as people write them: `10M`, `1.5G`, `500K`, in powers of 1024."""

import re
from fractions import Fraction

from snapfs.errors import UsageError

_UNITS = "BKMGTPE"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGTPE])(?:i?B)?|B)?", re.ASCII | re.IGNORECASE)


def parse_size(text: str) -> int:
    """The bytes that `text` stands for, rounded down. UsageError if it is no size.

    K, M, G, T, P and E are powers of 1024 in either case; `KB` and `KiB` mean the same as `K`.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a size: {text!r}", hint="write it like 500K, 10M or 1.5G")
    number, unit = match.groups()
    return int(Fraction(number) * 1024 ** _UNITS.index((unit or "B").upper()))


def format_size(size: int) -> str:
    """`size` bytes for people: whole below 1 KiB, else with one decimal."""
    if size < 1024:
        return f"{size} B"
    power = 1
    # At 1023.95 the one decimal would read 1024.0: that is the next unit's 1.0.
    while power < len(_UNITS) - 1 and round(size / 1024**power, 1) >= 1024:
        power += 1
    return f"{size / 1024**power:.1f} {_UNITS[power]}iB"
