"""The path of a node, found by a scan: for messages about damage, which are rare and want names."""

from snapfs.metadata.database import Database

_DEEPEST = 4096
"directories above one another: a chain that is longer is a loop in a damaged database"


def path_of_node(db: Database, node: int) -> tuple[str, bytes] | None:
    """One source, as host/name, and the path in it at which this node stood at some time.

    Reads the table of entries up to the first hit, which may take a second: not for the thread of
    the event loop.
    """
    row = db.row("SELECT directory, name FROM entry WHERE node = ? LIMIT 1", (node,))
    if row is None:
        return None
    directory, names = int(row[0]), [bytes(row[1])]
    for _ in range(_DEEPEST):
        above = db.row("SELECT parent, name FROM directory WHERE number = ?", (directory,))
        if above is None or above[0] == 0:
            break
        directory, name = int(above[0]), bytes(above[1])
        names.append(name)
    source = db.row(
        "SELECT host || '/' || name FROM source WHERE number ="
        " (SELECT source FROM snapshot WHERE anchor = ? LIMIT 1)",
        (directory,),
    )
    path = b"/" + b"/".join(name for name in reversed(names) if name != b"/")
    return (str(source[0]) if source else "?", path)
