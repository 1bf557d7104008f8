"""Directories of any size are listed whole, in order, from any position."""

import ctypes
import os
from pathlib import Path

import pytest

from snapfs.metadata.lines import PAGE, Lines
from snapfs.mount.attributes import Appearance
from snapfs.mount.listing import SnapshotDirectory
from snapfs.mount.options import MountOptions
from tests.build import Builder, file
from tests.mount.mounting import getdents, mounted, run, use

MANY = 20_000


async def test_a_big_directory_is_listed_whole_and_in_order(
    builder: Builder, mountpoint: Path
) -> None:
    names = [f"{at:05}" for at in range(MANY)]
    await builder.commit({f"/big/{name}": file() for name in names})
    async with mounted(builder.repository, mountpoint) as root:
        assert await use(os.listdir, root / "web/root/latest/big") == names
        assert (await run("ls", "-U", root / "web/root/latest/big")).split() == names


@pytest.mark.parametrize("size", [64, 300, 5000])
async def test_small_buffers_lose_and_repeat_nothing(
    builder: Builder, mountpoint: Path, size: int
) -> None:
    names = [f"{at:05}" for at in range(2 * PAGE + 100)]
    await builder.commit({f"/big/{name}": file() for name in names})
    async with mounted(builder.repository, mountpoint) as root:
        listed = await use(getdents, root / "web/root/latest/big", size)
        assert listed == [".", "..", *names]


async def test_a_listing_can_be_taken_back_and_moved(builder: Builder, mountpoint: Path) -> None:
    names = [f"{at:04}" for at in range(3 * PAGE)]
    await builder.commit({f"/big/{name}": file() for name in names})
    async with mounted(builder.repository, mountpoint) as root:
        once, again, moved = await use(_rewind, root / "web/root/latest/big")
        assert once == again == [".", "..", *names]
        assert moved == once[2 * PAGE + 7 :]


@pytest.mark.parametrize("position", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 5])
async def test_any_position_may_be_asked_for_at_any_time(builder: Builder, position: int) -> None:
    names = [f"{at:04}".encode() for at in range(2 * PAGE + 5)]
    number = await builder.commit({b"/" + name: file() for name in names})
    tree = builder.repository.tree
    root = tree.lookup(builder.repository.snapshots.sources()[0].anchor, number, b"/")
    assert root is not None
    assert root.child is not None
    look = Appearance(tree, MountOptions())
    lines = Lines(builder.repository.db)
    listing = SnapshotDirectory(lines, root.child, number, look.show_line)
    for start in (position, 0, position):
        behind, at = [], start
        while chunk := list(listing.items(at)):
            behind += [name for _, name, _ in chunk]
            at = chunk[-1][0]
        assert behind == names[start:]


def _rewind(path: Path) -> tuple[list[str], list[str], list[str]]:
    """A whole listing, one more after rewinding, and one from a place that was told before."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    handle = ctypes.c_void_p(libc.opendir(os.fsencode(path)))

    def rest() -> list[str]:
        names = []
        while entry := libc.readdir(handle):
            names.append(ctypes.string_at(entry + 19).decode())
        return names

    once = rest()
    libc.rewinddir(handle)
    again = [ctypes.string_at(libc.readdir(handle) + 19).decode() for _ in range(2 * PAGE + 7)]
    place = ctypes.c_long(libc.telldir(handle))
    again += rest()
    libc.seekdir(handle, place)
    moved = rest()
    libc.closedir(handle)
    return once, again, moved
