"""Which packs are read: all, a random share, a number of bytes, or the n-th of t parts. Pure."""

import math
import random
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from snapfs.errors import UsageError
from snapfs.model.sizes import parse_size

_NTH = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Share:
    """Random packs: this share of their number, at least one."""

    percent: float


@dataclass(frozen=True, slots=True)
class Amount:
    """Random packs, until they have this many stored bytes."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Nth:
    """The packs that fall into part `part` of `parts`, always the same: all parts cover all."""

    part: int
    "from 1"
    parts: int


Subset: TypeAlias = Share | Amount | Nth
EVERYTHING = Share(100)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pack that can be read."""

    number: int
    name: bytes
    size: int


def parse_subset(text: str) -> Subset:
    """What `5%`, `2G` or `1/7` stands for. Raises UsageError."""
    if match := _NTH.fullmatch(text.strip()):
        part, parts = int(match[1]), int(match[2])
        if not 1 <= part <= parts:
            raise UsageError(f"there is no part {part} of {parts}", hint="parts count from 1")
        return Nth(part, parts)
    if match := _PERCENT.fullmatch(text.strip()):
        percent = float(match[1])
        if not 0 < percent <= 100:
            raise UsageError(f"not a share: {text!r}", hint="write it like 5%, at most 100%")
        return Share(percent)
    try:
        size = parse_size(text)
    except UsageError:
        size = 0
    if not size:
        raise UsageError(f"not a part of the data: {text!r}", hint="write it like 5%, 2G or 1/7")
    return Amount(size)


def choose(candidates: Iterable[Candidate], subset: Subset, chance: random.Random) -> list[int]:
    """The numbers of the packs to read, in the order of `candidates`."""
    if subset == EVERYTHING:
        return [candidate.number for candidate in candidates]
    if isinstance(subset, Nth):
        return [each.number for each in candidates if _part(each.name, subset.parts) == subset.part]
    numbers, sizes = array("q"), array("q")
    for candidate in candidates:
        numbers.append(candidate.number)
        sizes.append(candidate.size)
    order = array("q", range(len(numbers)))
    chance.shuffle(order)
    return [numbers[at] for at in sorted(_taken(order, sizes, subset))]


def _taken(order: Sequence[int], sizes: Sequence[int], subset: Share | Amount) -> Iterator[int]:
    if isinstance(subset, Share):
        yield from order[: math.ceil(len(order) * subset.percent / 100)]
        return
    taken = 0
    for at in order:
        if taken >= subset.bytes:
            return
        taken += sizes[at]
        yield at


def _part(name: bytes, parts: int) -> int:
    """Names are random: their bytes are as good as a hash of them."""
    return int.from_bytes(name, "big") % parts + 1
