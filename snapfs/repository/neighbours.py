"""Fetching ahead for who reads one small file after another, as `cp -r` does.

An ingest stores small files in the order of its walk, many to a segment, so whoever walks a tree
takes segment after segment: waiting for each would cost a journey to the store every time.
"""

from itertools import takewhile

from snapfs.metadata.blockindex import BlockIndex
from snapfs.model.identity import SegmentNumber
from snapfs.repository.segments import SegmentFetcher, Wanted

_LARGEST = 8
"segments ahead, 4 MiB of plain bytes"


class Neighbours:
    """Sees which segments are read, and fetches what will probably be next.

    It holds nothing but the last number. That the segments before are at hand tells that they were
    read as well; and several who walk at the same time don't disturb each other.
    """

    def __init__(self, blocks: BlockIndex, fetcher: SegmentFetcher) -> None:
        self._blocks = blocks
        self._fetcher = fetcher
        self._last = 0

    def follow(self, segment: int) -> None:
        """A small file in this segment is being read. Does not wait."""
        if segment == self._last:
            return
        self._last = segment
        before = range(segment - 1, max(0, segment - 1 - _LARGEST // 2), -1)
        ahead = 2 * sum(1 for _ in takewhile(self._fetcher.has, before))
        # Not one by one: half of them in one request, when the other half is still there.
        if ahead and not self._fetcher.has(segment + 1 + ahead // 2):
            self._fetcher.start(self._places(range(segment + 1, segment + 1 + ahead)))

    def _places(self, numbers: range) -> list[Wanted]:
        places = ((number, self._blocks.segment(SegmentNumber(number))) for number in numbers)
        return [Wanted(number, place) for number, place in places if place is not None]
