"""What goes wrong with one thing of a source, as findings; the source as a whole goes on.

Everything in this room raises plain OSErrors for the thing that it was asked about. Whoever walks
the source turns them into findings here, in one place.
"""

import errno
from collections.abc import Callable
from typing import TypeAlias

from snapfs.model.finding import Finding, Trouble

Report: TypeAlias = Callable[[Finding], None]
"receives what could not be captured while the capture goes on"

_GONE = (errno.ENOENT, errno.ENOTDIR)


def finding_of(path: bytes, error: OSError) -> Finding:
    """The finding for an OSError that kept the thing at `path` from being captured."""
    trouble = Trouble.VANISHED if error.errno in _GONE else Trouble.UNREADABLE
    return Finding(trouble, path, describe(error))


def describe(error: OSError) -> str:
    """The error in words, without the path."""
    return error.strerror or type(error).__name__
