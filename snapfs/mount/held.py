"""Numbers for directories that have none of their own, held as long as the kernel knows them.

It is the one table that the mount keeps, and the kernel bounds it: it forgets directories that
nobody uses. A number is never given twice.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Holding(Generic[T]):
    number: int
    subject: T
    count: int
    "look-ups that the kernel has not taken back"


class Held(Generic[T]):
    """Subjects by number. For the event loop alone."""

    def __init__(self) -> None:
        self._by_subject: dict[T, _Holding[T]] = {}
        self._by_number: dict[int, _Holding[T]] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._by_number)

    def hold(self, subject: T) -> int:
        """The number of a subject; counts as one look-up."""
        holding = self._by_subject.get(subject)
        if holding is None:
            holding = _Holding(self._next, subject, 0)
            self._next += 1
            self._by_subject[subject] = self._by_number[holding.number] = holding
        holding.count += 1
        return holding.number

    def get(self, number: int) -> T | None:
        """The subject of a number."""
        holding = self._by_number.get(number)
        return holding.subject if holding else None

    def forget(self, number: int, count: int) -> None:
        """Take look-ups back; after the last the number means nothing any more."""
        holding = self._by_number.get(number)
        if holding is None:
            return
        holding.count -= count
        if holding.count <= 0:
            del self._by_number[number], self._by_subject[holding.subject]
