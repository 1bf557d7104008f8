"""Sets of numbers as bits: a hundred million of them take 12 MiB."""

from collections.abc import Iterator


class NumberSet:
    """A set of numbers from 0 up to a bound that is known beforehand."""

    def __init__(self, bound: int) -> None:
        """`bound` is above every number that will be added."""
        self._bits = bytearray((bound >> 3) + 1)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (number & 7) & 1)

    def add(self, number: int) -> bool:
        """Add a number; whether it is new. IndexError for one that is out of bounds."""
        at, bit = number >> 3, 1 << (number & 7)
        if self._bits[at] & bit:
            return False
        self._bits[at] |= bit
        self._count += 1
        return True

    def add_range(self, begin: int, end: int) -> None:
        """Add all numbers from `begin` to below `end`."""
        for number in range(begin, end):
            self.add(number)

    def __iter__(self) -> Iterator[int]:
        for at, byte in enumerate(self._bits):
            if byte:
                yield from (at << 3 | bit for bit in range(8) if byte >> bit & 1)
