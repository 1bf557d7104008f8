"""What a store is: objects by name, four verbs.

Every store and every wrapper (retrying, limited, faulty in tests) has exactly this interface, and
one conformance suite runs against all of them (tests/stores/test_conformance.py).

Names are ASCII paths such as `packs/3f/3f…`: `/` separates, and no component is empty or begins
with a dot. Objects are immutable but for `delete`; a name that was deleted is not used again,
except for key slots and the probe.
"""

from collections.abc import AsyncIterator
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
        """The object's bytes, or `length` of them from `start`.

        Returns exactly what was asked for; a range that does not lie within the object is
        an ObjectNotFoundError-free `StoreError`: callers know the sizes of what they read.

        Raises ObjectNotFoundError, StoreUnavailableError (also for a body that was cut short),
        StoreError.
        """
        ...

    async def put(self, name: str, data: bytes, *, if_absent: bool = False) -> None:
        """Store the object durably: when this returns it survives a power failure.

        It appears whole or not at all. With `if_absent` it is created only where nothing of that
        name exists, in one atomic step. Without, it replaces.

        Raises ObjectExistsError (if_absent), PutConflictError (if_absent: unknown outcome),
        StoreUnavailableError (unknown outcome), StoreFullError, StoreError.
        """
        ...

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        """Objects whose names begin with `prefix` and sort after `after`, in order of name.

        Order is that of the names' bytes. Pages through any number in bounded memory.
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove the object; one that is absent already is no error."""
        ...

    async def aclose(self) -> None:
        """Release connections. The store cannot be used afterwards."""
        ...
