"""What those need who only read this machine's view of a repository."""

from collections.abc import Iterable
from typing import Protocol

from snapfs.errors import SnapfsError
from snapfs.metadata.snapshots import Snapshots
from snapfs.repository.world import World


class Viewed(Protocol):
    """The view: an open `Repository`, or one that a glance has found to be current."""

    @property
    def snapshots(self) -> Snapshots:
        """Look-ups."""
        ...

    @property
    def world(self) -> World:
        """What time it is."""
        ...

    @property
    def lost(self) -> SnapfsError | None:
        """What a look met that could not be had."""
        ...

    async def look(self, sources: Iterable[int] | None = (), *, blocks: bool = True) -> None:
        """Have the view know all heads, the entries of these sources, and blocks as said."""
        ...
