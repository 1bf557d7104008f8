"""Names and paths of entries, and the number of a directory by its name."""

ANCHOR = b""
ROOT = b"/"
BY_NAME = "SELECT number FROM directory WHERE parent = ? AND name = ? AND parent <> 0"
"the last condition is that of the index, which SQLite cannot see in a bound value"


def join(directory: bytes, name: bytes) -> bytes:
    """The path of a directory's entry; the anchor's one entry is the root."""
    if directory == ANCHOR:
        return name
    return directory + name if directory == ROOT else directory + b"/" + name
