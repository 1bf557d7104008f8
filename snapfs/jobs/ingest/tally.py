"""Counting what a walk meets."""

from dataclasses import dataclass

from snapfs.formats.records import Summary
from snapfs.formats.wire import MOST


@dataclass(slots=True)
class Tally:
    """Counters of one walk. Files are all that is not a directory."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    directories: int = 0
    bytes_total: int = 0
    "of regular files, read or not"

    def summary(self, *, bytes_read: int, bytes_new: int, bytes_stored: int) -> Summary:
        """What the record says of it. Sizes of sparse files may add up to more than it can say."""
        sizes = (self.bytes_total, bytes_read, bytes_new, bytes_stored)
        return Summary(
            self.new, self.changed, self.unchanged, self.removed, self.failed, self.directories,
            *(min(size, MOST) for size in sizes),
        )  # fmt: skip
