"""Which bytes of a memory of fixed size are in use, where they are taken and given back in turn."""

from collections import OrderedDict


class Ring:
    """Gives out runs of a memory's bytes. It does not know the memory itself."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._head = 0
        "where the next run begins, counted on and on: it lies at the remainder by the size"
        self._begins: OrderedDict[int, int] = OrderedDict()
        "of the runs that are out, by their offsets, oldest first"

    def take(self, length: int) -> int | None:
        """The offset of a run of so many bytes; None while there is no room for it.

        Runs may come back in any order; there is room again when the oldest does.
        """
        length = max(length, 1)  # no two have the same offset
        begin = self._head
        if begin % self._size + length > self._size:
            begin += self._size - begin % self._size
        oldest = next(iter(self._begins.values()), begin)
        if begin + length - oldest > self._size:
            return None
        self._head = begin + length
        offset = begin % self._size
        self._begins[offset] = begin
        return offset

    def give_back(self, offset: int) -> None:
        """The run at this offset is not needed any more."""
        del self._begins[offset]
