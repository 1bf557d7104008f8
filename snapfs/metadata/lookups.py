"""The questions about one directory at one commit, as SQL for whatever columns are wanted.

Columns are those of entry e and node n. Parameters: ?1 the directory, ?2 the commit. Of several
versions of a name the youngest that is old enough decides, and it may have ended: so the first
column of a single entry is `e.last`, for the caller to compare with the commit.
"""


def by_name(columns: str) -> str:
    """The entry of name ?3."""
    return (
        f"SELECT e.last, {columns} FROM entry e CROSS JOIN node n ON n.number = e.node"
        " WHERE e.directory = ?1 AND e.name = ?3 AND e.first <= ?2"
        " ORDER BY e.first DESC LIMIT 1"
    )


def page(columns: str) -> str:
    """The first ?4 entries behind name ?3, in order of their names' bytes."""
    return (
        f"SELECT {columns} FROM entry e CROSS JOIN node n ON n.number = e.node"
        " WHERE e.directory = ?1 AND e.name > ?3 AND e.first <= ?2 AND e.last > ?2"
        " ORDER BY e.name LIMIT ?4"
    )


def own(columns: str) -> str:
    """The entry that the directory itself is, in its parent."""
    return (
        f"SELECT e.last, {columns} FROM directory d"
        " CROSS JOIN entry e ON e.directory = d.parent AND e.name = d.name"
        " CROSS JOIN node n ON n.number = e.node WHERE d.number = ?1 AND e.first <= ?2"
        " ORDER BY e.first DESC LIMIT 1"
    )
