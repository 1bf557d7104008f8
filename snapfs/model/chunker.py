"""How contents are cut into blocks: the way's name and its sizes, as the repository records them.

Two contents share blocks only if they were cut the same way with the same seed. The seed is secret
and lies in the ring, not here.
"""

import msgspec

FASTCDC = "fastcdc-2020-nc1"
"FastCDC as of 2020, cutting by two bytes at a time, with normalised chunking 1"


class Chunker(msgspec.Struct, frozen=True, array_like=True):
    """One way of cutting. Sizes are bytes; a run of at most `minimum` bytes is one block."""

    name: str
    minimum: int
    average: int
    maximum: int


STANDARD = Chunker(name=FASTCDC, minimum=128 << 10, average=512 << 10, maximum=2 << 20)
"""What new repositories use. The real mean lies above `average`: 621 KiB for random bytes."""
