"""The past in the mount: requests about its directories, answered in a thread of their own.

Their look-ups may scan, so they have a connection of their own; one request at a time has it.
Directories get their numbers on the event loop, where the kernel's word comes that it forgets them.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import trio
from pyfuse3 import EntryAttributes, FUSEError

from snapfs.metadata.database import Database
from snapfs.metadata.past import Past
from snapfs.metadata.snapshots import Snapshots
from snapfs.metadata.tree import Tree
from snapfs.model.attributes import XattrPairs
from snapfs.model.identity import SourceNumber
from snapfs.model.inode import Inode, Kind, decode
from snapfs.mount.attributes import Appearance
from snapfs.mount.facts import Facts
from snapfs.mount.held import Held
from snapfs.mount.layout import Layout, tagged_inode
from snapfs.mount.tagged import Tags
from snapfs.mount.view import Found, Sight, View
from snapfs.mount.views import in_source

T = TypeVar("T")
_ACL = b"system.posix_acl_access"
_AT_ONCE = 128
"names that one answer to readdir may have: what the kernel has room for"


@dataclass(slots=True)
class Seen:
    """What a name stands for. The attributes of a directory lack its number."""

    name: bytes
    shown: EntryAttributes
    leads: View | None


class PastDirectory:
    """One listing of a directory of the past, as one open file handle sees it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._rest: Iterator[Found] | None = None
        self._start = 0
        "names before those that are at hand"
        self._at_hand: list[Found] = []

    def begin(self) -> None:
        """Start anew with what the directory holds now."""
        self._rest = None

    def behind(self, position: int, sight: Sight) -> list[Found]:
        """The next things behind `position` names; none at the end."""
        if self._rest is None or position < self._start:
            self._rest, self._start, self._at_hand = self.view.entries(sight), 0, []
        missing = position - self._start + _AT_ONCE - len(self._at_hand)
        self._at_hand += islice(self._rest, missing)
        del self._at_hand[: position - self._start]
        self._start = position
        return self._at_hand


class History:
    """The directories of the past that the kernel knows."""

    def __init__(
        self, replica: Path, appearance: Callable[[Tree], Appearance], block_id: bytes
    ) -> None:
        self._replica = replica
        self._appearance = appearance
        self._block_id = block_id
        self._held: Held[View] = Held()
        self._looking: _Looking | None = None
        self._turn = trio.CapacityLimiter(1)

    def forget(self, number: int, count: int) -> None:
        """See `Held.forget`."""
        self._held.forget(number, count)

    def close(self) -> None:
        """Close the connection. To be called when no request is under way."""
        if self._looking is not None:
            self._looking.db.close()

    async def top(self, source: SourceNumber | None, name: bytes) -> EntryAttributes | None:
        """What stands in a source's directory, or in the root, without being listed.

        This and the others raise FUSEError with ESTALE, and SnapfsError.
        """
        seen = await self._ask(lambda looking: looking.top(source, name))
        return self._told(seen) if seen else None

    async def lookup(self, inode: Inode, name: bytes) -> EntryAttributes | None:
        """What has this name in a directory of the past."""
        view = self._view(inode)
        seen = await self._ask(lambda looking: looking.lookup(view, name))
        return self._told(seen) if seen else None

    async def attributes(self, inode: Inode) -> EntryAttributes:
        """What stat shows of a directory of the past."""
        view = self._view(inode)
        shown = await self._ask(lambda looking: looking.attributes(view))
        shown.st_ino = inode.encode()
        return shown

    def directory(self, inode: Inode) -> PastDirectory:
        """A listing of a directory of the past."""
        return PastDirectory(self._view(inode))

    async def tell(
        self, directory: PastDirectory, position: int, before: int,
        reply: Callable[[bytes, EntryAttributes, int], bool],
    ) -> None:  # fmt: skip
        """Tell `reply` what follows in a listing, until it has no room: names with their attributes
        and the position behind them, which has `before` added. Each counts as a look-up."""
        items = await self._ask(lambda looking: looking.items(directory, position))
        for behind, seen in enumerate(items, start=position + before + 1):
            shown = self._told(seen)
            if not reply(seen.name, shown, behind):
                if seen.leads is not None:
                    self._held.forget(decode(shown.st_ino).number, 1)
                return

    async def xattrs(self, inode: Inode) -> XattrPairs:
        """What keeps others out of a directory of the past."""
        view = self._view(inode)
        return await self._ask(lambda looking: looking.xattrs(view))

    async def fact(self, node: int, name: bytes) -> bytes | None:
        """What is known of a file's content and versions under this name."""
        return await self._ask(lambda looking: looking.facts.value(node, name))

    def _told(self, seen: Seen) -> EntryAttributes:
        """What is told to the kernel: from now on it knows a directory's number."""
        if seen.leads is not None:
            seen.shown.st_ino = Inode(Kind.HELD, 0, self._held.hold(seen.leads)).encode()
        return seen.shown

    def _view(self, inode: Inode) -> View:
        view = self._held.get(inode.number)
        if view is None:
            raise FUSEError(errno.ESTALE)
        return view

    async def _ask(self, question: "Callable[[_Looking], T]") -> T:
        async with self._turn:
            return await trio.to_thread.run_sync(self._answer, question)

    def _answer(self, question: "Callable[[_Looking], T]") -> T:
        if self._looking is None:
            db = Database.open_readonly(self._replica)
            self._looking = _Looking(db, self._appearance(Tree(db)), self._block_id)
        self._looking.refresh()
        return question(self._looking)


class _Looking:
    """What answers, in whichever thread has its turn."""

    def __init__(self, db: Database, look: Appearance, block_id: bytes) -> None:
        self.db = db
        self._look = look
        self._tree = Tree(db)
        self._layout = Layout(db)
        self._sight = Sight(Past(db), self._layout, Snapshots(db), self._tree)
        self._version = -1
        self.facts = Facts(db, self._sight, block_id)

    def refresh(self) -> None:
        """Forget what was kept at hand of an older view."""
        self.db.row("SELECT max(number) FROM log")
        version = self.db.version()
        if version != self._version:
            self._version = version
            self._layout.refresh()

    def top(self, source: SourceNumber | None, name: bytes) -> Seen | None:
        view: View | None = Tags()
        if source is not None:
            view = in_source(self._sight, source, name)
        return self._seen(Found(name, view.line(self._sight), view)) if view else None

    def lookup(self, view: View, name: bytes) -> Seen | None:
        found = view.find(self._sight, name)
        return self._seen(found) if found else None

    def attributes(self, view: View) -> EntryAttributes:
        return self._look.of_passage(0, view.line(self._sight))

    def items(self, directory: PastDirectory, position: int) -> list[Seen]:
        return [self._seen(found) for found in directory.behind(position, self._sight)]

    def xattrs(self, view: View) -> XattrPairs:
        line = view.line(self._sight)
        node = self._tree.node(line.number) if line is not None and line.child else None
        return tuple(pair for pair in node.attributes.xattrs if pair[0] == _ACL) if node else ()

    def _seen(self, found: Found) -> Seen:
        if found.leads is not None:
            return Seen(found.name, self._look.of_passage(0, found.line), found.leads)
        if found.link is not None:
            target = self._layout.tagged_target(found.link)
            shown = self._look.of_link(tagged_inode(found.link), target, found.link.time_ns)
            return Seen(found.name, shown, None)
        assert found.line is not None
        return Seen(found.name, self._look.of_past(found.line), None)
