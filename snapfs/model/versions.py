"""Versions of one path: what changed between two states, and which snapshots show which. Pure."""

import enum
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from snapfs.model.attributes import Attributes

T = TypeVar("T")


class Aspect(enum.StrEnum):
    """What of a file can differ from what it was before."""

    TYPE = "type"
    CONTENT = "content"
    MODE = "mode"
    OWNER = "owner"
    TIME = "time"
    XATTRS = "xattrs"


Aspects = tuple[Aspect, ...]


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """A state that holds in commits from `first` to before `last`."""

    first: int
    last: int
    state: T


@dataclass(frozen=True, slots=True)
class Version(Generic[T]):
    """A run of snapshots that show the same."""

    first: int
    "the oldest of them"
    last: int
    "the newest of them"
    state: T | None
    "None: there was nothing any more"
    changed: Aspects
    "against the state that was there before; nothing for the first"


def aspects(before: Attributes, after: Attributes, *, same_content: bool) -> Aspects:
    """What differs between two states. `same_content` says it of the bytes of two files.

    A change of type says all there is to say about content. How many names a file has is no change
    of the file.
    """
    another_type = stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode)
    same = same_content and before.target == after.target and before.rdev == after.rdev
    found = (
        (Aspect.TYPE, another_type),
        (Aspect.CONTENT, not another_type and not same),
        (Aspect.MODE, stat.S_IMODE(before.mode) != stat.S_IMODE(after.mode)),
        (Aspect.OWNER, (before.uid, before.gid) != (after.uid, after.gid)),
        (Aspect.TIME, before.mtime_ns != after.mtime_ns),
        (Aspect.XATTRS, before.xattrs != after.xattrs),
    )
    return tuple([aspect for aspect, differs in found if differs])


def timeline(
    held: Iterable[Held[T]], snapshots: Sequence[int], compare: Callable[[T, T], Aspects]
) -> Iterator[Version[T]]:
    """The versions that snapshots show, oldest first, and the gaps between and behind them.

    `held` are states in order that do not overlap, `snapshots` the numbers of the snapshots that
    count, in order. States that no snapshot shows are passed over; neighbours in which `compare`
    finds no difference are one version.
    """
    pending: _Run[T] | None = None
    changed: Aspects = ()
    for one in held:
        run = _Run(bisect_left(snapshots, one.first), bisect_left(snapshots, one.last), one.state)
        if run.begin == run.end:
            continue
        if pending is not None:
            differing = compare(pending.state, run.state)
            if not differing and pending.end == run.begin:
                pending = _Run(pending.begin, run.end, run.state)
                continue
            yield from _told(pending, changed, snapshots, run.begin)
            changed = differing
        pending = run
    if pending is not None:
        yield from _told(pending, changed, snapshots, len(snapshots))


@dataclass(frozen=True, slots=True)
class _Run(Generic[T]):
    begin: int
    end: int
    state: T


def _told(
    run: _Run[T], changed: Aspects, snapshots: Sequence[int], until: int
) -> Iterator[Version[T]]:
    """A version, and the gap that follows on it, if there is one."""
    yield Version(snapshots[run.begin], snapshots[run.end - 1], run.state, changed)
    if run.end < until:
        yield Version(snapshots[run.end], snapshots[until - 1], None, ())
