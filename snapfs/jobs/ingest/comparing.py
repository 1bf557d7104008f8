"""Comparing the entries of one directory: each as it is found beside what the head has of it.

That has two steps. As a directory is listed, files that are to be read are made ready, and its
subdirectories are noted. What differs is compared when it is its turn, a little later.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from snapfs.jobs.ingest.contents import Item
from snapfs.jobs.ingest.reach import about
from snapfs.metadata.local import Known
from snapfs.metadata.names import join
from snapfs.model.attributes import Attributes
from snapfs.model.finding import Finding, Trouble
from snapfs.model.identity import DirectoryNumber
from snapfs.sources.attributes import attributes_of
from snapfs.sources.listing import Found
from snapfs.sources.reading import Change, State, lstat_again, same_inode
from snapfs.sources.trouble import Report, finding_of

if TYPE_CHECKING:
    from snapfs.jobs.ingest.links import LinkedFiles
    from snapfs.jobs.ingest.walk import Walk

_LOOKS = 3
"times that a file is looked at anew which was replaced before it could be opened"
_DROP_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that is to be walked."""

    path: bytes
    number: DirectoryNumber | None
    "None: the head has no such directory"
    device: int | None
    "st_dev of the root that it belongs to; None above the roots"
    only: frozenset[bytes] | None = None
    "walk these names alone"


