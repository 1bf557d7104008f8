"""A process that kills itself at the n-th moment at which something could have been lost.

Moments are numbered from 1: before each call of the store, after each call that changes it, before
and after each commit of a database, and, for a restore, before each name that a file gets.
"""

import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import trio

from snapfs.formats import objects
from snapfs.metadata.database import Database
from snapfs.stores.base import Listed, Store
from snapfs.stores.durable import TEMPORARY

_UPLOAD = 0.02
"seconds for a pack: what does not wait until it is durable comes before it"

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(slots=True)
class Clock:
    """Counts moments, and ends the process at one of them."""

    kill_at: int
    "0 for never"
    now: int = 0
    last_words: list[Callable[[int], None]] = field(default_factory=list)
    "called with the moment's number just before the end"

    _one: threading.Lock = field(default_factory=threading.Lock)

    def tick(self) -> None:
        """A moment passes, or it is the last one. Threads take turns."""
        with self._one:
            self.now += 1
            if self.now == self.kill_at:
                for speak in self.last_words:
                    speak(self.now)
                os.kill(os.getpid(), signal.SIGKILL)


class MortalStore:
    """A store around one in a directory, whose calls are moments.

    At the end, puts under way are there or not: the moment's number decides for each of them. And
    each leaves half a temporary file, as a writer does that loses power.
    """

    def __init__(self, store: Store, root: Path, clock: Clock) -> None:
        self._store = store
        self._root = root
        self._clock = clock
        self._under_way: dict[int, tuple[str, bytes, bool]] = {}
        self._tickets = count()
        clock.last_words.append(self._settle)

    @property
    def url(self) -> str:
        return self._store.url

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        self._clock.tick()
        return await self._store.get(name, start=start, length=length)

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        ticket = next(self._tickets)
        self._under_way[ticket] = name, data, if_absent
        try:
            self._clock.tick()
            if name.startswith(objects.PACKS):
                await trio.sleep(_UPLOAD)
            await self._store.put(name, data, if_absent=if_absent)
        finally:
            del self._under_way[ticket]
        self._clock.tick()

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        self._clock.tick()
        async for item in self._store.list(prefix, after=after):
            yield item

    async def delete(self, name: str) -> None:
        self._clock.tick()
        await self._store.delete(name)
        self._clock.tick()

    async def sweep(self, *, before: float) -> int:
        self._clock.tick()
        swept = await self._store.sweep(before=before)
        self._clock.tick()
        return swept

    async def aclose(self) -> None:
        await self._store.aclose()

    def _settle(self, moment: int) -> None:
        for at, (name, data, if_absent) in enumerate([*self._under_way.values()]):
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
            torn.write_bytes(data[: len(data) // 2])
            if (moment >> at) & 1 and not (if_absent and path.exists()):
                whole = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
                whole.write_bytes(data)
                whole.rename(path)


@contextmanager
def mortal_commits(clock: Clock) -> Iterator[None]:
    """Let each commit of a database be two moments: before it, and after."""
    writing = Database.writing

    @contextmanager
    def mortal(self: Database) -> Iterator[None]:
        with writing(self):
            yield
            clock.tick()
        clock.tick()

    with patch.object(Database, "writing", mortal):
        yield


@contextmanager
def mortal_names(clock: Clock) -> Iterator[None]:
    """Let each system call that writes a file or gives it a name be a moment."""
    with (
        patch.object(os, "rename", _mortal(os.rename, clock)),
        patch.object(os, "pwrite", _mortal(os.pwrite, clock)),
    ):
        yield


def _mortal(call: Callable[_P, _R], clock: Clock) -> Callable[_P, _R]:
    def mortal(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        clock.tick()
        return call(*args, **kwargs)

    return mortal
