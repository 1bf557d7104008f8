"""Directories that are gone: what they held ends with them, in the same commit."""

from collections.abc import Callable

from snapfs.jobs.ingest.delta import Delta
from snapfs.metadata.names import join
from snapfs.metadata.tree import Tree
from snapfs.model.identity import Commit, DirectoryNumber


def clear_below(
    tree: Tree, head: Commit, delta: Delta, directory: DirectoryNumber, path: bytes,
    ended: Callable[[bytes], None] = lambda path: None,
) -> int:  # fmt: skip
    """End all entries below a directory that the source's head has; how many files they were.

    `ended` is told each directory's path.

    Nothing may be committed between this and the row that ends the directory's own entry: the walk
    would never come by here again, and what is below would be held for ever.
    """
    files = 0
    gone = [(directory, path)]
    while gone:
        number, at = gone.pop()
        held = False
        for entry in tree.entries(number, head):
            held = True
            if entry.child is None:
                files += 1
            else:
                gone.append((entry.child, join(at, entry.name)))
        if held:
            delta.clear(at)
        ended(at)
    return files
