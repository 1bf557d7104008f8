"""Which blocks the repository has: asked for each block that is read, and most are not there.

A look-up in the database takes some twenty microseconds, and gives way to other threads. Where
many are made it is worth reading the index once, into a filter that knows nearly all new ones.
"""

from snapfs.metadata.blockindex import BlockIndex, KnownBlock
from snapfs.metadata.blocks import tag_of
from snapfs.model.bloom import BloomFilter
from snapfs.model.identity import BlockKey

_FOR_ONE = 8
"blocks of the index that go into the filter in the time of one look-up"
_MOST = 2_000_000
"blocks in the index up to which the filter is of use"
_PAGE = 10_000


class KnownBlocks:
    """The index of blocks. What others store after `look_again` may be missed."""

    def __init__(self, index: BlockIndex) -> None:
        self._index = index
        self._filter: BloomFilter | None = None
        self._filtered = 0
        "a number: the filter has all blocks below it"
        self._lookups = 0
        self.look_again()

    def look_again(self) -> None:
        """Learn what has come."""
        self._end = self._index.end()
        if self._filter is not None or not self._end:
            self._fill()

    def find(self, key: BlockKey) -> KnownBlock | None:
        """A stored copy of this block on which a commit may rely."""
        if self._filter is None:
            self._lookups += 1
            if self._lookups * _FOR_ONE > self._end:
                self._fill()
        elif not self._filter.may_hold(tag_of(key)):
            return None
        return self._index.find(key)

    def _fill(self) -> None:
        """Have the filter hold all that is known, unless that is too much."""
        if self._end > _MOST:
            self._filter, self._filtered = None, 0
            return
        self._filter = self._filter or BloomFilter()
        while page := self._index.tags_from(self._filtered, _PAGE):
            for _, tag in page:
                self._filter.add(tag)
            self._filtered = page[-1][0] + 1
