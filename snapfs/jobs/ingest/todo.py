"""The directories that a walk has still to list, and which of them it will come to soon. Pure."""

from collections.abc import Sequence

from snapfs.jobs.ingest.comparing import Directory

_SOON = 64
"directories that count as soon: each may be some requests to the disk"


class Todo:
    """A stack: what is found below a directory comes before what is beside it."""

    def __init__(self) -> None:
        self._stack: list[Directory] = []
        self._told: list[bool] = []
        "of each in the stack, whether `soon` need not tell of it any more"
        self._fresh = 0
        "of the last ones in the stack, those that were added since `soon` was asked"

    def __bool__(self) -> bool:
        return bool(self._stack)

    def add(self, *directories: Directory) -> None:
        """These come next, in their order."""
        self._stack.extend(reversed(directories))
        self._told.extend(False for _ in directories)
        self._fresh += len(directories)

    def pop(self) -> Directory:
        """The next one, which is not there any more."""
        self._told.pop()
        self._fresh = max(self._fresh - 1, 0)
        return self._stack.pop()

    def soon(self) -> Sequence[bytes]:
        """The paths of those that come soon, each told once if this is asked after each `pop`.

        Without the next one, which comes at once, and without those of which chosen names alone
        are looked at.
        """
        top = len(self._stack) - 1
        near = top - _SOON
        paths = []
        for at in (near, *range(max(top - self._fresh, near) + 1, top)):
            if at >= 0 and not self._told[at]:
                self._told[at] = True
                if self._stack[at].only is None:
                    paths.append(self._stack[at].path)
        self._fresh = 0
        return paths
