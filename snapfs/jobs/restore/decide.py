"""Decisions of a restore that need no world: which names are safe, and what replaces what."""

import enum

from msgspec.structs import replace

from snapfs.jobs.restore.options import Overwrite
from snapfs.model.attributes import Attributes


class Verdict(enum.Enum):
    """What becomes of an entry that is in the target."""

    REPLACE = enum.auto()
    KEEP = enum.auto()
    SAME = enum.auto()
    "it is what would be restored"


def is_safe_name(name: bytes) -> bool:
    """Whether a name can stand in a directory without leading out of it."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name


def may_replace(overwrite: Overwrite, wanted: Attributes, *, existing_mtime_ns: int) -> bool:
    """Whether something of another kind, or of other content, may be taken away."""
    if overwrite is Overwrite.IF_NEWER:
        return wanted.mtime_ns > existing_mtime_ns
    return overwrite is not Overwrite.NEVER


def judge(
    overwrite: Overwrite, wanted: Attributes, existing: Attributes, *, owners: bool
) -> Verdict:
    """What becomes of `existing`, whose `nlink` is that of the file system.

    `owners` says whether owners could be set: if not, they don't count as a difference.
    """
    if not may_replace(overwrite, wanted, existing_mtime_ns=existing.mtime_ns):
        return Verdict.KEEP
    if overwrite is Overwrite.IF_CHANGED and _is_same(wanted, existing, owners=owners):
        return Verdict.SAME
    return Verdict.REPLACE


def _is_same(wanted: Attributes, existing: Attributes, *, owners: bool) -> bool:
    # A file that has other names elsewhere would change there, too, once someone writes to it.
    if wanted.nlink == 1 and existing.nlink != 1:
        return False
    compared = replace(existing, nlink=wanted.nlink)
    if not owners:
        compared = replace(compared, uid=wanted.uid, gid=wanted.gid)
    return compared == wanted
