"""How patiently a store is tried again. Pure, and quickly loaded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to go on, and how fast."""

    deadline: float = 120.0
    "seconds for one verb, all its tries and pauses together; for a listing, per object found"
    first_pause: float = 0.25
    "seconds; the bound doubles with each try"
    longest_pause: float = 15.0
    "seconds"

    def pause(self, tries: int, chance: float) -> float:
        """Seconds to wait after so many tries; `chance` is from [0, 1).

        Anything from nothing to the bound, so that many clients that failed together don't come
        back together.
        """
        # 2 ** 32 pauses are longer than any bound, and further doubling would overflow.
        return chance * min(self.longest_pause, self.first_pause * 2.0 ** min(tries - 1, 32))
