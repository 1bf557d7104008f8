"""What is left out of a snapshot: by pattern, by size, by marks in directories, by file system.

Nothing below an excluded directory is looked at, so a negated pattern cannot bring it back (as in
git). The roots that the user named are captured whatever the patterns say: don't ask about them.
"""

import os
import stat
from dataclasses import dataclass

from snapfs.sources.patterns import Patterns

CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_TAG_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What the user wants left out."""

    patterns: tuple[bytes, ...] = ()
    "gitignore lines in order; the last one that matches decides"
    caches: bool = False
    "the content of directories that are tagged as caches, but for the tag"
    if_present: tuple[bytes, ...] = ()
    "names: the content of directories that have one of them, but for those names"
    larger_than: int | None = None
    "bytes: regular files above that"
    one_file_system: bool = False
    "the content of directories that other file systems are mounted on"
    devices: frozenset[int] = frozenset()
    "the content of directories that these file systems (st_dev) are mounted on"


@dataclass(frozen=True, slots=True)
class Only:
    """Of this directory nothing is captured but itself and these names in it."""

    names: frozenset[bytes]


class Excluder:
    """Exclusions, ready to be asked for each entry."""

    def __init__(self, exclusions: Exclusions) -> None:
        """Raises UsageError for a pattern that is not understood."""
        self._patterns = Patterns(exclusions.patterns)
        self._larger_than = exclusions.larger_than
        self._caches = exclusions.caches
        self._if_present = exclusions.if_present
        self._one_file_system = exclusions.one_file_system
        self._devices = exclusions.devices
        self.active = bool(self._patterns) or exclusions.larger_than is not None
        "whether `excludes` can ever say yes: if not, don't ask"

    def excludes(self, path: bytes, is_directory: bool, size: int = 0) -> bool:
        """Whether the entry at this absolute path is left out; its parents are not.

        `size` is that of a regular file, and 0 for anything else.
        """
        if self._larger_than is not None and size > self._larger_than and not is_directory:
            return True
        return bool(self._patterns) and self._patterns.excludes(path, is_directory)

    def directory_rule(self, path: bytes) -> Only | None:
        """What is kept of this directory's content because of the marks in it; None for all."""
        names = {name for name in self._if_present if os.path.lexists(os.path.join(path, name))}
        if self._caches and is_cache(path):
            names.add(CACHE_TAG)
        return Only(frozenset(names)) if names else None

    def leaves(self, device: int, root_device: int) -> bool:
        """Whether a directory on `device` (its st_dev) is kept empty, being mounted there."""
        return device != root_device and (self._one_file_system or device in self._devices)


def is_cache(directory: bytes) -> bool:
    """Whether the directory has a cache directory tag: a regular file with the signature.

    A tag that cannot be read is none: what is in doubt is captured.
    """
    try:
        descriptor = os.open(os.path.join(directory, CACHE_TAG), _TAG_FLAGS)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        return os.read(descriptor, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(descriptor)
