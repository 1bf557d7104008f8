"""Every way of changing a file system, refused. With `ro` the kernel refuses most of them first."""

import errno
from typing import NoReturn

from pyfuse3 import (
    EntryAttributes,
    FileInfo,
    FUSEError,
    Operations,
    RequestContext,
    SetattrFields,
)


class ReadOnly(Operations):
    """Operations whose writing half answers EROFS."""

    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None,
        ctx: RequestContext,
    ) -> EntryAttributes:  # fmt: skip
        _refuse()

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        _refuse()

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext
    ) -> EntryAttributes:
        _refuse()

    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        _refuse()

    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        _refuse()

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        _refuse()

    async def rename(
        self, parent_inode_old: int, name_old: bytes, parent_inode_new: int, name_new: bytes,
        flags: int, ctx: RequestContext,
    ) -> None:  # fmt: skip
        _refuse()

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        _refuse()

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        _refuse()

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        _refuse()

    async def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        _refuse()

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        _refuse()


def _refuse() -> NoReturn:
    raise FUSEError(errno.EROFS)
