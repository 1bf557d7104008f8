"""What an export wrote, and what tar could not hold."""

from collections import Counter
from dataclasses import dataclass

from snapfs.jobs.progress import Progress
from snapfs.model.attributes import Attributes
from snapfs.model.finding import Finding, Trouble

LISTED = 1000
"findings that are kept one by one; the others are only counted"


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """How many findings of a kind there were, listed or not."""

    trouble: Trouble
    count: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What is in the archive."""

    files: int
    directories: int
    others: int
    "links, devices and fifos"
    hard_links: int
    "further names of what is counted above"
    bytes: int
    "sizes of the files"
    written: int
    "bytes of the archive, compressed"
    findings: tuple[Finding, ...]
    "the first ones"
    troubles: tuple[TroubleCount, ...]
    "all of them, by kind"

    @property
    def is_clean(self) -> bool:
        return not self.troubles


class Tally:
    """Counts what becomes of the members."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._counts: Counter[str] = Counter()
        self._findings: list[Finding] = []
        self._troubles: Counter[Trouble] = Counter()

    def put(self, attributes: Attributes, path: bytes) -> None:
        """A member begins."""
        if attributes.is_directory:
            self._counts["directories"] += 1
            self._progress.current = path
            return
        self._progress.files += 1
        self._counts["files" if attributes.is_file else "others"] += 1
        if attributes.is_file:
            self._counts["bytes"] += attributes.size

    def linked(self) -> None:
        """A further name of a member is in the archive."""
        self._counts["hard_links"] += 1
        self._progress.files += 1

    def passed(self, count: int) -> None:
        """So many more bytes of contents are in the archive."""
        self._progress.bytes += count

    def found(self, trouble: Trouble, path: bytes, detail: str) -> None:
        """Something about one path."""
        self._troubles[trouble] += 1
        self._progress.findings += 1
        if len(self._findings) < LISTED:
            self._findings.append(Finding(trouble, path, detail))

    def report(self, written: int) -> ExportReport:
        """What was counted; `written` are the bytes of the archive."""
        counts = self._counts
        return ExportReport(
            files=counts["files"],
            directories=counts["directories"],
            others=counts["others"],
            hard_links=counts["hard_links"],
            bytes=counts["bytes"],
            written=written,
            findings=tuple(self._findings),
            troubles=tuple(TroubleCount(*item) for item in sorted(self._troubles.items())),
        )
