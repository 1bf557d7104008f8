"""The kernel's table of mounts, as far as this program asks it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mount."""

    path: str
    "with surrogates for bytes that are no text"
    device: str
    "major:minor"
    fstype: str


def parse(table: str) -> list[Mounted]:
    """The mounts that a text in the form of /proc/self/mountinfo lists, oldest first."""
    mounts = []
    for line in table.splitlines():
        # Between the sixth word and a lone dash stand any number of optional ones.
        words = line.split(" ")
        if len(words) > 6 and "-" in words[6:]:
            fstype = words[words.index("-", 6) + 1]
            mounts.append(Mounted(_unescape(words[4]), words[2], fstype))
    return mounts


def find(path: str, table: Path = TABLE) -> Mounted | None:
    """The topmost mount at exactly this absolute path, with links resolved."""
    text = table.read_bytes().decode(errors="surrogateescape")
    return next((mount for mount in reversed(parse(text)) if mount.path == path), None)


def devices(fstype: str, table: Path = TABLE) -> frozenset[int]:
    """The st_dev of all mounted file systems of this type. Empty where there is no such table."""
    try:
        text = table.read_bytes().decode(errors="surrogateescape")
    except OSError:
        return frozenset()
    return frozenset(
        os.makedev(*map(int, mount.device.split(":")))
        for mount in parse(text)
        if mount.fstype == fstype
    )


def _unescape(text: str) -> str:
    """The kernel writes blank, tab, newline and backslash in octal."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
