"""When a base pays. Pure."""

from dataclasses import dataclass

PARTS = 64
"parts since the last base below which none is made for their number: so many requests are nothing"
SHARE = 0.5
"of the last base's bytes: what came since must be more, so that a base is written rarely"
ROWS = 10_000
"versions of names below which none is made for them"
DEAD = 0.25
"share of the versions of names that no snapshot shows any more, above which a base pays"


@dataclass(frozen=True, slots=True)
class Growth:
    """What a machine without a view would have to fetch, and what of its rows is of no use."""

    parts: int
    "parts since the last base"
    part_bytes: int
    "their stored bytes"
    base_bytes: int
    "stored bytes of the last base; 0 where there is none"
    entries: int
    "versions of names"
    dead: int
    "of these, those that nobody can ask for"

    @property
    def pays(self) -> bool:
        """Whether a base is worth what it costs: all rows once more, for each machine that missed
        the record that it restates."""
        many = self.parts >= PARTS and self.part_bytes > SHARE * self.base_bytes
        return many or (self.entries >= ROWS and self.dead > DEAD * self.entries)
