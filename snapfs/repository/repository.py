"""An open repository: its keys, its log, and this machine's view of it. Everything starts here."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import trio

from snapfs import __version__
from snapfs.errors import (
    DamagedError,
    FormatError,
    LogGapError,
    NoRepositoryError,
    SnapfsError,
    ViewDamagedError,
)
from snapfs.formats.records import Body
from snapfs.formats.slots import Derive
from snapfs.metadata.bases import Standpoint
from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.database import Database
from snapfs.metadata.position import BLOCKS
from snapfs.metadata.replica import Replica
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.tree import Tree
from snapfs.model.chunker import Chunker
from snapfs.model.identity import NO_COMMIT, Attempt, Commit
from snapfs.repository.kept import Kept, keep_keys
from snapfs.repository.keys import Keys, read_key_objects, unlock
from snapfs.repository.log import Author, Log
from snapfs.repository.pieces import Parts, catch_up_parts
from snapfs.repository.state import (
    Directories,
    Place,
    State,
    check_place,
    known_place,
    remember_place,
)
from snapfs.repository.viewlock import drop_older_views, view_held
from snapfs.repository.world import World
from snapfs.stores.base import Store

if TYPE_CHECKING:
    from snapfs.repository.reader import ContentReader

log = logging.getLogger(__name__)

MEMORY_CACHE = 64 * 1024 * 1024
"bytes of plain segments that a reader keeps"


@dataclass(slots=True)
class Repository:
    """An open repository. Made by `open_repository`, which closes it.

    `tree`, `blocks` and `snapshots` are look-ups on a read-only connection of their own, for the
    thread of the event loop.
    """

    store: Store
    keys: Keys
    state: State
    replica: Replica
    log: Log
    parts: Parts
    kept: Kept
    db: Database
    world: World
    snapshots: Snapshots = field(init=False)
    tree: Tree = field(init=False)
    blocks: BlockIndex = field(init=False)
    lost: SnapfsError | None = field(init=False, default=None)
    "what a look met that could not be had"
    _tidied_at: Standpoint | None = field(init=False, default=None)
    "the base up to which copies were dropped"

    def __post_init__(self) -> None:
        self.snapshots = Snapshots(self.db)
        self.tree = Tree(self.db)
        self.blocks = BlockIndex(self.db)

    async def catch_up(self, sources: Iterable[int] = (), *, blocks: bool = True) -> None:
        """Bring the view up to the log's head: heads always, blocks, and entries of `sources`.

        Raises LogCutError, NewerFormatError, DamagedError, StoreError.
        """
        await self.log.catch_up()
        streams = [*([BLOCKS] if blocks else []), *sources]
        await catch_up_parts(self.log, self.parts, self.replica, lambda: streams)
        await self._tidy()

    async def catch_up_all(self) -> None:
        """Bring the view up to the log's head, with the entries of all sources."""
        await self.log.catch_up()
        await catch_up_parts(self.log, self.parts, self.replica, self.replica.streams)
        await self._tidy()

    async def look(self, sources: Iterable[int] | None = (), *, blocks: bool = True) -> None:
        """Catch up for those who only read: what is lost hides what builds on it, and no more.

        None stands for all sources. A warning says what is lost, and so does `lost` until a look
        at all sources finds it there again. Raises what catching up raises else.
        """
        listed = sources if sources is None else list(sources)
        try:
            if listed is None:
                await self.catch_up_all()
                self.lost = None
            else:
                await self.catch_up(listed, blocks=blocks)
        except (LogGapError, DamagedError) as error:
            if self.lost is None or self.lost.what != error.what:
                log.warning("%s; what builds on it cannot be shown. %s", error.what, error.hint)
            self.lost = error
            streams = self.replica.streams() if listed is None else listed
            if streams or blocks:
                await self.parts.catch_up_around(streams)

    async def publish(self, attempt: Attempt, make_body: Callable[[], Body], host: str) -> Commit:
        """See `Log.publish`."""
        author = Author(host, f"snapfs {__version__}")
        return await self.log.publish(attempt, make_body, author)

    async def _tidy(self) -> None:
        base = self.replica.newest_base()
        if base != self._tidied_at:
            await self.kept.tidy()
            self._tidied_at = base

    def chunker(self) -> Chunker:
        """How this repository cuts contents."""
        text = self.replica.fact("chunker")
        if text is None:
            raise ViewDamagedError(f"{self.state.replica}: does not know the repository's chunker")
        return msgspec.json.decode(text, type=Chunker)

    @asynccontextmanager
    async def reading(
        self, *, memory_bytes: int = MEMORY_CACHE, disk_bytes: int = 0, fills_disk: bool = False
    ) -> "AsyncIterator[ContentReader]":
        """A reader of contents with its caches.

        `disk_bytes` bounds the cache of sealed segments on disk, for stores that are far away;
        0 means none, for a store that is a disk itself. Who reads much and once has use for what
        is there, but does not fill it: it would push out what a mount needs.
        """
        # Most questions read no contents, and a short command feels what it loads.
        from snapfs.repository.reader import ContentReader
        from snapfs.repository.segmentcache import DiskCache
        from snapfs.repository.segments import open_fetcher

        disk = DiskCache(self.state.cache / "segments", disk_bytes) if disk_bytes else None
        async with open_fetcher(
            self.store, self.keys, memory_bytes=memory_bytes, disk=disk, fills_disk=fills_disk
        ) as fetcher:
            yield ContentReader(self.tree, self.blocks, fetcher, self.keys.block_id, self.look)


