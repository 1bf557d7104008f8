"""How a handler fails: with an error number for the program that asked, and never for the mount."""

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

from pyfuse3 import FUSEError

from snapfs.errors import SnapfsError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def answer(handler: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A handler that answers EIO to its program where the local database fails, and lives on.

    So it does with what nobody foresaw: one program's request is no reason to take the mount from
    all others.
    """

    @functools.wraps(handler)
    async def answered(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await handler(*args, **kwargs)
        except SnapfsError as error:
            log.error("%s", error.what)
            raise FUSEError(errno.EIO) from error
        except FUSEError:
            raise
        except Exception as error:
            log.exception("unexpected %s: this is a fault in snapfs", type(error).__name__)
            raise FUSEError(errno.EIO) from error

    return answered


def absent() -> NoReturn:
    """Say that there is no such name, and that the kernel must ask again: it may come to be."""
    raise FUSEError(errno.ENOENT)


def stale() -> NoReturn:
    """Say that what an inode stood for is gone."""
    raise FUSEError(errno.ESTALE)
