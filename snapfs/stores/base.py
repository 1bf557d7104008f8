"""What a store is: objects by name, four verbs.

Every store and every wrapper (retrying, limited, faulty in tests) has exactly this interface, and
one conformance suite runs against all of them (tests/stores/test_conformance.py).

Names are ASCII paths such as `packs/3f/3f…`, of letters, digits, `.`, `_` and `-`: `/` separates,
and no component is empty or begins with a dot. Beside a folder `x/` no name continues `x` with `-`
or `.`, which sort before the slash: SeaweedFS lists such a name after the folder's content, and a
store that lists page by page cannot put that right.

Objects are immutable but for `delete`; a name that was deleted is not used again, except for key
slots and the probe.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listed:
    """One object as a listing shows it."""

    name: str
    size: int
    "stored bytes"
    modified: float
    "seconds since 1970 by the store's own clock"


class Verbs(Protocol):
    """What a store can do, for whoever has a thread to wait in: the verbs block.

    They take, give and raise what those of `Store` do.
    """

    @property
    def url(self) -> str:
        """As `Store.url`."""
        ...

    @property
    def at_once(self) -> int:
        """How many calls are worth having under way."""
        ...

    def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        """As `Store.get`."""
        ...

    def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        """As `Store.put`."""
        ...

    def pages(self, prefix: str, *, after: str = "") -> Iterator[Sequence[Listed]]:
        """What `Store.list` gives, in pages of which none is empty."""
        ...

    def delete(self, name: str) -> None:
        """As `Store.delete`."""
        ...

    def sweep(self, *, before: float) -> int:
        """As `Store.sweep`."""
        ...

    def close(self) -> None:
        """As `Store.aclose`."""
        ...


class Store(Protocol):
    """Objects by name. Owned by whoever opened it, who closes it with `aclose`.

    All verbs are safe to call from many tasks at once. Cancelling a verb may leave its request
    running to its end in a thread: the effect of a cancelled `put` or `delete` is unknown.
    """

    @property
    def url(self) -> str:
        """Where it is, for messages; without secrets."""
        ...

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        """The object's bytes from `start` on: `length` of them (at least 1), or all.

        Returns exactly what was asked for, never less. A range must lie wholly inside the
        object, and hold a byte; only the whole of an empty object is empty.

        Raises ObjectNotFoundError (only where the store is known to work and to lack the
        object), ObjectTooShortError, StoreUnavailableError (also for a body that was cut
        short), StoreError.
        """
        ...

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        """Store the object durably: when this returns it survives a power failure.

        It appears whole or not at all. With `if_absent` it is created only where nothing of that
        name exists, in one atomic step. Without, it replaces.

        Raises ObjectExistsError (if_absent), PutConflictError (if_absent), StoreUnavailableError,
        StoreFullError, StoreError. After any of them but ObjectExistsError the outcome is open:
        the object may have appeared, whole.
        """
        ...

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        """Objects whose names begin with `prefix` and sort after `after`, in order of name.

        Order is that of the names' bytes. Pages through any number in bounded memory. What is
        put or deleted meanwhile may be in it or not. It may be left half-way and needs no closing.

        Raises StoreUnavailableError, StoreError; afterwards the iterator is spent.
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove the object; one that is absent already is no error.

        Raises StoreUnavailableError (unknown outcome), StoreError.
        """
        ...

    async def sweep(self, *, before: float) -> int:
        """Remove what writers that died left behind and no listing shows.

        `before` is in seconds since 1970: what was modified later may be somebody's who is still
        at work on it. Returns the number of what was removed. Raises StoreError.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. The store cannot be used afterwards."""
        ...
