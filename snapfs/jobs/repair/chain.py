"""Repair: which copies of lost records fit into the log, by its chain of hashes. Pure."""

from typing import NamedTuple

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import parts, records
from snapfs.formats.records import GiveUp, Lost
from snapfs.model.identity import Commit
from snapfs.repository.keys import Keys


class _Link(NamedTuple):
    hash: bytes
    previous: bytes | None
    "None of a record that only a newer program can read"
    gives_up: tuple[int, ...] = ()
    announced: int = 0
    "of a stand-in: the record that gives up the lost one"


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

        What a record of the store follows was there, and so was what that follows. What follows
        the last record of the store is the end of the log that was lost. But what follows a record
        in the middle, and does not lead to the next one, is of another log: an old state of the
        storage was brought back, and others went on from there. What the store says to be given up
        does not come back either: somebody may have gone on without it.
        """
        for at in sorted(self._links):
            for number in map(Commit, self._links[at].gives_up):
                if number in self._copies and self._copies[number].announced < at:
                    del self._copies[number]
        proven: list[Commit] = []
        for number in sorted(self._copies, reverse=True):
            after = self._links.get(Commit(number + 1))
            if after is not None and after.previous == self._copies[number].hash:
                if self._contradicts(number):
                    continue
                self._links[number] = self._copies[number]
                proven.append(number)
        last = max(self._links, default=Commit(0))
        while (following := self._copies.get(Commit(last + 1))) is not None:
            before = self._links[last].hash if last else records.NO_HASH
            if following.previous != before:
                break
            last = Commit(last + 1)
            self._links[last] = following
            proven.append(last)
        return sorted(proven)

    def _contradicts(self, number: Commit) -> bool:
        """Whether the record before, which the store has, is not the one that the copy follows."""
        before = self._links.get(Commit(number - 1))
        expected = records.NO_HASH if number == records.FIRST else before and before.hash
        return expected is not None and self._copies[number].previous != expected

    def _link(self, number: Commit, data: bytes | None) -> _Link | None:
        if data is None:
            return None
        try:
            head = records.decode(data, number, self._keys.repository, self._keys.epochs)
        except NewerFormatError:
            return _Link(parts.digest(data), None)
        except FormatError:
            return None
        gives_up = head.body.lost if isinstance(head.body, GiveUp) else ()
        announced = head.body.announced if isinstance(head.body, Lost) else 0
        return _Link(records.chain_hash(head, data), head.previous, gives_up, announced)
