"""Nothing can be written, by the kernel's word and by ours."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pyfuse3
import pytest

from snapfs.mount.readonly import ReadOnly
from tests.build import Builder, file
from tests.mount.mounting import mounted, use

WRITES: dict[str, Callable[[Path], object]] = {
    "create": lambda top: os.open(top / "new", os.O_CREAT | os.O_WRONLY),
    "write": lambda top: os.open(top / "file", os.O_WRONLY),
    "read and write": lambda top: os.open(top / "file", os.O_RDWR),
    "truncate": lambda top: os.truncate(top / "file", 0),
    "mkdir": lambda top: os.mkdir(top / "new"),
    "mknod": lambda top: os.mkfifo(top / "new"),
    "unlink": lambda top: os.unlink(top / "file"),
    "rmdir": lambda top: os.rmdir(top / "dir"),
    "rename": lambda top: os.rename(top / "file", top / "new"),
    "link": lambda top: os.link(top / "file", top / "new"),
    "symlink": lambda top: os.symlink("file", top / "new"),
    "chmod": lambda top: os.chmod(top / "file", 0o600),
    "chown": lambda top: os.chown(top / "file", 1, 1),
    "utime": lambda top: os.utime(top / "file"),
    "setxattr": lambda top: os.setxattr(top / "file", "user.new", b""),
    "removexattr": lambda top: os.removexattr(top / "file", "user.old"),
}


@pytest.mark.parametrize("remounted", [False, True])
async def test_every_way_of_writing_fails_for_a_read_only_file_system(
    builder: Builder, mountpoint: Path, remounted: bool
) -> None:
    await builder.commit(
        {"/file": file(b"content", xattrs=((b"user.old", b""),)), "/dir/x": file()}
    )
    async with mounted(builder.repository, mountpoint) as root:
        if remounted:
            # Root may take the kernel's own refusal away; ours stays.
            assert await use(os.system, f"mount -i -o remount,rw {root}") == 0
        for place in (root, root / "web", root / "web/root", root / "web/root/latest"):
            for name in ("create", "mkdir", "symlink", "mknod"):
                assert await use(_refusal, WRITES[name], place) == errno.EROFS, (name, place)
        for name, write in WRITES.items():
            assert await use(_refusal, write, root / "web/root/latest") == errno.EROFS, name
        assert await use((root / "web/root/latest/file").read_bytes) == b"content"


async def test_what_writes_to_a_handle_is_refused_too() -> None:
    operations = ReadOnly()
    nobody = cast("pyfuse3.RequestContext", None)
    for attempt in (
        lambda: operations.write(1, 0, b"x"),
        lambda: operations.link(2, 1, b"x", nobody),
        lambda: operations.rename(1, b"a", 1, b"b", 0, nobody),
    ):
        with pytest.raises(pyfuse3.FUSEError) as caught:
            await attempt()
        assert caught.value.errno == errno.EROFS


def _refusal(write: Callable[[Path], object], top: Path) -> int | None:
    try:
        write(top)
    except OSError as error:
        return error.errno
    return None
