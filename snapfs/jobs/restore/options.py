"""What the user of a restore can choose."""

import enum
from dataclasses import dataclass


class Overwrite(enum.StrEnum):
    """What happens to something that is in the target under a name that is restored."""

    ALWAYS = "always"
    "it is replaced"
    NEVER = "never"
    "it is kept; of directories that are there the attributes are kept"
    IF_CHANGED = "if-changed"
    "it is kept where size, times, mode, owner and attributes are those of the snapshot"
    IF_NEWER = "if-newer"
    "it is kept unless the snapshot's has a later time"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What to restore, and how."""

    target: bytes
    "directory that receives it; created if missing"
    path: bytes = b"/"
    "absolute path inside the snapshot"
    owners_by_name: bool = False
    """Users and groups are looked up here by the names that they had at the source; an id whose
    name is unknown there or here stays as it is. ACLs keep their ids."""
    sparse: bool = True
    "holes stay holes; else the disk space of the whole file is taken"
    verify: bool = False
    "read each file back from the disk, and compare its blocks, before it gets its name"
    overwrite: Overwrite = Overwrite.ALWAYS
    deleted: bool = False
    """Restore what the snapshot no longer has: every name below the path that an earlier snapshot
    shows, in its last version, and the directories that lead there. Directories that are there
    keep their attributes."""
    delete: bool = False
    """Remove what is in the target and not in the snapshot. Nothing is removed outside of the
    target, behind a link, or on a file system that is mounted in what is to be removed."""
    spared: tuple[bytes, ...] = ()
    "directories in which nothing is removed, wherever they lie: the repository's own"
    dry_run: bool = False
    "count what would be done; the target is only looked at"
