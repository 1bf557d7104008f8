"""Names of the objects in a store, made and read back."""

import re

from snapfs.model.identity import Commit, PackName

MARKER = "snapfs.json"
KEYS = "keys/"
RINGS = "keys/ring/"
LOG = "log/"
BASES = "base/"
PARTS = "meta/"
PACKS = "packs/"
TOP = frozenset(name.partition("/")[0] for name in (MARKER, KEYS, LOG, BASES, PARTS, PACKS))
"what a repository has at its top"

_NUMBER = re.compile(r"(?:log|base)/([0-9a-f]{16})")
_PART = re.compile(r"meta/([0-9a-f]{2})/(\1[0-9a-f]{30})")
_PACK = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{30})")


def slot(identifier: str) -> str:
    """The object of a key slot."""
    return f"{KEYS}{identifier}"


def ring(number: int) -> str:
    """The object of the ring's `number`-th state."""
    return f"{RINGS}{number:08x}"


def record(number: Commit) -> str:
    """The object of a log record."""
    return f"{LOG}{number:016x}"


def part(name: bytes) -> str:
    """The object of a part, by its 16 random bytes."""
    return f"{PARTS}{name[:1].hex()}/{name.hex()}"


def pack(name: bytes) -> str:
    """The object of a pack, by its 16 random bytes."""
    return f"{PACKS}{name[:1].hex()}/{name.hex()}"


def record_number(name: str) -> Commit | None:
    """The number in a record's name, or None where it is no such name."""
    match = _NUMBER.fullmatch(name)
    return Commit(int(match[1], 16)) if match else None


def pack_name(name: str) -> PackName | None:
    """The 16 bytes in a pack's name, or None where it is no such name."""
    match = _PACK.fullmatch(name)
    return PackName(bytes.fromhex(match[2])) if match else None


def part_name(name: str) -> bytes | None:
    """The 16 bytes in a part's name, or None where it is no such name."""
    match = _PART.fullmatch(name)
    return bytes.fromhex(match[2]) if match else None
