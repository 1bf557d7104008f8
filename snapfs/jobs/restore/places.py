"""Where a restore must not write, and what of the target is not its own to change."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from snapfs.errors import UsageError
from snapfs.jobs.restore.choice import Choice, Inside
from snapfs.jobs.restore.directory import TEMPORARY
from snapfs.jobs.restore.options import RestoreOptions


@dataclass(frozen=True, slots=True)
class Inode:
    """What tells a directory from all others."""

    device: int
    number: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Inode":
        return cls(status.st_dev, status.st_ino)


def spared_inodes(paths: Iterable[bytes]) -> frozenset[Inode]:
    """The directories at these paths, of those that are there."""
    return frozenset(Inode.of(os.stat(path)) for path in paths if os.path.isdir(path))


def check_target(target: bytes, spared: frozenset[Inode]) -> None:
    """Raise UsageError for a target in a directory that is spared: the repository would break."""
    above = os.path.realpath(target)
    while above != b"/":
        if os.path.isdir(above) and Inode.of(os.stat(above)) in spared:
            raise UsageError(
                f"{os.fsdecode(above)} belongs to the repository or to what this machine knows of "
                "it: nothing is restored into it",
                hint="choose another --target",
            )
        above = os.path.dirname(above)


def is_shared(choice: Choice, inside: Inside, options: RestoreOptions) -> bool:
    """Whether the target holds other things too, as /tmp does: its mode and owner serve them.

    That which is restored to where it was, or to be all that there is, is none such.
    """
    target = os.path.realpath(options.target)
    if options.delete or target == options.path:
        return False
    try:
        there = os.listdir(target)
    except OSError:
        return False  # it is not there; or whoever opens it meets the same error
    names = {item.name for item in choice.items(inside)} if there else set()
    return any(name not in names and not name.startswith(TEMPORARY) for name in there)
