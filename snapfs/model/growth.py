"""Where a source grew: from what each directory gained to the directories to be told. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_EXPLAINS = 0.9
"a directory says nothing of its own where this part of its growth, or more, is in one below it"


@dataclass(frozen=True, slots=True)
class Growth:
    """How much a directory grew, with all below it."""

    path: bytes
    bytes: int


def with_below(own: Iterable[tuple[bytes, int]]) -> dict[bytes, int]:
    """Growth of directories with all below them, from what each gained by its own entries."""
    sums: dict[bytes, int] = {}
    for path, grown in own:
        while True:
            sums[path] = sums.get(path, 0) + grown
            if path == b"/":
                break
            path = path.rpartition(b"/")[0] or b"/"
    return sums


def most_grown(sums: Mapping[bytes, int], count: int) -> list[Growth]:
    """The `count` directories that grew most; not those whose growth one below them explains."""
    explained = {
        _above(path)
        for path, grown in sums.items()
        if path != b"/" and grown > 0 and grown >= _EXPLAINS * sums[_above(path)]
    }
    found = [
        Growth(path, grown) for path, grown in sums.items() if grown > 0 and path not in explained
    ]
    return sorted(found, key=lambda one: (-one.bytes, one.path))[:count]


def _above(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"
