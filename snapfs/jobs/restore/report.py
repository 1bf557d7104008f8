"""What a restore did and what it could not do: counting, and the report in the end."""

import enum
import stat
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from snapfs.jobs.progress import Progress
from snapfs.model.attributes import Attributes
from snapfs.model.finding import Finding, Trouble

LISTED = 1000
"findings that are kept one by one; the others are only counted"


class Action(enum.StrEnum):
    """What is done about one path of the target."""

    WRITE = "write"
    "it is made; of directories, made or given its attributes"
    LINK = "link"
    "it is made as a further name"
    KEEP = "keep"
    "it is there and is kept"
    REMOVE = "remove"
    "it is not in the snapshot and is removed"


Watch = Callable[[Action, bytes], None]
"told of each path of the target as it is dealt with; called from several threads, one at a time"


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """How many findings of a kind there were, listed or not."""

    trouble: Trouble
    count: int


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did; of a dry run, what it would have done."""

    files: int
    "regular files that were written"
    directories: int
    symlinks: int
    specials: int
    "devices, fifos and sockets"
    hard_links: int
    "further names of what is counted above"
    skipped: int
    "entries that were in the target and were kept"
    removed: int
    "entries that were in the target and not in the snapshot"
    bytes: int
    "sizes of the files that were written"
    findings: tuple[Finding, ...]
    "the first ones; attributes that could not be set stand once for all entries alike"
    troubles: tuple[TroubleCount, ...]
    "all of them, by kind"

    @property
    def is_clean(self) -> bool:
        return not self.troubles


@dataclass(slots=True)
class _Unset:
    """An attribute that could not be set, and on how much."""

    first: bytes
    advice: str
    count: int = 0


class Account(Protocol):
    """Is told what becomes of single entries."""

    def made(self, wanted: Attributes, path: bytes) -> None:
        """An entry is in its place."""

    def linked(self, path: bytes) -> None:
        """A further name of an entry is in its place."""

    def skipped(self, wanted: Attributes, path: bytes) -> None:
        """An entry was kept as it was found."""

    def found(self, trouble: Trouble, path: bytes, detail: str) -> None:
        """Something about one path."""

    def unset(self, what: str, path: bytes, *, advice: str = "") -> None:
        """An attribute could not be set: reported once for all that `what` says of."""


class Tally(Account):
    """Counts what several threads do."""

    def __init__(self, progress: Progress, watch: Watch | None = None) -> None:
        self._progress = progress
        self._watch = watch
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._findings: list[Finding] = []
        self._troubles: Counter[Trouble] = Counter()
        self._unset: dict[str, _Unset] = {}

    def made(self, wanted: Attributes, path: bytes) -> None:
        """An entry is in its place."""
        with self._lock:
            self._tell(Action.WRITE, path)
            self._counts[_kind(wanted.mode)] += 1
            if wanted.is_directory:
                return
            self._progress.files += 1
            if wanted.is_file:
                self._counts["bytes"] += wanted.size

    def linked(self, path: bytes) -> None:
        """A further name of an entry is in its place."""
        with self._lock:
            self._tell(Action.LINK, path)
            self._counts["hard_links"] += 1
            self._progress.files += 1

    def skipped(self, wanted: Attributes, path: bytes) -> None:
        """An entry was kept as it was found."""
        with self._lock:
            self._tell(Action.KEEP, path)
            self._counts["skipped"] += 1
            if not wanted.is_directory:
                self._progress.files += 1
                self._progress.bytes += wanted.size if wanted.is_file else 0

    def removed(self, path: bytes) -> None:
        """An entry that the snapshot does not have is gone."""
        with self._lock:
            self._tell(Action.REMOVE, path)
            self._counts["removed"] += 1

    def passed(self, count: int, directory: bytes) -> None:
        """So many more bytes of contents are done, now in this directory."""
        with self._lock:
            self._progress.bytes += count
            self._progress.current = directory

    def found(self, trouble: Trouble, path: bytes, detail: str) -> None:
        """Something about one path."""
        with self._lock:
            self._troubles[trouble] += 1
            self._progress.findings += 1
            if len(self._findings) < LISTED:
                self._findings.append(Finding(trouble, path, detail))

    def unset(self, what: str, path: bytes, *, advice: str = "") -> None:
        """An attribute could not be set: reported once for all that `what` says of."""
        with self._lock:
            self._troubles[Trouble.METADATA] += 1
            self._progress.findings += 1
            known = self._unset.setdefault(what, _Unset(path, advice))
            known.count += 1

    def report(self) -> RestoreReport:
        """What was counted."""
        counts = self._counts
        return RestoreReport(
            files=counts["files"],
            directories=counts["directories"],
            symlinks=counts["symlinks"],
            specials=counts["specials"],
            hard_links=counts["hard_links"],
            skipped=counts["skipped"],
            removed=counts["removed"],
            bytes=counts["bytes"],
            findings=(*self._findings, *(_summed(what, it) for what, it in self._unset.items())),
            troubles=tuple(TroubleCount(*item) for item in sorted(self._troubles.items())),
        )

    def _tell(self, action: Action, path: bytes) -> None:
        if self._watch is not None:
            self._watch(action, path)


def _summed(what: str, unset: _Unset) -> Finding:
    entries = "1 entry" if unset.count == 1 else f"{unset.count:,} entries, this one first"
    advice = f" ({unset.advice})" if unset.advice else ""
    return Finding(Trouble.METADATA, unset.first, f"{what} on {entries}{advice}")


def _kind(mode: int) -> str:
    match stat.S_IFMT(mode):
        case stat.S_IFREG:
            return "files"
        case stat.S_IFDIR:
            return "directories"
        case stat.S_IFLNK:
            return "symlinks"
        case _:
            return "specials"
