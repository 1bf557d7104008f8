"""Open files: reading their content, and what happens where it cannot be read."""

import errno
import logging
import os
from dataclasses import dataclass

import trio
from pyfuse3 import FUSEError

from snapfs.errors import SnapfsError
from snapfs.metadata import contents
from snapfs.metadata.database import Database
from snapfs.metadata.lines import Line
from snapfs.metadata.naming import path_of_node
from snapfs.repository.reader import ContentReader, OpenContent
from snapfs.repository.repository import Repository

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _OpenFile:
    node: int
    content: OpenContent
    complained: bool = False
    "a failure was logged; one line for each opening is enough"


class OpenFiles:
    """The files that programs hold open, by handle."""

    def __init__(self, repository: Repository, reader: ContentReader) -> None:
        self._repository = repository
        self._reader = reader
        self._open: dict[int, _OpenFile] = {}
        self._next = 0

    def open(self, line: Line) -> int:
        """A new handle on a file."""
        content = contents.decode(line.content) if line.content else ()
        self._next += 1
        self._open[self._next] = _OpenFile(line.number, self._reader.open(content))
        return self._next

    def close(self, handle: int) -> None:
        """Give a handle back."""
        del self._open[handle]

    async def read(self, handle: int, offset: int, length: int) -> bytes | memoryview:
        """Up to `length` bytes. Raises FUSEError with EIO where they cannot be had."""
        file = self._open[handle]
        try:
            pieces = file.content.at_hand(offset, length)
            if pieces is None:
                pieces = await file.content.read_pieces(offset, length)
        except SnapfsError as error:
            await self._complain(file, offset, error)
            raise FUSEError(errno.EIO) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _complain(self, file: _OpenFile, offset: int, error: SnapfsError) -> None:
        if file.complained:
            return
        file.complained = True
        name = await trio.to_thread.run_sync(self._name, file.node)
        log.error("%s: cannot be read at byte %d: %s", name, offset, error.what)

    def _name(self, node: int) -> str:
        """What the log calls a file. Scans, on a connection of its own."""
        try:
            with Database.open_readonly(self._repository.state.replica) as db:
                found = path_of_node(db, node)
        except SnapfsError:
            found = None
        return f"{found[0]}:{os.fsdecode(found[1])!r}" if found else f"inode {node}"
