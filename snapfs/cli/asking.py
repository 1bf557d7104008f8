"""Questions about what is stored: catching up first, then asking this machine's view alone.

Where a glance at the store shows that there is nothing to catch up with, no event loop is loaded.

The view is asked in the main thread once the store is closed. So a result can be read from a pager
for an hour, and Ctrl-C ends a query that takes too long.
"""

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import click

from snapfs.cli.options import Globals
from snapfs.cli.selecting import chosen_sources, find_snapshot
from snapfs.cli.session import Session, begin
from snapfs.errors import SnapfsError, SnapshotNotFoundError
from snapfs.metadata.database import Database
from snapfs.metadata.moments import Moments
from snapfs.metadata.snapshots import Filter
from snapfs.model.snapshot import Snapshot, Source
from snapfs.repository.glance import glance
from snapfs.repository.viewed import Viewed
from snapfs.repository.world import World

T = TypeVar("T")
Prepare: TypeAlias = Callable[[Viewed], Coroutine[Any, Any, T]]
"has the view know what a question needs, and finds in it what is asked about"

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
def asking(given: Globals, prepare: Prepare[T]) -> Iterator[View[T]]:
    """The view, after `prepare` has caught up with what it needs of the open repository.

    Raises as `open_repository` and `prepare`.
    """
    session = begin(given)
    with _interruptible():
        view = _at_a_glance(session, prepare) or _at_a_look(session, prepare)
        with view.db:
            view.db.connection.set_progress_handler(_go_on, _STEPS)
            yield view


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise Abort, as they do in an event loop."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort from None
    finally:
        signal.signal(signal.SIGTERM, before)


def sources_of(
    only: Filter, *, entries: bool = True, blocks: bool = False
) -> Prepare[list[Source]]:
    """To prepare: the sources that are asked about; their entries and all blocks as said."""

    async def prepare(repository: Viewed) -> list[Source]:
        await repository.look(blocks=False)
        sources = chosen_sources(repository, only)
        numbers = [source.number for source in sources] if entries else []
        await repository.look(numbers, blocks=blocks)
        return sources

    return prepare


def snapshots_of(
    texts: tuple[str, ...], host: str | None, name: str | None
) -> Prepare[list[Snapshot]]:
    """To prepare: the snapshots that a user means, with the entries of their sources applied."""

    async def prepare(repository: Viewed) -> list[Snapshot]:
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


def _at_a_glance(session: Session, prepare: Prepare[T]) -> View[T] | None:
    """The view, if it can be had at once. Whoever is to be told of an error has a proper look."""
    ahead = session.given.ahead
    glanced = ahead and glance(session.verbs, session.directories, ahead, World())
    if not glanced:
        return None
    try:
        found = _outcome(prepare(glanced))
    except SnapfsError:
        glanced.db.close()
        return None
    session.verbs.close()
    session.remember_file(session.verbs.url, glanced.slot)
    return View(glanced.db, glanced.world.now_ns(), found)


def _outcome(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits, as none does that has a `Glanced` to look at."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        outcome: T = end.value
        return outcome
    coroutine.close()
    raise AssertionError("a glance waits for nothing")


def _at_a_look(session: Session, prepare: Prepare[T]) -> View[T]:
    if session.given.ahead is not None:
        session.given.ahead.begin()
    from snapfs.cli.loop import run  # which takes as long to load as a key to derive

    path, now_ns, found = run(lambda: _prepared(session, prepare))
    return View(Database.open_readonly(path), now_ns, found)


async def _prepared(session: Session, prepare: Prepare[T]) -> tuple[Path, int, T]:
    async with session.repository() as repository:
        found = await prepare(repository)
        return repository.state.replica, repository.world.now_ns(), found


def _go_on() -> bool:
    """Nothing: that Python is called at all is what lets it raise KeyboardInterrupt."""
    return False
