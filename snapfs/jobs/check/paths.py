"""Paths and sources of rows, for people."""

from dataclasses import dataclass

from snapfs.metadata.database import Database

_DEEPEST = 4096
"directories above one another: a chain that is longer is a loop"
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Located:
    """A path, and whose it is."""

    anchor: int
    host: str
    source: str
    path: bytes

    def __str__(self) -> str:
        shown = self.path.decode(errors="backslashreplace")
        return f"{self.host}/{self.source}:{shown}"


class Paths:
    """Finds where a name stands. Remembers directories: questions come in their order."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sources: dict[int, tuple[str, str]] = {}
        self._directories: dict[int, tuple[int, bytes]] = {}

    def locate(self, directory: int, name: bytes) -> Located:
        """The path of an entry."""
        if len(self._directories) >= _REMEMBERED:
            self._directories.clear()
        anchor, above = self._directory(directory)
        path = b"/" if name == b"/" else above.rstrip(b"/") + b"/" + name
        return Located(anchor, *self._source(anchor), path)

    def _directory(self, number: int) -> tuple[int, bytes]:
        """Anchor and path of a directory."""
        known = self._directories.get(number)
        if known is None:
            known = self._directories[number] = self._walk_up(number)
        return known

    def _walk_up(self, number: int) -> tuple[int, bytes]:
        names: list[bytes] = []
        for _ in range(_DEEPEST):
            row = self._db.row("SELECT parent, name FROM directory WHERE number = ?", (number,))
            if row is None or row[0] == 0:
                break
            names.append(row[1])
            number = int(row[0])
        path = b"/" + b"/".join(name for name in reversed(names) if name != b"/")
        return number, path

    def _source(self, anchor: int) -> tuple[str, str]:
        known = self._sources.get(anchor)
        if known is None:
            row = self._db.row(
                "SELECT host, name FROM source WHERE number ="
                " (SELECT source FROM snapshot WHERE anchor = ? LIMIT 1)",
                (anchor,),
            )
            known = self._sources[anchor] = (row[0], row[1]) if row else ("?", "?")
        return known
