"""A set that says what it surely does not hold, in memory of fixed size."""


class BloomFilter:
    """A set of hashes of 64 bits, signed or not, that are as good as random.

    One megabyte. Of what was never added it says that it may be held in 3 % of all cases with a
    million hashes, and in 13 % with two. Bloom 1970, doi:10.1145/362686.362692; three places from
    one hash: Kirsch and Mitzenmacher 2006, doi:10.1007/11841036_42.
    """

    _MASK = (1 << 23) - 1

    def __init__(self) -> None:
        self._bits = bytearray((self._MASK + 1) >> 3)

    def add(self, hash_: int) -> None:
        """Add a hash. None is ever taken out."""
        bits, mask, step = self._bits, self._MASK, hash_ >> 32
        for at in (hash_ & mask, (hash_ + step) & mask, (hash_ + 2 * step) & mask):
            bits[at >> 3] |= 1 << (at & 7)

    def may_hold(self, hash_: int) -> bool:
        """Whether it may have been added. What was, always may."""
        bits, mask, step = self._bits, self._MASK, hash_ >> 32
        for at in (hash_ & mask, (hash_ + step) & mask, (hash_ + 2 * step) & mask):
            if not bits[at >> 3] & 1 << (at & 7):
                return False
        return True
