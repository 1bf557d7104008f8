"""What happened to a path between two snapshots. Pure."""

import enum
from dataclasses import dataclass

from snapfs.model.attributes import Attributes
from snapfs.model.versions import Aspect, Aspects


class Kind(enum.StrEnum):
    """What happened to a path."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    "another content or type"
    METADATA = "metadata"
    "the same content; mode, owner, time or extended attributes differ"
    RENAMED = "renamed"
    "one that was removed elsewhere had the same content"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs."""

    kind: Kind
    path: bytes
    renamed_from: bytes | None
    changed: Aspects
    before: Attributes | None
    after: Attributes | None

    @property
    def growth(self) -> int:
        """Bytes that files became more; negative if less."""
        return _size(self.after) - _size(self.before)


def classify(
    *, path: bytes, renamed_from: bytes | None, before: Attributes | None,
    after: Attributes | None, changed: Aspects,
) -> Difference | None:  # fmt: skip
    """The difference between two states of a path; None where there is none that counts."""
    if before is None and after is None:
        return None
    if renamed_from is not None:
        kind = Kind.RENAMED
    elif before is None:
        kind = Kind.ADDED
    elif after is None:
        kind = Kind.REMOVED
    elif Aspect.TYPE in changed or Aspect.CONTENT in changed:
        kind = Kind.MODIFIED
    elif changed:
        kind = Kind.METADATA
    else:
        return None
    return Difference(kind, path, renamed_from, changed, before, after)


def _size(attributes: Attributes | None) -> int:
    return attributes.size if attributes is not None and attributes.is_file else 0
