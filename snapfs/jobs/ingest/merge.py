"""Two listings in order of name, side by side. Pure."""

from collections.abc import Iterable, Iterator
from itertools import chain

from snapfs.metadata.local import Known
from snapfs.sources.listing import Found


def merge(
    found: Iterable[list[Found]], known: Iterable[list[Known]]
) -> Iterator[tuple[Found | None, Known | None]]:
    """Every name that either has, in order, with what each has under it.

    Both come in pages, sorted by the bytes of their names, each name once.
    """
    rest = chain.from_iterable(known)
    other = next(rest, None)
    for page in found:
        for one in page:
            name = one.name
            while other is not None and other.name < name:
                yield None, other
                other = next(rest, None)
            if other is not None and other.name == name:
                yield one, other
                other = next(rest, None)
            else:
                yield one, None
    while other is not None:
        yield None, other
        other = next(rest, None)
