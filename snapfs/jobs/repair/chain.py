"""Repair: which copies of lost records fit into the log, by its chain of hashes. Pure."""

from typing import NamedTuple

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import parts, records
from snapfs.model.identity import Commit
from snapfs.repository.keys import Keys


class _Link(NamedTuple):
    hash: bytes
    previous: bytes | None
    "None of a record that only a newer program can read"


class Chain:
    """The log as it lies in the store, and copies for its gaps."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._links: dict[Commit, _Link] = {}
        "what is in the store, then also what was proven to have been there"
        self._copies: dict[Commit, _Link] = {}

    def add(self, number: Commit, stored: bytes | None) -> bool:
        """Add what the store has under a number; whether that is a record."""
        link = self._link(number, stored)
        if link is not None:
            self._links[number] = link
        return link is not None

    def add_copy(self, number: Commit, copy: bytes | None) -> None:
        """Add a copy of a record that the store has not, or damaged."""
        link = self._link(number, copy)
        if link is not None:
            self._copies[number] = link

    def provable(self) -> list[Commit]:
        """The copies that are what the store has lost, in order.

        One that follows a record of the store, or is followed by one, as the hashes in them say,
        was there; and so what it follows, and what follows it.
        """
        proven = {number for number in sorted(self._copies) if self._proves(number)}
        proven |= {number for number in sorted(self._copies, reverse=True) if self._proves(number)}
        return sorted(proven)

    def _proves(self, number: Commit) -> bool:
        """Whether a neighbour in the chain speaks for a copy, and none against it."""
        copy = self._copies[number]
        before = self._links.get(Commit(number - 1))
        after = self._links.get(Commit(number + 1))
        said = []
        if number == records.FIRST:
            said.append(copy.previous == records.NO_HASH)
        elif before is not None:
            said.append(copy.previous == before.hash)
        if after is not None and after.previous is not None:
            said.append(after.previous == copy.hash)
        if not said or not all(said):
            return False
        self._links[number] = copy
        return True

    def _link(self, number: Commit, data: bytes | None) -> _Link | None:
        if data is None:
            return None
        try:
            head = records.decode(data, number, self._keys.repository, self._keys.epochs)
        except NewerFormatError:
            return _Link(parts.digest(data), None)
        except FormatError:
            return None
        return _Link(parts.digest(data), head.previous)
