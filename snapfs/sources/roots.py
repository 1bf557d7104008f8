"""Which trees are walked: from the paths that were named to roots that do not overlap.

A root is absolute and stays as it was named: symbolic links on the way to it are followed and
never rewritten, one at its end is captured as a link, also if named with a slash behind it.
Devices, FIFOs and sockets that are named are recorded as such and never opened.
"""

import os
import stat
import sys
from collections.abc import Iterable, Sequence

from snapfs.errors import SnapfsError, UsageError
from snapfs.sources.trouble import describe


def plan_roots(paths: Sequence[bytes], cwd: bytes) -> tuple[bytes, ...]:
    """The roots to walk, sorted, for paths as named in the directory `cwd`.

    What is named twice, or lies in a directory that is named, too, is left out.

    Raises SnapfsError that names every path that does not exist or cannot be looked at, and
    UsageError if `..` leads through a symbolic link, or a path passes through a symbolic link
    that is itself to be captured.
    """
    if not paths:
        raise UsageError("no path was named")
    missing: list[str] = []
    roots: dict[bytes, os.stat_result] = {}
    for path in paths:
        root = absolute(path, cwd)
        try:
            roots[root] = os.lstat(root)
            _refuse_ambiguous(os.path.join(cwd, path), roots[root])
        except OSError as error:
            missing.append(f"{os.fsdecode(path)}: {describe(error)}")
    if missing:
        raise SnapfsError("cannot capture what is not there:\n  " + "\n  ".join(missing))
    return _without_nested(roots)


def absolute(path: bytes, cwd: bytes) -> bytes:
    """`path` from the root, with `.`, `..` and double slashes resolved by their letters alone."""
    normal = os.path.normpath(os.path.join(cwd, path))
    # POSIX leaves the meaning of two leading slashes open, and normpath keeps them.
    return b"/" + normal.lstrip(b"/")


def ancestors(root: bytes) -> list[bytes]:
    """The directories above a root, from `/` down; none for `/` itself.

    Those may be symbolic links to directories: the way to the root goes through them.
    """
    if root == b"/":
        return []
    parts = root.split(b"/")[1:-1]
    return [b"/", *(b"/" + b"/".join(parts[:count]) for count in range(1, len(parts) + 1))]


def _refuse_ambiguous(given: bytes, by_letters: os.stat_result) -> None:
    """`a/link/../b` is not `a/b` if link leads elsewhere: capturing either would surprise."""
    if b".." not in given.split(b"/"):
        return
    if not os.path.samestat(os.lstat(given.rstrip(b"/") or b"/"), by_letters):
        raise UsageError(
            f"{os.fsdecode(given)} leads through a symbolic link", hint="write it without '..'"
        )


def _without_nested(roots: dict[bytes, os.stat_result]) -> tuple[bytes, ...]:
    kept: list[bytes] = []
    # With the slash behind, a directory's content follows right after it: /a, /a/x, then /a-b.
    for root in sorted(roots, key=lambda path: path.rstrip(b"/") + b"/"):
        if kept and is_inside(root, kept[-1]):
            _refuse_link_between(kept[-1], root)
        else:
            kept.append(root)
    return tuple(sorted(kept))


def is_inside(path: bytes, directory: bytes) -> bool:
    """Whether `path` lies below `directory` by its letters; both absolute and normal."""
    return path != directory and path.startswith(directory.rstrip(b"/") + b"/")


def _refuse_link_between(outer: bytes, inner: bytes) -> None:
    """A link is captured as a link: what lies behind it would silently be left out."""
    for step in (outer, *(step for step in ancestors(inner) if is_inside(step, outer))):
        if not stat.S_ISDIR(os.lstat(step).st_mode):
            raise UsageError(
                f"{os.fsdecode(inner)} lies behind {os.fsdecode(step)}, which is to be captured "
                "as the symbolic link that it is",
                hint="name what the link leads to by its own path",
            )


def read_names(data: bytes) -> list[bytes]:
    """The paths in a list: separated by NUL if there is one in it, else by newlines.

    Empty ones are passed over; nothing is a comment.
    """
    separator = b"\0" if b"\0" in data else b"\n"
    return [name for name in data.split(separator) if name]


def names_from(files: Iterable[bytes]) -> list[bytes]:
    """The paths in these files (`--files-from`), `-` being the standard input.

    Raises UsageError for a file that cannot be read.
    """
    names: list[bytes] = []
    for file in files:
        names += read_names(read_list(file))
    return names


def read_list(file: bytes) -> bytes:
    """All bytes of a file that the command line names, or of the standard input for `-`."""
    if file == b"-":
        return sys.stdin.buffer.read()
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise UsageError(f"cannot read {os.fsdecode(file)}: {describe(error)}") from error
