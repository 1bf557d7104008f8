"""From a file's blocks to its content as parts write it: lists of lists where it is long. Pure.

Works item by item, so that a content of any length is held only as its open lists.
"""

from collections.abc import Callable
from typing import NamedTuple

from snapfs.formats import parts
from snapfs.formats.parts import Item as WireItem
from snapfs.formats.parts import Items
from snapfs.model.content import LIST_MASK, LIST_MAXIMUM, LIST_MINIMUM, LIST_THRESHOLD


class Item(NamedTuple):
    """One extent: how a part refers to it, its key (empty for a hole), its plain bytes."""

    wire: WireItem
    key: bytes
    length: int


def hole(length: int) -> Item:
    """A hole as an item."""
    return Item(-1 - length, b"", length)


EmitList = Callable[[list[Item]], Item]
"makes a list of items known and returns the item that refers to it"


class ContentBuilder:
    """Takes the items of one content in order and ends with at most LIST_THRESHOLD of them."""

    def __init__(self, emit: EmitList) -> None:
        self._emit = emit
        self._items: list[Item] = []
        self._above: ContentBuilder | None = None
        "takes this content's lists, once it has become too long"

    def add(self, item: Item) -> None:
        """The next item."""
        if self._above is None and len(self._items) == LIST_THRESHOLD:
            waiting, self._items = self._items, []
            self._above = ContentBuilder(self._emit)
            for earlier in waiting:
                self._listed(earlier, self._above)
        if self._above is None:
            self._items.append(item)
        else:
            self._listed(item, self._above)

    def committed(self, rely: Callable[[bytes], None]) -> None:
        """What has been taken in is in the repository now: from here on its key refers to it.

        `rely` is told each block's key, as it may find another copy than ours.
        """
        for item in self._items:
            if item.key and not isinstance(item.wire, tuple):
                rely(item.key)
        self._items = [_by_key(item) for item in self._items]
        if self._above is not None:
            self._above.committed(rely)

    def finish(self) -> list[Item]:
        """The content."""
        if self._above is None:
            return self._items
        if self._items:
            self._above.add(self._emit(self._items))
            self._items = []
        return self._above.finish()

    def _listed(self, item: Item, above: "ContentBuilder") -> None:
        self._items.append(item)
        if ends_list(len(self._items), item.key):
            above.add(self._emit(self._items))
            self._items = []


def _by_key(item: Item) -> Item:
    if not item.key:
        return item
    return Item((item.key,) if isinstance(item.wire, tuple) else item.key, item.key, item.length)


def ends_list(length: int, key: bytes) -> bool:
    """Whether a list of `length` items ends behind the one with this key."""
    tail = key[-1] if key else 1  # a hole ends no list: runs of them would all be cut alike
    return length >= LIST_MAXIMUM or (length >= LIST_MINIMUM and tail & LIST_MASK == 0)


def wire_items(items: list[Item]) -> Items:
    """The items as a part writes them."""
    if len(items) == 1 and items[0].key and not isinstance(items[0].wire, tuple):
        return (items[0].wire,)
    flat: list[WireItem] = []
    for item in items:
        flat.append(item.wire)
        if item.key:
            flat.append(item.length)
    return tuple(flat)


def key_of_list(items: list[Item], block_id_key: bytes) -> bytes:
    """The key under which a list of these items is known."""
    canonical = parts.canonical_items([(item.key, item.length) for item in items])
    return parts.list_key(canonical, block_id_key)
