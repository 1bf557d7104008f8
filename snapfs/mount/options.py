"""How a repository is to be mounted."""

from dataclasses import dataclass

SUBTYPE = "snapfs"
FSTYPE = f"fuse.{SUBTYPE}"
"as the kernel's table of mounts has it"
MEMORY_CACHE = 40 * 1024 * 1024
"bytes of opened segments; what was read of a file the kernel keeps, too"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """What the user chose. Times are seconds, sizes bytes."""

    allow_other: bool = False
    "others than the user who mounts may come in; the kernel then checks modes and ACLs"
    uid: int | None = None
    "owner that all files are shown to have, instead of their own"
    gid: int | None = None
    "group that all files are shown to have, instead of their own"
    refresh_every: float = 60.0
    "how often new snapshots are looked for when nobody asks"
    memory_bytes: int = MEMORY_CACHE
    "cache of opened segments"
    disk_bytes: int = 0
    "cache of sealed segments on disk; 0 for a store that is a disk itself"
    plain: bool = False
    "only snapshots and `latest`: nothing that is resolved without being listed"

    def fuse(self) -> set[str]:
        """The options that libfuse is given."""
        words = {"ro", f"fsname={SUBTYPE}", f"subtype={SUBTYPE}"}
        if self.allow_other:
            words |= {"allow_other", "default_permissions"}
        return words
