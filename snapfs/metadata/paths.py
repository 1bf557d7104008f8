"""Paths of directories, looked up once while they are in use; and directories by their paths."""

from snapfs.metadata.database import Database
from snapfs.metadata.names import ANCHOR, ROOT, join
from snapfs.metadata.tree import Tree
from snapfs.model.identity import DirectoryNumber

_REMEMBERED = 65_536
"paths that are kept at hand, about 10 MB; rows of one directory mostly come together"


class Paths:
    """The paths of directories by their numbers."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[int, bytes] = {}

    def directory(self, number: int) -> bytes:
        """The absolute path of a directory; that of a source's anchor is empty."""
        known = self._known.get(number)
        if known is not None:
            return known
        chain: list[tuple[int, bytes]] = []
        while known is None:
            row = self._db.row("SELECT parent, name FROM directory WHERE number = ?", (number,))
            if row is None or row[0] == 0:
                known = ANCHOR
                break
            chain.append((number, bytes(row[1])))
            number = int(row[0])
            known = self._known.get(number)
        return self._remember(known, chain)

    def number(self, anchor: int, path: bytes) -> DirectoryNumber | None:
        """The number that an absolute path has as a directory of a tree, held or not."""
        tree = Tree(self._db)
        number = tree.child(anchor, ROOT)
        for name in path.split(b"/"):
            if name and number is not None:
                number = tree.child(number, name)
        return number

    def entry(self, directory: int, name: bytes) -> bytes:
        """The absolute path of a directory's entry."""
        return join(self.directory(directory), name)

    def _remember(self, path: bytes, chain: list[tuple[int, bytes]]) -> bytes:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        for number, name in reversed(chain):
            path = self._known[number] = join(path, name)
        return path
