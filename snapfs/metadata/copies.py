"""Copies of what holds the repository together: key objects, records, parts. Kept for a repair.

An object comes here once it was opened, or its hash was found to be the one that its record names.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from blake3 import blake3

from snapfs.formats import objects
from snapfs.metadata.database import Database

SCHEMA = "copies.sql"
VERSION = 1


class Copies:
    """The database of copies, for one thread at a time; several processes may have it open."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @classmethod
    def open(cls, path: Path) -> "Copies":
        """Open `path`, made anew if it is not there. Raises as Database."""
        return cls(Database.create_or_open(path, SCHEMA, VERSION))

    def keep(self, sound: Mapping[str, bytes]) -> None:
        """Keep these objects, by name; what was kept under their names gives way."""
        rows = [(name, blake3(data).digest(), data) for name, data in sound.items()]
        with self.db.writing():
            self.db.execute_many("INSERT OR REPLACE INTO copy VALUES (?, ?, ?)", rows)

    def drop(self, names: Iterable[str]) -> None:
        """Let go of these, if they are there."""
        with self.db.writing():
            self.db.execute_many("DELETE FROM copy WHERE name = ?", ((name,) for name in names))

    def get(self, name: str) -> bytes | None:
        """The copy of an object; None where there is none, or it is not what it was."""
        row = self.db.row("SELECT hash, data FROM copy WHERE name = ?", (name,))
        return row[1] if row and blake3(row[1]).digest() == row[0] else None

    def names(self, prefix: str) -> list[str]:
        """The objects of which there are copies, in order, that begin with a prefix."""
        rows = self.db.rows(
            "SELECT name FROM copy WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1"
            " ORDER BY name",
            (prefix,),
        )
        return [name for (name,) in rows]

    def hashes(self, prefix: str) -> dict[str, bytes]:
        """The objects that begin with a prefix, and the hashes that their copies had."""
        rows = self.db.rows(
            "SELECT name, hash FROM copy WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1",
            (prefix,),
        )
        return dict(rows)

    def drop_damaged(self) -> None:
        """Let go of copies that are not what they were, so that they are made anew."""
        self.drop([name for name in self.names("") if self.get(name) is None])

    def tidy(self, replica: Database) -> None:
        """Drop the parts that nobody begins with or goes on with, as far as the replica knows.

        Among them those of a base that was never published.
        """
        # With all that knows of bases, for which who only reads copies has no use.
        from snapfs.metadata.superseded import parts_in_use, superseded_until

        until = superseded_until(replica)
        if until is None or self.db.row("SELECT 1 FROM tidied WHERE until = ?", (until,)):
            return
        self.drop(set(self.names(objects.PARTS)) - parts_in_use(replica).keys())
        with self.db.writing():
            self.db.execute("INSERT OR IGNORE INTO tidied VALUES (?)", (until,))
