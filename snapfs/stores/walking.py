"""The objects in a tree of folders, in the order of their names' bytes."""
# Names here are strings that are cut, compared and sorted, and paths only for the system.
# ruff: noqa: PTH118

import os
from collections.abc import Iterator

from snapfs.stores.base import Listed
from snapfs.stores.names import is_name


def walk(root: str, prefix: str, after: str) -> Iterator[Listed]:
    """Objects below the root whose names begin with `prefix` and sort after `after`.

    Holds the names of one folder per level, no more. Folders that can hold no such object are
    not opened. Blocks; raises OSError (FileNotFoundError only for the root).
    """
    os.stat(root)
    yield from _walk(root, prefix.rpartition("/")[0], prefix, after)


def may_hold(name: str, prefix: str, after: str) -> bool:
    """Whether the object, or the folder where the name ends with `/`, is worth a look."""
    if not name.endswith("/"):
        return name.startswith(prefix) and name > after
    # All in a folder sorts after whatever the folder's name with its slash sorts after.
    within_prefix = name.startswith(prefix) or prefix.startswith(name)
    return within_prefix and (name > after or after.startswith(name))


def _walk(root: str, folder: str, prefix: str, after: str) -> Iterator[Listed]:
    for name in _names(root, folder, prefix, after):
        if name.endswith("/"):
            yield from _walk(root, name[:-1], prefix, after)
            continue
        try:
            stat = os.stat(os.path.join(root, name))
        except FileNotFoundError:
            continue  # deleted since its folder was read
        yield Listed(name, stat.st_size, stat.st_mtime)


def _names(root: str, folder: str, prefix: str, after: str) -> list[str]:
    """What is to be visited in a folder; folders with a final slash, by which they sort, too."""
    inside = f"{folder}/" if folder else ""
    names: list[str] = []
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if not is_name(entry.name):
                    continue  # a temporary file, or nothing of ours
                name = inside + entry.name + ("/" if entry.is_dir() else "")
                if may_hold(name, prefix, after):
                    names.append(name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    names.sort()
    return names
