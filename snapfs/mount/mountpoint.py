"""Whether a file system can be mounted here, said before it is tried, with the reason why not."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snapfs.errors import MountError
from snapfs.mount import mountinfo
from snapfs.mount.options import FSTYPE, MountOptions

FUSERMOUNT = "fusermount3"
_INSTALL = "install FUSE 3 (the package is called fuse3 or fuse)"


@dataclass(frozen=True, slots=True)
class Machine:
    """What mounting depends on, on this machine."""

    device: Path = Path("/dev/fuse")
    configuration: Path = Path("/etc/fuse.conf")
    which: Callable[[str], str | None] = shutil.which
    effective_user: Callable[[], int] = os.geteuid


def check_machine(options: MountOptions, machine: Machine) -> None:
    """Raise MountError where this machine cannot mount anything like this."""
    if not machine.device.exists():
        raise MountError(
            f"{machine.device} is missing: this system has no FUSE",
            hint="load it with 'modprobe fuse'; a container needs --device /dev/fuse and the "
            "capability SYS_ADMIN",
        )
    if not os.access(machine.device, os.R_OK | os.W_OK):
        raise MountError(
            f"{machine.device}: no permission to use FUSE", hint="ask the system's administrator"
        )
    if machine.effective_user() == 0:
        return
    if machine.which(FUSERMOUNT) is None:
        raise MountError(
            f"{FUSERMOUNT} is missing, and only root can mount without it", hint=_INSTALL
        )
    if options.allow_other and not _allows_other(machine.configuration):
        raise MountError(
            "--allow-other is not permitted to users here",
            hint=f"root can permit it with a line 'user_allow_other' in {machine.configuration}",
        )


def check_mountpoint(path: Path) -> str:
    """The absolute path to mount at, with links resolved. Raises MountError."""
    resolved = os.path.realpath(path)
    try:
        mounted = mountinfo.find(resolved)
        _check_not_mounted(path, mounted)
        with os.scandir(resolved) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        raise _unusable(path, error) from error
    if not empty:
        raise MountError(
            f"{path}: the directory is not empty",
            hint="mount at an empty directory: what is in this one would be hidden",
        )
    if not os.access(resolved, os.W_OK):
        raise MountError(
            f"{path}: you may not mount here",
            hint="choose a directory that belongs to you, or mount as root",
        )
    return resolved


def _check_not_mounted(path: Path, mounted: mountinfo.Mounted | None) -> None:
    if mounted is None:
        return
    if mounted.fstype != FSTYPE:
        raise MountError(
            f"{path}: something else is mounted here already ({mounted.fstype})",
            hint="choose another directory",
        )
    try:
        os.stat(path)
    except OSError as error:
        raise _unusable(path, error) from error
    raise MountError(
        f"{path}: snapfs is mounted here already",
        hint=f"'snapfs umount {path}' ends it",
    )


def _unusable(path: Path, error: OSError) -> MountError:
    if error.errno == errno.ENOENT:
        return MountError(f"{path}: does not exist", hint=f"create it with 'mkdir -p {path}'")
    if error.errno == errno.ENOTDIR:
        return MountError(f"{path}: is not a directory", hint="mount at an empty directory")
    if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
        return MountError(
            f"{path}: a mount is left here whose program has ended",
            hint=f"clear it with 'snapfs umount {path}'",
        )
    return MountError(f"{path}: {error.strerror}", hint="choose another directory")


def _allows_other(configuration: Path) -> bool:
    try:
        lines = configuration.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)
