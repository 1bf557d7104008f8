"""Whether two nodes hold the same, and what differs."""

from snapfs.metadata.blockindex import BlockIndex
from snapfs.metadata.database import Database
from snapfs.metadata.tree import Node, Tree
from snapfs.model.content import Content, Extent, Hole, Listed
from snapfs.model.versions import Aspects, aspects


class Sameness:
    """Compares nodes of any sources of one repository."""

    def __init__(self, db: Database) -> None:
        self._tree = Tree(db)
        self._blocks = BlockIndex(db)

    def aspects(self, before: Node, after: Node) -> Aspects:
        """What differs between two nodes."""
        if before.number == after.number:
            return ()
        return aspects(
            before.attributes, after.attributes, same_content=self.same_content(before, after)
        )

    def same_content(self, one: Node, other: Node) -> bool:
        """Whether two nodes have the same bytes; of what is no file, True.

        A hole and the zeros that it stands for are not the same here.
        """
        if not (one.attributes.is_file and other.attributes.is_file) or one.data == other.data:
            return True
        if one.attributes.size != other.attributes.size:
            return False
        # Equal bytes are cut equally, into blocks and into lists; but two hosts that stored a block
        # at once have two copies of it, with two numbers and one key.
        return self._keys(one.content()) == self._keys(other.content())

    def _keys(self, content: Content) -> list[tuple[bytes | None, int]]:
        return [(self._key(extent), extent.length) for extent in content]

    def _key(self, extent: Extent) -> bytes | None:
        if isinstance(extent, Hole):
            return None
        if isinstance(extent, Listed):
            return self._tree.list_key(extent.number)
        return self._blocks.key(extent.number)
