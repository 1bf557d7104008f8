"""Names of owners and groups: numbers to names when capturing, names to numbers when restoring.

The system's name service may ask a directory server, so each question is asked once.
"""

import grp
import os
import pwd
from collections.abc import Callable


class Owners:
    """Answers about owners, kept as long as this lives. Not for use from two threads at once."""

    def __init__(self) -> None:
        self._users: dict[int, bytes] = {}
        self._groups: dict[int, bytes] = {}
        self._uids: dict[bytes, int | None] = {}
        self._gids: dict[bytes, int | None] = {}

    def user(self, uid: int) -> bytes:
        """The login name of `uid`, or empty if it has none."""
        name = self._users.get(uid)
        if name is None:
            name = self._users[uid] = _name(lambda: pwd.getpwuid(uid).pw_name)
        return name

    def group(self, gid: int) -> bytes:
        """The name of the group `gid`, or empty if it has none."""
        name = self._groups.get(gid)
        if name is None:
            name = self._groups[gid] = _name(lambda: grp.getgrgid(gid).gr_name)
        return name

    def uid(self, name: bytes) -> int | None:
        """The number of the user of this name here, or None."""
        if name not in self._uids:
            self._uids[name] = _number(lambda: pwd.getpwnam(os.fsdecode(name)).pw_uid)
        return self._uids[name]

    def gid(self, name: bytes) -> int | None:
        """The number of the group of this name here, or None."""
        if name not in self._gids:
            self._gids[name] = _number(lambda: grp.getgrnam(os.fsdecode(name)).gr_gid)
        return self._gids[name]


def _name(ask: Callable[[], str]) -> bytes:
    try:
        return os.fsencode(ask())
    except KeyError:
        return b""


def _number(ask: Callable[[], int]) -> int | None:
    try:
        return ask()
    except (KeyError, ValueError):
        return None