@asynccontextmanager
async def open_repository(
    store: Store, directories: Directories, secret: Callable[[], str], world: World | None = None,
    *, derive_key: Derive | None = None,
) -> AsyncIterator[Repository]:  # fmt: skip
    """Unlock the repository in `store`, and open this machine's view of it; empty if it is new.

    Nothing is caught up yet. `secret` is asked for the passphrase once it is known that there is
    something to unlock. `derive_key` is as for `slots.open_slot`. The store stays the caller's.

    Raises NoRepositoryError, WrongPassphraseError, WrongRepositoryError, NewerFormatError,
    FormatError, LocalError, ViewDamagedError, StoreError.
    """
    keys = await open_keys(store, directories, secret, derive_key=derive_key)
    async with open_view(store, directories, keys, world or World()) as repository:
        yield repository


async def open_keys(
    store: Store, directories: Directories, secret: Callable[[], str], *,
    derive_key: Derive | None = None,
) -> Keys:  # fmt: skip
    """Unlock the repository in `store`, without a look at this machine's view of it.

    Raises as `open_repository`, but for ViewDamagedError.
    """
    try:
        found = await read_key_objects(store)
    except (NoRepositoryError, FormatError) as error:
        _advise(error, known_place(directories, store.url))
        raise
    known = check_place(directories, store.url, found.repository)
    first = known.slot if known else None
    keys = await unlock(store, found, secret(), first=first, derive_key=derive_key)
    await keep_keys(store, State(directories, keys.repository), found, keys)
    file = known.file if known and known.slot == keys.slot else None
    remember_place(directories, store.url, Place(keys.repository, keys.slot, keys.recipe, file))
    return keys


def _advise(error: SnapfsError, known: Place | None) -> None:
    """Where the marker is lost or damaged, tell those who were here before what they can do."""
    if known is not None:
        error.hint = (
            f"the repository {known.repository.hex()[:8]} was here before: is this the right disk "
            "or bucket? If only its marker was lost, 'snapfs repair' puts it back"
        )


@asynccontextmanager
async def open_view(
    store: Store, directories: Directories, keys: Keys, world: World
) -> AsyncIterator[Repository]:
    """This machine's view of a repository whose keys are known. Nobody replaces it meanwhile."""
    state = State(directories, keys.repository)
    drop_older_views(state)
    async with view_held(state), _opened(state, store, keys, world) as repository:
        yield repository


@asynccontextmanager
async def _opened(
    state: State, store: Store, keys: Keys, world: World
) -> AsyncIterator[Repository]:
    opened = await trio.to_thread.run_sync(Replica.open, state.replica)
    with opened.db, Database.open_readonly(state.replica) as db:
        replica = Replica(opened.db, reading=db)
        _check_replica(replica, keys)
        with closing(Kept(state)) as kept:
            log = Log(store, keys, replica, now=world.now_ns, random_bytes=world.random, kept=kept)
            parts = Parts(store, keys, replica, random_bytes=world.random, kept=kept)
            yield Repository(store, keys, state, replica, log, parts, kept, db, world)


def _check_replica(replica: Replica, keys: Keys) -> None:
    known = replica.fact("repository")
    if known not in (None, keys.repository.hex()) and replica.tip().number != NO_COMMIT:
        raise ViewDamagedError(
            f"{replica.db.path}: is of another repository",
            hint="it is only a copy: 'snapfs repair' builds it again",
        )
