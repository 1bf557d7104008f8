"""Ordinary programs on a mount: find, cp -a, diff -r."""

import os
import stat
from pathlib import Path

from tests.build import Builder, Thing, file, folder, link
from tests.mount.mounting import mounted, run, use


def _tree() -> dict[str, Thing]:
    twice = file(b"hard link" * 1000, mode=0o600)
    return {
        "/": folder(mode=0o755),
        "/etc": folder(mode=0o750, mtime_ns=10**18),
        "/etc/hosts": file(b"127.0.0.1 localhost\n"),
        "/etc/link": link(b"hosts"),
        "/etc/twice": twice,
        "/var/also": twice,
        "/var/sparse": file(b"begin", 1 << 20, b"end", xattrs=((b"user.a", b"b"),)),
    }


async def test_find_sees_everything_once(builder: Builder, mountpoint: Path) -> None:
    await builder.commit(_tree())
    await builder.commit(_tree())
    async with mounted(builder.repository, mountpoint) as root:
        found = (await run("find", root, "-mindepth", "4", "-printf", "%P\n")).splitlines()
        names = [path.split("/", 3)[3] for path in found]
        assert sorted(names) == sorted(2 * [path[1:] for path in [*_tree(), "/var"] if path != "/"])


async def test_cp_keeps_all_of_it(builder: Builder, mountpoint: Path, tmp_path: Path) -> None:
    await builder.commit(_tree())
    async with mounted(builder.repository, mountpoint) as root:
        await run("cp", "-a", f"{root}/web/root/latest/.", tmp_path / "copy")
        await run("diff", "-r", root / "web/root/latest", tmp_path / "copy")
    copy = tmp_path / "copy"
    for path, thing in _tree().items():
        shown = os.lstat(str(copy) + path)
        assert shown.st_mode == thing.mode
        if not stat.S_ISLNK(thing.mode):
            assert shown.st_mtime_ns == thing.mtime_ns
    assert os.stat(copy / "etc/twice").st_ino == os.stat(copy / "var/also").st_ino
    assert os.stat(copy / "var/sparse").st_blocks * 512 < 1 << 20


async def test_diff_of_two_snapshots_tells_what_changed(builder: Builder, mountpoint: Path) -> None:
    tree = _tree()
    await builder.commit(tree)
    await builder.commit({**tree, "/etc/hosts": file(b"changed"), "/new": file()})
    async with mounted(builder.repository, mountpoint) as root:
        first, second, _ = await use(os.listdir, root / "web/root")
        command = ["diff", "-rq", root / "web/root" / first, root / "web/root" / second]
        output = await use(os.popen, " ".join(str(word) for word in command))
        lines = (await use(output.read)).splitlines()
        await use(output.close)
    told = [line.rpartition("/")[2] for line in lines]
    # The link leads to the file that changed.
    assert told == ["hosts differ", "link differ", f"{second}: new"]