@dataclass(slots=True)
class EntryWalk:
    """Compares the entries of one directory; what differs goes to the delta."""

    walk: "Walk"
    directory: Directory
    key: int
    at: bytes
    "a path by which the system reaches it"
    below: list[Directory]
    "its subdirectories, collected"
    linked: "LinkedFiles"
    _gone: list[bytes] = field(default_factory=list)
    _unseen: set[bytes] = field(default_factory=set)
    "names that are there and could not be looked at"

    def take_all(self, names: Iterable[tuple[Found | None, Known | None]]) -> None:
        """Take the names as they are listed; files that are unchanged are done with at once."""
        for found, known in names:
            if found is not None:
                if known is not None and self._is_unchanged(found, known):
                    continue
                if not self._is_excluded(found):
                    self._expect(found, known)
                elif known is None:
                    continue
                else:
                    found = None
            self.walk.compare_later(self, found, known)

    def _expect(self, found: Found, known: Known | None) -> None:
        status = found.stat
        if stat.S_ISDIR(status.st_mode):
            self.below.append(self._below(found, known))
        elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            lasting = self.at == self.directory.path
            self.walk.expect(join(self.at, found.name), status, lasting=lasting)

    def _is_unchanged(self, found: Found, known: Known) -> bool:
        """Whether it is a file that is as the head has it, and counted as such."""
        walk, status = self.walk, found.stat
        is_file = stat.S_ISREG(status.st_mode)
        if (
            known.child is not None
            or status.st_nlink > 1
            or stat.S_ISDIR(status.st_mode)
            or not walk.is_confirmed(known, status)
            or self._is_excluded(found)
        ):
            return False
        walk.tally.unchanged += 1
        walk.tally.bytes_total += status.st_size if is_file else 0
        walk.progress.files += 1
        return True

    def compare(self, found: Found | None, known: Known | None, looks: int = _LOOKS) -> None:
        """Compare one name, as it is found and as the head has it; None where it is not there."""
        walk = self.walk
        if found is None:
            if known is not None and known.name not in self._unseen:
                self._removed(known)
            return
        status = found.stat
        if stat.S_ISDIR(status.st_mode):
            self._directory(found, known)
        elif status.st_nlink > 1:
            self.linked.add(self.directory.path, self.key, found, known)
        elif known is None or not self._is_unchanged(found, known):
            self._changed(found, known, looks)
            walk.checkpoint()

    def cannot_look(self, finding: Finding) -> None:
        """Report an entry that is there and could not be looked at: it stays as the head has it."""
        name = finding.path.rpartition(b"/")[2]
        self._unseen.add(name)
        self.walk.report(replace(finding, path=join(self.directory.path, name)))
        self.walk.tally.failed += 1

    def end(self) -> None:
        """All entries have been compared."""
        self._drop_gone()
        self.walk.checkpoint()

    def _drop_gone(self) -> None:
        if self._gone and not self.walk.options.dry_run:
            self.walk.local.drop(self.key, self._gone)
        self._gone.clear()

    def _is_excluded(self, found: Found) -> bool:
        walk = self.walk
        if not walk.excluder.active and found.name not in walk.never_names:
            return False
        path = join(self.directory.path, found.name)
        if path in walk.options.never:
            return True
        if not walk.excluder.active or self.directory.device is None:
            return False  # above the roots, and at them, patterns have no say
        mode = found.stat.st_mode
        size = found.stat.st_size if stat.S_ISREG(mode) else 0
        return walk.excluder.excludes(path, stat.S_ISDIR(mode), size)

    def _removed(self, known: Known) -> None:
        walk = self.walk
        walk.delta.remove(self.directory.path, known.name)
        self._gone.append(known.name)
        if len(self._gone) >= _DROP_AT_ONCE:
            self._drop_gone()
        if known.child is None:
            walk.tally.removed += 1
        else:
            walk.clear(known.child, join(self.directory.path, known.name))

    # --- directories

    def _directory(self, found: Found, known: Known | None) -> None:
        walk = self.walk
        walk.tally.directories += 1
        held = _directory_of(known)
        if held is None or not walk.is_confirmed(held, found.stat):
            reported = walk.progress.findings
            found = self._as_it_is(found)
            attributes = self._attributes(found)
            node = walk.tree.node(held.node) if held else None
            if node is None or node.attributes != attributes:
                position = walk.delta.add_node(attributes, [])
                is_new = held is None and self._former(found.name) is None
                walk.delta.set_entry(
                    self.directory.path, found.name, position, new_directory=is_new
                )
            if walk.progress.findings == reported:
                walk.confirm(self.key, found.name, found.stat)

    def _as_it_is(self, found: Found) -> Found:
        """A directory as it is by now, so that all its attributes are of one moment."""
        try:
            status = os.lstat(join(self.at, found.name))
        except OSError:
            return found
        # Above the roots links are followed: there it is not the link that is meant.
        return Found(found.name, status) if same_inode(status, found.stat) else found

    def _below(self, found: Found, known: Known | None) -> Directory:
        """What there is to walk below a directory that is found."""
        walk, path = self.walk, join(self.directory.path, found.name)
        held = _directory_of(known)
        number = held.child if held else self._former(found.name)
        device = self.directory.device
        only: frozenset[bytes] | None = None
        if device is None and path in walk.options.roots:
            device = found.stat.st_dev
        elif device is not None and walk.excluder.leaves(found.stat.st_dev, device):
            only = frozenset()
        if device is not None and only is None:
            rule = walk.excluder.directory_rule(join(self.at, found.name))
            only = rule.names if rule else None
        return Directory(path, number, device, only)

    def _former(self, name: bytes) -> DirectoryNumber | None:
        """The number that a path has from an earlier time, when it was a directory before."""
        parent = self.directory.number
        return None if parent is None else self.walk.tree.child(parent, name)

    # --- all others

    def _changed(self, found: Found, known: Known | None, looks: int) -> None:
        """Read what is new or not confirmed; a delta only where it is not as the head has it."""
        walk = self.walk
        path = walk.progress.current = join(self.directory.path, found.name)
        reported = walk.progress.findings
        items: list[Item] = []
        state: State = found.stat
        unsettled = False
        try:
            if stat.S_ISREG(found.stat.st_mode):
                at = join(self.at, found.name)
                captured = walk.reader.capture(path, found.stat, nlink=1, at=at)
                attributes, items, state = captured.attributes, captured.items, captured.state
                unsettled = captured.change is not Change.NONE
            else:
                state = lstat_again(join(self.at, found.name), found.stat)
                attributes = self._attributes(Found(found.name, state))
        except FileNotFoundError:
            self._look_again(found, known, looks)
        except OSError as error:
            self._failed(finding_of(path, error))
        else:
            self._record(found.name, known, attributes, items)
            if not unsettled and walk.progress.findings == reported:
                walk.confirm(self.key, found.name, state)

    def _attributes(self, found: Found) -> Attributes:
        at = join(self.at, found.name)
        path = join(self.directory.path, found.name)
        report: Report = self.walk.report if at == path else about(self.walk.report, path)
        return attributes_of(at, found.stat, report=report)

    def _record(
        self, name: bytes, known: Known | None, attributes: Attributes, items: list[Item]
    ) -> None:
        walk = self.walk
        if attributes.is_file:
            walk.tally.bytes_total += attributes.size
        walk.progress.files += 1
        node = walk.tree.node(known.node) if known and known.child is None else None
        if node and node.attributes == attributes and walk.same_content(node, items):
            walk.tally.unchanged += 1
            return
        if node:
            walk.tally.changed += 1
        else:
            walk.tally.new += 1
        if known and known.child is not None:
            walk.clear(known.child, join(self.directory.path, name))
        position = walk.delta.add_node(attributes, items)
        walk.delta.set_entry(self.directory.path, name, position)

    def _look_again(self, found: Found, known: Known | None, looks: int) -> None:
        """It is gone, or something else has its name: writers replace files by renaming."""
        path = join(self.directory.path, found.name)
        try:
            status = os.lstat(join(self.at, found.name))
        except OSError as error:
            finding = finding_of(path, error)
            if finding.trouble is not Trouble.VANISHED:
                self._failed(finding)
                return
            self.walk.report(finding)
            if known is not None:
                self._removed(known)
            return
        if not looks:
            detail = "was replaced again and again when it was to be read"
            self._failed(Finding(Trouble.UNREADABLE, path, detail))
            return
        again = Found(found.name, status)
        if self._is_excluded(again):
            self.compare(None, known)
            return
        if stat.S_ISDIR(status.st_mode):
            self.walk.descend(self._below(again, known))
        self.compare(again, known, looks - 1)

    def _failed(self, finding: Finding) -> None:
        """Report what cannot be read: it stays as the head has it."""
        self.walk.report(finding)
        self.walk.tally.failed += 1


def _directory_of(known: Known | None) -> Known | None:
    """What the head has under a name, where that is a directory."""
    return known if known is not None and known.child is not None else None
