"""Following the log while mounted: new snapshots appear, forgotten ones are taken back."""

import logging
from collections.abc import Callable

import pyfuse3
import trio

from snapfs.errors import SnapfsError
from snapfs.metadata.replica import Replica
from snapfs.metadata.snapshots import Standing
from snapfs.model.identity import Commit
from snapfs.mount.layout import Layout, source_inode
from snapfs.repository.repository import Repository

log = logging.getLogger(__name__)

FRESH = 3.0
"seconds for which a look at the log serves all who ask"
PATIENCE = 2.0
"seconds that a look may hold up those who ask; then they are served what is known"


class Follower:
    """Looks at the log now and then, and when someone asks; one look at a time serves all.

    A store that fails is logged once, until it works again. `run` owns the tasks.
    """

    def __init__(self, repository: Repository, layout: Layout, *, every: float) -> None:
        self._repository = repository
        self._layout = layout
        self._every = every
        self._seen = _tip(repository)
        self._asked = trio.Event()
        self._looked = trio.Event()
        self._begun = -FRESH
        "of the look that is under way, or was the last"
        self._ended = -FRESH
        self._failing = False

    async def run(self) -> None:
        """Look every so often, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                with trio.move_on_after(self._every):
                    await self._asked.wait()
                self._begun = trio.current_time()
                taken_back = await self._look()
                self._ended = trio.current_time()
                self._asked, looked, self._looked = trio.Event(), self._looked, trio.Event()
                looked.set()
                # Beside the loop, not in it: the kernel may hold it up until a look-up in the same
                # directory is answered, and that one may be waiting for the next look.
                nursery.start_soon(_invalidate, taken_back)

    async def fresh(self) -> None:
        """Return when the view is as new as it can soon be. Never fails."""
        now = trio.current_time()
        if self._begun <= self._ended:
            if now - self._ended < FRESH:
                return
            self._begun = now
        self._asked.set()
        with trio.move_on_at(self._begun + PATIENCE):
            await self._looked.wait()

    async def _look(self) -> list[tuple[int, bytes]]:
        """Bring the view up to date; the names that the kernel must forget, by directory."""
        try:
            await self._repository.look(None)
            taken_back = self._take_in()
        except SnapfsError as error:
            if not self._failing:
                log.warning("new snapshots cannot be seen for now: %s", error.what)
            self._failing = True
            return []
        if self._failing:
            log.warning("new snapshots can be seen again")
        self._failing = False
        return taken_back

    def _take_in(self) -> list[tuple[int, bytes]]:
        tip = _tip(self._repository)
        if tip == self._seen:
            return []
        forgotten = self._repository.snapshots.forgotten_since(self._seen)
        self._seen = tip
        self._layout.refresh()
        return [_entry(self._layout, snapshot) for snapshot in forgotten]


def _tip(repository: Repository) -> Commit:
    # On the connection for reading: a thread may be using the other one.
    return Replica(repository.db).tip().number


def _entry(layout: Layout, snapshot: Standing) -> tuple[int, bytes]:
    return source_inode(snapshot.source), layout.name_of(snapshot)


async def _invalidate(
    entries: list[tuple[int, bytes]],
    invalidate: Callable[[int, bytes], None] = pyfuse3.invalidate_entry,
) -> None:
    for inode, name in entries:
        try:
            await trio.to_thread.run_sync(invalidate, inode, name, abandon_on_cancel=True)
        except FileNotFoundError:
            pass  # the kernel never knew it
        except OSError as error:
            log.warning("a forgotten snapshot may stay visible: %s", error)
