"""Questions about what is stored: catching up first, then asking this machine's view alone.

The view is asked in the main thread once the store is closed. So a result can be read from a pager
for an hour, and Ctrl-C ends a query that takes too long.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from snapfs.cli.options import Globals
from snapfs.cli.selecting import chosen_sources, find_snapshot
from snapfs.cli.session import Session, begin, run
from snapfs.errors import SnapshotNotFoundError
from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moments
from snapfs.metadata.snapshots import Filter
from snapfs.model.snapshot import Snapshot, Source
from snapfs.repository.repository import Repository

T = TypeVar("T")

_STEPS = 100_000
"of SQLite's machine, a millisecond or so, after which Python looks for signals"


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """This machine's view, caught up, on a read-only connection."""

    db: Database
    now_ns: int
    found: T
    "what was looked for while the repository was open"


@contextmanager
def asking(given: Globals, prepare: Callable[[Repository], Awaitable[T]]) -> Iterator[View[T]]:
    """The view, after `prepare` has caught up with what it needs of the open repository.

    Raises as `open_repository` and `prepare`.
    """
    session = begin(given)
    path, now_ns, found = run(lambda: _prepared(session, prepare))
    with Database.open_readonly(path) as db:
        db.connection.set_progress_handler(_go_on, _STEPS)
        yield View(db, now_ns, found)


def sources_of(
    only: Filter, *, entries: bool = True, blocks: bool = False
) -> Callable[[Repository], Awaitable[list[Source]]]:
    """To prepare: the sources that are asked about; their entries and all blocks as said."""

    async def prepare(repository: Repository) -> list[Source]:
        await repository.look(blocks=False)
        sources = chosen_sources(repository, only)
        numbers = [source.number for source in sources] if entries else []
        await repository.look(numbers, blocks=blocks)
        return sources

    return prepare


def snapshots_of(
    texts: tuple[str, ...], host: str | None, name: str | None
) -> Callable[[Repository], Awaitable[list[Snapshot]]]:
    """To prepare: the snapshots that a user means, with the entries of their sources applied."""

    async def prepare(repository: Repository) -> list[Snapshot]:
        return [await find_snapshot(repository, text, host, name) for text in texts]

    return prepare


def moments_of(db: Database, sources: list[Source]) -> Moments:
    """The snapshots of these sources. Raises SnapshotNotFoundError where there is none."""
    moments = Moments(db, [source.number for source in sources])
    if not any(moments.of(source.number) for source in sources):
        raise SnapshotNotFoundError(
            "there is no snapshot yet", hint="see 'snapfs snapshots'; make one with 'snapfs ingest'"
        )
    return moments


async def _prepared(
    session: Session, prepare: Callable[[Repository], Awaitable[T]]
) -> tuple[Path, int, T]:
    async with session.repository() as repository:
        found = await prepare(repository)
        return repository.state.replica, repository.world.now_ns(), found


def _go_on() -> bool:
    """Nothing: that Python is called at all is what lets it raise KeyboardInterrupt."""
    return False
