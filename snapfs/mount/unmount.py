"""Ending a mount from outside, and saying who is in the way."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from snapfs.errors import MountError
from snapfs.mount import mountinfo
from snapfs.mount.mountpoint import FUSERMOUNT, Machine
from snapfs.mount.options import FSTYPE

PROC = Path("/proc")
_SHOWN = 5
"programs that a message names"


def unmount(
    mountpoint: Path,
    *,
    lazy: bool = False,
    machine: Machine = Machine(),  # noqa: B008  (a frozen value)
) -> None:
    """End the snapfs mount at this directory; its program then ends by itself.

    `lazy` takes it out of sight at once, also where it is in use. Blocks for as long as the
    kernel needs. Raises MountError where nothing of snapfs is mounted there, or it is in use.
    """
    resolved = os.path.realpath(mountpoint)
    mounted = mountinfo.find(resolved)
    if mounted is None:
        raise MountError(
            f"{mountpoint}: nothing is mounted here", hint="'findmnt' lists the mounts"
        )
    if mounted.fstype != FSTYPE:
        raise MountError(
            f"{mountpoint}: is a mount of another kind ({mounted.fstype})",
            hint="'snapfs umount' ends only what 'snapfs mount' began; use 'umount'",
        )
    done = subprocess.run(
        _command(resolved, lazy=lazy, machine=machine), capture_output=True, text=True, check=False,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    if done.returncode != 0 and mountinfo.find(resolved) == mounted:
        raise _refused(mountpoint, resolved, done.stderr)


def users(mountpoint: str, proc: Path = PROC) -> Iterator[tuple[int, str]]:
    """The processes that this user may look into and that are in a directory: number and name."""
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(_is_within(place, mountpoint) for place in _places(process)):
            name = ""
            with suppress(OSError):
                name = (process / "comm").read_text(errors="replace").strip()
            yield int(process.name), name


def _command(resolved: str, *, lazy: bool, machine: Machine) -> list[str]:
    program = machine.which(FUSERMOUNT)
    if program is not None:
        return [program, "-u", *(["-z"] if lazy else []), "--", resolved]
    if machine.effective_user() == 0 and (umount := machine.which("umount")):
        return [umount, *(["-l"] if lazy else []), "--", resolved]
    raise MountError(
        f"{FUSERMOUNT} is missing, and only root can unmount without it",
        hint="install FUSE 3 (the package is called fuse3 or fuse)",
    )


def _refused(mountpoint: Path, resolved: str, complaint: str) -> MountError:
    found = list(users(resolved))
    if found:
        names = ", ".join(f"{name} ({number})" for number, name in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        return MountError(
            f"{mountpoint}: is in use by {names}{more}",
            hint="end these programs or leave the directory; --lazy takes the mount away at once",
        )
    detail = complaint.strip().rpartition("\n")[2] or "no reason was given"
    return MountError(
        f"{mountpoint}: could not be unmounted ({detail})",
        hint="--lazy takes the mount away even if it is in use",
    )


def _places(process: Path) -> Iterator[str]:
    """Directories and files that a process holds; reading the links asks no file system."""
    with suppress(OSError):
        for link in (process / "cwd", process / "root", *(process / "fd").iterdir()):
            place = _target(link)
            if place is not None:
                yield place


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _is_within(place: str, directory: str) -> bool:
    return place == directory or place.startswith(directory.rstrip("/") + "/")
