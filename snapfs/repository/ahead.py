"""Deriving a key ahead: while the program still loads, and the store has not answered.

A derivation is slow on purpose, and half of what a short command takes. What it needs beside the
secret is known from the last time; the store's slot decides whether it was the right one.
"""

import threading

from snapfs.errors import UsageError
from snapfs.formats.slots import Recipe, derive


class Ahead:
    """One derivation, under way in a thread of its own that nobody needs to wait for."""

    def __init__(self, recipe: Recipe, secret: str) -> None:
        self.secret = secret
        self._recipe = recipe
        self._key: bytes | None = None
        # An event loop, which owns threads elsewhere, would have to be loaded first.
        self._thread = threading.Thread(target=self._run, name="derivation", daemon=True)
        self._thread.start()

    def derive_key(self, recipe: Recipe, secret: str) -> bytes:
        """As `slots.derive`; waits for the thread where it is at this very key."""
        if (recipe, secret) == (self._recipe, self.secret):
            self._thread.join()
            if self._key is not None:
                return self._key
        return derive(recipe, secret)

    def _run(self) -> None:
        try:
            self._key = derive(self._recipe, self.secret)
        except (UsageError, MemoryError):
            return  # whoever asks for the key meets it again, and says so
