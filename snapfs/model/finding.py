"""What went wrong with one thing while a job as a whole went on."""

import enum
from dataclasses import dataclass


class Trouble(enum.StrEnum):
    """Kinds of findings, for counting and for --json."""

    UNREADABLE = "unreadable"
    "could not be opened, listed or read: it is not in the snapshot, or as it was before"
    CHANGED = "changed"
    "changed while it was read: what was read is kept"
    VANISHED = "vanished"
    "was listed, and gone when it was to be read"
    METADATA = "metadata"
    "the thing is kept, some of its attributes could not be read or set"
    DAMAGED = "damaged"
    "the repository could not give back its content"
    REFUSED = "refused"
    "would have been unsafe to write or is not supported there"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, as the report shows it."""

    trouble: Trouble
    path: bytes
    "absolute path in the source, or in the target of a restore"
    detail: str
    "what happened, without the path"
