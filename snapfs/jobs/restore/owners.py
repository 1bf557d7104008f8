"""Which owners restored things get: the ids of the source, or those of the same names here."""

from collections.abc import Callable

from snapfs.metadata.snapshots import Snapshots
from snapfs.model.identity import SourceNumber
from snapfs.sources.owners import Owners


class OwnerMap:
    """Ids of the source → ids here. Not for use from two threads at once."""

    def __init__(
        self, users: Callable[[int], int] | None = None, groups: Callable[[int], int] | None = None
    ) -> None:
        self._user = users
        self._group = groups
        self._users: dict[int, int] = {}
        self._groups: dict[int, int] = {}

    def user(self, uid: int) -> int:
        """The user id that things of `uid` get."""
        return uid if self._user is None else _ask(self._users, self._user, uid)

    def group(self, gid: int) -> int:
        """The group id that things of `gid` get."""
        return gid if self._group is None else _ask(self._groups, self._group, gid)


def by_name(snapshots: Snapshots, source: SourceNumber, here: Owners) -> OwnerMap:
    """A map by the names that the source's host knew; ids without a name stay."""
    users, groups = snapshots.owner_names(source)

    def user(uid: int) -> int:
        found = here.uid(users[uid]) if users.get(uid) else None
        return uid if found is None else found

    def group(gid: int) -> int:
        found = here.gid(groups[gid]) if groups.get(gid) else None
        return gid if found is None else found

    return OwnerMap(user, group)


def _ask(known: dict[int, int], ask: Callable[[int], int], number: int) -> int:
    if number not in known:
        known[number] = ask(number)
    return known[number]
