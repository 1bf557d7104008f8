"""What an ingest is told, and what it tells."""

from dataclasses import dataclass, field

from snapfs.formats.codec import DEFAULT_LEVEL
from snapfs.model.finding import Finding, Trouble
from snapfs.model.snapshot import Counts, Snapshot
from snapfs.sources.exclude import Exclusions

_QUIET = frozenset({Trouble.VANISHED})
"findings that are no failure: what vanished while we looked is not there, as the snapshot says"
KEPT_FINDINGS = 1000
"findings that a report lists one by one; the others are counted"


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What to capture, and how."""

    host: str
    name: str
    roots: tuple[bytes, ...]
    "absolute paths, none inside another; empty for a stream"
    stream_name: bytes | None = None
    "capture standard input as the file of this name"
    tags: tuple[str, ...] = ()
    exclusions: Exclusions = field(default_factory=Exclusions)
    time_ns: int | None = None
    "of the snapshot; the time at which it began where it is None"
    level: int = DEFAULT_LEVEL
    "of zstd"
    dry_run: bool = False
    force: bool = False
    "read every file, whatever is known of it"
    never: frozenset[bytes] = frozenset()
    "absolute paths that are never captured: the repository itself, state and cache"
    progress_seconds: float = 300.0
    "after which what is there is committed as progress"
    progress_bytes: int = 16 * 1024**3
    "new plain bytes after which it is"
    progress_blocks: int = 20_000
    "new blocks after which it is: what is pending must fit into memory"
    progress_rows: int = 500_000
    "rows of the delta after which it is, for the same reason"


@dataclass(slots=True)
class Findings:
    """The findings of a job: the first ones themselves, all of them by kind."""

    listed: list[Finding] = field(default_factory=list)
    counts: dict[Trouble, int] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        self.counts[finding.trouble] = self.counts.get(finding.trouble, 0) + 1
        if len(self.listed) < KEPT_FINDINGS:
            self.listed.append(finding)

    def clear(self) -> None:
        """Forget all: what was found is looked for once more."""
        self.listed.clear()
        self.counts.clear()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failures(self) -> int:
        """Findings that make the job end with findings, and not with success alone."""
        return sum(count for kind, count in self.counts.items() if kind not in _QUIET)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did."""

    snapshot: Snapshot | None
    "None for a dry run"
    counts: Counts
    findings: Findings
    seconds: float
    healed: int = 0
    "damaged copies of blocks whose content was met, and is stored anew"
