"""Who may read: owners that are shown, others who are let in, and the ACLs that still bind them."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from snapfs.mount.options import MountOptions
from tests.build import Builder, file, folder
from tests.mount.mounting import mounted, use

NOBODY = 65534
ACCESS = b"system.posix_acl_access"
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 1, 2, 4, 16, 32
NO_ID = 0xFFFFFFFF

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)


def acl(*entries: tuple[int, int, int]) -> tuple[tuple[bytes, bytes], ...]:
    """An ACL as Linux keeps it in an extended attribute: tag, permissions, id."""
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    return ((ACCESS, struct.pack("<I", 2) + packed),)


CLOSED_TO_THE_GROUP = acl(
    (_USER_OBJ, 6, NO_ID), (_USER, 4, 4242), (_GROUP_OBJ, 0, NO_ID), (_MASK, 4, NO_ID),
    (_OTHER, 0, NO_ID),
)  # fmt: skip
"its mask makes the mode 0640, and yet the group may not read"


def _cat(path: Path, user: int, group: int) -> bool:
    """Whether a user can read a file."""
    command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "cat", path]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@as_root
async def test_modes_and_acls_bind_those_who_are_let_in(builder: Builder, public: Path) -> None:
    await builder.commit(
        {
            "/open": file(b"o"),
            "/closed": file(b"c", mode=0o600),
            "/group": file(b"g", mode=0o640, gid=777),
            "/acl": file(b"a", mode=0o640, gid=777, xattrs=CLOSED_TO_THE_GROUP),
            "/shut/open": file(b"o"),
            "/shut": folder(mode=0o700),
        }
    )
    async with mounted(builder.repository, public, MountOptions(allow_other=True)) as root:
        top = root / "web/root/latest"
        readable = {
            name: await use(_cat, top / name, NOBODY, 777)
            for name in ("open", "closed", "group", "acl", "shut/open")
        }
        assert readable == {
            "open": True, "closed": False, "group": True, "acl": False, "shut/open": False
        }  # fmt: skip
        assert await use(_cat, top / "acl", 4242, NOBODY)
        assert not await use(_cat, top / "group", NOBODY, NOBODY)


@as_root
async def test_nobody_else_is_let_in_unless_told(builder: Builder, public: Path) -> None:
    await builder.commit({"/open": file(b"o")})
    async with mounted(builder.repository, public) as root:
        assert not await use(_cat, root / "web/root/latest/open", NOBODY, NOBODY)


@pytest.mark.parametrize("allow_other", [False, True])
async def test_acls_can_be_read(builder: Builder, mountpoint: Path, allow_other: bool) -> None:
    await builder.commit({"/acl": file(b"a", mode=0o640, xattrs=CLOSED_TO_THE_GROUP)})
    options = MountOptions(allow_other=allow_other)
    async with mounted(builder.repository, mountpoint, options) as root:
        path = root / "web/root/latest/acl"
        assert await use(os.getxattr, path, ACCESS) == CLOSED_TO_THE_GROUP[0][1]
        assert ACCESS.decode() in await use(os.listxattr, path)


async def test_all_files_can_be_shown_as_of_one_owner(builder: Builder, mountpoint: Path) -> None:
    await builder.commit({"/file": file(b"", uid=1, gid=2), "/dir": folder(uid=3, gid=4)})
    async with mounted(builder.repository, mountpoint, MountOptions(uid=1234)) as root:
        for name, group in (("web/root/latest/file", 2), ("web/root/latest/dir", 4)):
            shown = await use(os.stat, root / name)
            assert (shown.st_uid, shown.st_gid) == (1234, group)
        assert (await use(os.stat, root)).st_uid == 1234
    options = MountOptions(uid=0, gid=5678)
    async with mounted(builder.repository, mountpoint, options) as root:
        shown = await use(os.stat, root / "web/root/latest/file")
        assert (shown.st_uid, shown.st_gid) == (0, 5678)


@as_root
async def test_an_owner_that_is_set_may_read_what_was_another_s(
    builder: Builder, public: Path
) -> None:
    await builder.commit({"/mine": file(b"m", mode=0o600, uid=1)})
    options = MountOptions(allow_other=True, uid=NOBODY)
    async with mounted(builder.repository, public, options) as root:
        assert await use(_cat, root / "web/root/latest/mine", NOBODY, NOBODY)
        assert not await use(_cat, root / "web/root/latest/mine", 1, 1)
