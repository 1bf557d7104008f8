"""The connection to the kernel: mounting, serving requests, and leaving no mount behind."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyfuse3

from snapfs.errors import MountError
from snapfs.mount import mountinfo
from snapfs.mount.options import MountOptions

READ_AHEAD_KIB = 1024
_STDERR = 2


@contextmanager
def mounted(
    operations: pyfuse3.Operations, mountpoint: str, options: MountOptions
) -> Iterator[None]:
    """A mount that ends with the block, whatever ends the block. Raises MountError.

    It is ended lazily: who has files open there gets errors, and nothing stale is left.
    """
    complaints: list[str] = []
    try:
        with _stderr_to(complaints):
            pyfuse3.init(operations, mountpoint, options.fuse())
    except RuntimeError as error:
        detail = f" ({complaints[-1]})" if complaints else ""
        raise MountError(
            f"{mountpoint}: could not be mounted{detail}",
            hint="is FUSE permitted here? Containers need the device and a capability",
        ) from error
    try:
        yield
    finally:
        pyfuse3.close(unmount=True)


def raise_read_ahead(mountpoint: str) -> None:
    """Let the kernel ask for 1 MiB at a time where this user may say so; else leave it be.

    To be called once the mount has answered its first request, which sets the value anew.
    """
    found = mountinfo.find(mountpoint)
    if found is None:
        return
    with suppress(OSError):
        Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").write_text(str(READ_AHEAD_KIB))


@contextmanager
def _stderr_to(lines: list[str]) -> Iterator[None]:
    """Gather what libfuse and fusermount3 print: they know the reason, and return none."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            file.seek(0)
            lines.extend(line.strip() for line in file.read().decode(errors="replace").splitlines())
