"""Extended attributes by which a mount tells what the repository knows of a file.

They are read by name and never listed, so that no copy carries them along.
"""

from collections.abc import Sequence

PREFIX = "user.snapfs."
NAMES = {
    "first": "the first snapshot with this version, as its directory is called",
    "last": "the last snapshot with this version",
    "versions": "versions that the file has in the snapshots",
    "content": "equal for equal contents in this repository",
    "blocks": "blocks of its content",
    "stored": "bytes that these take in the store, before padding; shared ones count in full",
    "packs": "names of the packs that hold them",
}
NUMBERS = frozenset({"versions", "blocks", "stored"})
"those whose values are numbers"

_PACKS_SHOWN = 64
"names of packs that fit into an attribute; more are counted"
_AND = " and "


def packs_text(names: Sequence[str]) -> str:
    """The value of `packs`."""
    more = len(names) - _PACKS_SHOWN
    return " ".join(names[:_PACKS_SHOWN]) + (f"{_AND}{more} more" if more > 0 else "")


def packs_of(text: str) -> tuple[list[str], int]:
    """The names in such a value, and how many there are besides."""
    names, _, more = text.partition(_AND)
    return names.split(), int(more.split()[0]) if more else 0
