"""A process that catches up, and kills itself after so many pieces: for tests of shared states."""

import os
import signal
import sys
from pathlib import Path

import trio

from snapfs.formats.parts import BlockPart, EntryPart
from snapfs.metadata.replica import Piece, Replica
from snapfs.stores.files import Files
from snapfs.stores.threaded import ThreadedStore
from tests.repository.machines import replayed


def main(store: str, state: str, killed_after: str) -> None:
    left = int(killed_after)
    apply = Replica.apply_piece

    def counted(self: Replica, piece: Piece, part: BlockPart | EntryPart) -> None:
        nonlocal left
        apply(self, piece, part)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Replica.apply_piece = counted  # type: ignore[method-assign]
    trio.run(_catch_up, Path(store), Path(state))


async def _catch_up(store: Path, state: Path) -> None:
    async with replayed(ThreadedStore(Files(store)), state):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
