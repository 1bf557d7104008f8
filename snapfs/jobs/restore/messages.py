"""What a restore and its worker process say to each other; `jobs/framing.py` says how.

An order comes with the bytes of all contents one behind the other, and with the descriptors of its
directories. Its answer is one outcome for each task, in their order.
"""

import msgspec

from snapfs.model.attributes import Attributes
from snapfs.model.finding import Trouble

DIRECTORIES = 64
"descriptors of one order at most"


class Setup(msgspec.Struct, frozen=True, array_like=True):
    """What holds for all orders; the first message."""

    token: bytes
    "what the names of unfinished files have in them"
    sparse: bool
    block_id_key: bytes
    "for files that are to be read back; else empty"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A directory of an order, whose descriptor comes along."""

    path: bytes
    "absolute, for findings"
    inner: bytes
    "within the target"


class Order(msgspec.Struct, frozen=True, array_like=True):
    """One entry that is to be made."""

    directory: int
    "which of the order's places"
    name: bytes
    wanted: Attributes
    same: bool
    "what is there is what would be made"
    holes: bool
    spans: tuple[tuple[int, int], ...]
    "offset and length of each block; all of them are in the contents"
    keys: tuple[bytes | None, ...]
    "of the blocks, if they are to be read back"


class Orders(msgspec.Struct, frozen=True, array_like=True):
    """Entries that are made one behind the other."""

    places: tuple[Place, ...]
    orders: tuple[Order, ...]


class Made(msgspec.Struct, frozen=True, array_like=True, tag="made"):
    """It is in its place."""


class Skipped(msgspec.Struct, frozen=True, array_like=True, tag="skipped"):
    """It was kept as it was found."""


class Found(msgspec.Struct, frozen=True, array_like=True, tag="found"):
    """Something about it."""

    trouble: Trouble
    detail: bytes
    "as os.fsencode makes it, as it may name what is no text"


class Unset(msgspec.Struct, frozen=True, array_like=True, tag="unset"):
    """An attribute could not be set."""

    what: bytes
    "as `detail` of what is found"
    advice: str


Note = Made | Skipped | Found | Unset


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of one entry."""

    notes: tuple[Note, ...]
    device: int = 0
    inode: int = 0
    "of one with several names that is there now; else 0"


class Outcomes(msgspec.Struct, frozen=True, array_like=True):
    """The answer to an order."""

    outcomes: tuple[Outcome, ...]
    failure: tuple[bytes, str] | None = None
    "what ended it before all was made, as `detail` of what is found, and a hint"
