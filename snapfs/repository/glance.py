"""A glance at the store: often nothing has changed since this machine looked last.

Then its view answers, and what catching up needs is not loaded: an event loop alone takes as long
as all else that a short question does. A glance changes nothing and explains nothing. Where it
cannot tell, for whatever reason, a proper look can.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from snapfs.errors import ObjectNotFoundError, SnapfsError
from snapfs.formats import objects, parts
from snapfs.metadata import position
from snapfs.metadata.copies import Copies
from snapfs.metadata.database import Database
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.snapshots import Snapshots
from snapfs.model.identity import NO_COMMIT, Commit, RepositoryId
from snapfs.repository import levels
from snapfs.repository.ahead import Ahead
from snapfs.repository.state import Directories, State, known_place
from snapfs.repository.world import World
from snapfs.stores.base import Verbs

_PATIENCE = 2.0
"seconds for the reading: if a disk hangs for longer, a proper look says so"


class BehindError(SnapfsError):
    """The view lacks something that the log has."""


@dataclass(frozen=True, slots=True)
class Glanced:
    """A view that knows all heads of the log. It can be read, and not caught up."""

    db: Database
    world: World
    slot: str
    "the slot that the passphrase opens"
    snapshots: Snapshots
    lost: None = field(init=False, default=None)

    async def look(self, sources: Iterable[int] | None = (), *, blocks: bool = True) -> None:
        """As `Repository.look`, where there is nothing to do; BehindError elsewhere."""
        streams = position.streams(self.db) if sources is None else [*sources]
        if (streams or blocks) and not position.stand_at_tip(self.db, {BLOCKS, *streams}):
            raise BehindError("the view lacks parts of what the log names")


def glance(store: Verbs, directories: Directories, ahead: Ahead, world: World) -> Glanced | None:
    """The view, where it knows all that the store has; None where that cannot be said.

    Marker, rings, the slot that opened last, and the last record must be those that this machine
    knows, byte for byte. The passphrase is tried at that slot, unless it comes from a file of which
    it is known to open it. The view's database is the caller's to close.
    """
    place = known_place(directories, store.url)
    if place is None or place.slot is None:
        return None
    slot = objects.slot(place.slot)
    with ExitStack() as stack:
        try:
            state = State(directories, place.repository)
            db = stack.enter_context(Database.open_readonly(state.replica))
            with Database.open_readonly(state.copies) as kept:
                copies = Copies(kept)
                if not _is_current(store, place.repository, db, copies, slot):
                    return None
                if not (place.opens_with(ahead.file) or _opens(copies, slot, ahead)):
                    return None
        except SnapfsError:
            return None
        stack.pop_all()
    return Glanced(db, world, place.slot, Snapshots(db))


def _is_current(
    store: Verbs, repository: RepositoryId, db: Database, copies: Copies, slot: str
) -> bool:
    tip = position.tip(db)
    if tip.number == NO_COMMIT or position.fact(db, "repository") != repository.hex():
        return False
    levels.check_read(partial(position.fact, db))
    known = {**copies.hashes(objects.MARKER), **copies.hashes(objects.KEYS)}
    rings = [name for name in known if name.startswith(objects.RINGS)]
    if not rings or slot not in known or objects.MARKER not in known:
        return False
    last, next_ = objects.record(tip.number), objects.record(Commit(tip.number + 1))
    return _in_time(
        (
            partial(_has, store, last, tip.hash),
            *(partial(_has, store, name, known[name]) for name in (objects.MARKER, slot, *rings)),
            # By its name as well: a listing may lag.
            partial(_lacks, store, next_),
            partial(_lists_none, store, objects.LOG, last),
        )
    )


def _opens(copies: Copies, slot: str, ahead: Ahead) -> bool:
    """Whether the passphrase does, at a slot of which the copy is what the store has."""
    from snapfs.formats import slots  # with all of its cryptography

    sealed, marker = copies.get(slot), copies.get(objects.MARKER)
    if sealed is None or marker is None:
        return False
    decoded = slots.decode(sealed)
    return slots.open_slot(decoded, ahead.secret, marker, derive_key=ahead.derive_key) is not None


def _in_time(checks: Iterable[Callable[[], bool]]) -> bool:
    """Whether all hold, asked at once. Nobody can be interrupted who waits for a dead disk, and so
    each is asked in a thread that nobody has to wait for.
    """
    answers: list[bool] = []
    asked = [
        threading.Thread(target=lambda check=check: answers.append(_holds(check)), daemon=True)
        for check in checks
    ]
    for thread in asked:
        thread.start()
    end = time.monotonic() + _PATIENCE
    for thread in asked:
        thread.join(max(0.0, end - time.monotonic()))
    return len(answers) == len(asked) and all(answers)


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except SnapfsError:
        return False


def _has(store: Verbs, name: str, digest: bytes) -> bool:
    return parts.digest(store.get(name)) == digest


def _lacks(store: Verbs, name: str) -> bool:
    try:
        store.get(name)
    except ObjectNotFoundError:
        return True
    return False


def _lists_none(store: Verbs, prefix: str, after: str) -> bool:
    return next(store.pages(prefix, after=after), None) is None
