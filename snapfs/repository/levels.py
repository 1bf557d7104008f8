"""The repository's level: which features a program needs to read it, and to write to it.

Only `snapfs upgrade` raises it, by a record; so an old program stops at the record that says so,
before it meets what it does not understand.
"""

from collections.abc import Callable

import msgspec

from snapfs.errors import NewerFormatError

Facts = Callable[[str], str | None]
"what a view knows of the repository, by name: `Replica.fact`"
READS: frozenset[str] = frozenset()
"features beyond the first format that this program can read"
WRITES: frozenset[str] = frozenset()
"features beyond the first format that this program can keep up when it writes"


def check_read(fact: Facts) -> None:
    """Raise NewerFormatError where the repository cannot be read by this program."""
    missing = _needed(fact, "read") - READS
    if missing:
        raise NewerFormatError(
            f"this repository uses {', '.join(sorted(missing))}, which this snapfs does not know",
            hint="install a newer snapfs",
        )


def check_write(fact: Facts) -> None:
    """Raise NewerFormatError where this program must not write; it may mount and restore."""
    missing = _needed(fact, "write") - WRITES
    if missing:
        raise NewerFormatError(
            f"writing to this repository needs {', '.join(sorted(missing))}, which this snapfs "
            "does not know; mount and restore work",
            hint="install a newer snapfs to ingest or prune",
        )


def _needed(fact: Facts, which: str) -> set[str]:
    return set(msgspec.json.decode(fact(which) or "[]", type=list[str]))
