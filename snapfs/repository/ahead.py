"""Deriving a key ahead: while the program still loads, and the store has not answered.

A derivation is slow on purpose, and half of what a short command takes. What it needs beside the
secret is known from the last time; the store's slot decides whether it was the right one.
"""

import threading

import msgspec

from snapfs.errors import UsageError
from snapfs.formats.slots import Recipe, derive
from snapfs.repository.state import FileState

HANDOVER = "SNAPFS_HANDOVER"
"of the environment: there is one who derives, and hands it over by a pipe"


class _Derived(msgspec.Struct, frozen=True):
    """What one process tells another. Secret: for a pipe, and nothing else."""

    secret: bytes
    recipe: Recipe | None
    key: bytes | None


class Ahead:
    """A secret, and the key that is derived from it before it is asked for."""

    def __init__(
        self, secret: str, recipe: Recipe | None = None, key: bytes | None = None,
        file: FileState | None = None,
    ) -> None:  # fmt: skip
        self.secret = secret
        self.file = file
        "what the secret was read from"
        self._recipe = recipe
        self._key = key
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Derive in a thread of its own, which nobody needs to wait for; once."""
        if self._thread is None and self._recipe is not None and self._key is None:
            # An event loop, which owns threads elsewhere, would have to be loaded first.
            self._thread = threading.Thread(target=self._run, name="derivation", daemon=True)
            self._thread.start()

    @classmethod
    def take_over(cls, data: bytes) -> "Ahead":
        """What another process has handed over."""
        derived = msgspec.msgpack.decode(data, type=_Derived)
        return cls(derived.secret.decode(errors="surrogateescape"), derived.recipe, derived.key)

    def hand_over(self) -> bytes:
        """For another process, once the key is derived."""
        self.begin()
        self._wait()
        secret = self.secret.encode(errors="surrogateescape")
        return msgspec.msgpack.encode(_Derived(secret, self._recipe, self._key))

    def derive_key(self, recipe: Recipe, secret: str) -> bytes:
        """As `slots.derive`; waits for the thread, whatever key that is at.

        Two derivations at once would fail: OpenSSL has a fixed number of threads for all of them,
        and says that memory is missing.
        """
        wanted = (recipe, secret) == (self._recipe, self.secret)
        if wanted:
            self.begin()
        self._wait()
        if wanted and self._key is not None:
            return self._key
        return derive(recipe, secret)

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        assert self._recipe is not None
        try:
            self._key = derive(self._recipe, self.secret)
        except (UsageError, MemoryError):
            return  # whoever asks for the key meets it again, and says so
