"""A content as groups of blocks, each small enough to be held, with their places in the file."""

from collections.abc import Iterable, Iterator

import msgspec

from snapfs.model.content import Content, Extent, Hole, Layout, Listed, Stored

LIMIT = 4 * 1024 * 1024
"plain bytes of a group, unless one block is larger"


class Group(msgspec.Struct, frozen=True):
    """Blocks in order, and where in the file each begins.

    A struct, as most files have one: a frozen dataclass takes ten times as long to make.
    """

    blocks: tuple[Stored, ...]
    offsets: tuple[int, ...]

    @property
    def layout(self) -> Layout:
        """The blocks one behind the other, without what lies between them."""
        return Layout(self.blocks)

    @property
    def length(self) -> int:
        """Bytes of all blocks."""
        return sum(block.length for block in self.blocks)


def data_length(content: Content) -> int:
    """Bytes of a content that are stored; all of a list counts."""
    if len(content) == 1:  # as of most files
        return 0 if isinstance(content[0], Hole) else content[0].length
    return sum(extent.length for extent in content if not isinstance(extent, Hole))


def is_small(content: Content) -> bool:
    """Whether a content is one group at most, and can be seen to be so without the database."""
    if len(content) == 1:
        return content[0].length <= LIMIT and not isinstance(content[0], Listed)
    return data_length(content) <= LIMIT and not any(
        isinstance(extent, Listed) for extent in content
    )


def group_of(content: Content) -> Group | None:
    """The blocks of a small content; None where it has none."""
    if len(content) == 1 and isinstance(content[0], Stored):
        return Group((content[0],), (0,))
    return next(groups(content), None)


def groups(extents: Iterable[Extent], limit: int = LIMIT) -> Iterator[Group]:
    """The blocks among `extents` (which hold no lists) in groups of at most `limit` bytes."""
    blocks: list[Stored] = []
    offsets: list[int] = []
    offset = size = 0
    for extent in extents:
        if isinstance(extent, Stored):
            if blocks and size + extent.length > limit:
                yield Group(tuple(blocks), tuple(offsets))
                blocks, offsets, size = [], [], 0
            blocks.append(extent)
            offsets.append(offset)
            size += extent.length
        offset += extent.length
    if blocks:
        yield Group(tuple(blocks), tuple(offsets))
