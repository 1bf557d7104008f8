"""When something breaks: the content, the store, the disk, the process; and an ordinary user."""

import errno
import os
import signal
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

import snapfs
from snapfs.errors import LocalError, StoreError
from snapfs.jobs.restore import Overwrite
from snapfs.jobs.restore.directory import remove_temporaries
from snapfs.jobs.restore.drafts import Draft
from snapfs.jobs.restore.entries import Maker
from snapfs.jobs.restore.walk import Task
from snapfs.model.finding import Trouble
from snapfs.stores.memory import MemoryStore
from tests.build import Thing, file, folder, link
from tests.jobs.restoring import found, restorer, temporaries, troubles, wanted
from tests.jobs.test_restore import MIB, as_root, noise

TWICE = file(noise(3000, 9))
SMALL_AND_LARGE: dict[str | bytes, Thing] = {
    "/large": file(noise(9 * MIB, 1)),
    "/small/a": file(noise(70_000, 2)),
    "/small/b": file(noise(70_000, 3)),
    "/small/c": TWICE,
    "/small/d": TWICE,
}


def packs(store: MemoryStore) -> list[str]:
    return [name for name in store.objects if name.startswith("packs/")]


@pytest.mark.parametrize("how", ["flip", "missing", "cut"])
async def test_a_damaged_file_is_not_created_and_the_others_are(tmp_path: Path, how: str) -> None:
    store, target = MemoryStore(), tmp_path / "target"
    (target / "small").mkdir(parents=True)
    (target / "small" / "a").write_text("what was here")
    async with restorer(tmp_path, SMALL_AND_LARGE, store=store) as restoring:
        await restoring.builder.commit({**SMALL_AND_LARGE, "/other": file(noise(5000, 4))})
        (first, *_rest) = [name for name in packs(store) if len(store.objects[name]) > 100_000]
        data = store.objects[first]
        match how:
            case "flip":
                store.objects[first] = bytes(byte ^ 1 for byte in data)
            case "missing":
                del store.objects[first]
            case "cut":
                store.objects[first] = data[:1000]
        report = await restoring.run(target)
    assert troubles(report) == {Trouble.DAMAGED: 5}
    below = os.fsencode(target) + b"/"
    paths = {finding.path.removeprefix(below) for finding in report.findings}
    assert paths == {b"large", b"small/a", b"small/b", b"small/c", b"small/d"}
    assert set(found(target)) == {b"", b"other", b"small", b"small/a"}
    assert (target / "small" / "a").read_text() == "what was here"
    assert (target / "other").read_bytes() == noise(5000, 4)


async def test_one_damaged_segment_costs_the_files_that_are_in_it(tmp_path: Path) -> None:
    store, target = MemoryStore(), tmp_path / "target"
    things = {f"/{at:02}": file(noise(40_000, at)) for at in range(40)}
    async with restorer(tmp_path, things, store=store, segment_size=80_000) as restoring:
        (pack,) = packs(store)
        data = store.objects[pack]
        middle = len(data) // 2
        store.objects[pack] = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        report = await restoring.run(target)
    assert 1 <= troubles(report)[Trouble.DAMAGED] <= 3
    assert report.files == 40 - troubles(report)[Trouble.DAMAGED]
    whole = wanted(things)
    assert all(seen == whole[name] for name, seen in found(target).items() if name)


class BreakingStore(MemoryStore):
    """Its packs can be read a few times."""

    reads_left = 2

    async def get(self, name: str, *, start: int = 0, length: int | None = None) -> bytes:
        if name.startswith("packs/"):
            self.reads_left -= 1
            if self.reads_left < 0:
                raise StoreError("on fire")
        return await super().get(name, start=start, length=length)


async def test_a_store_that_fails_ends_the_restore(tmp_path: Path) -> None:
    store, target = BreakingStore(), tmp_path / "target"
    async with restorer(tmp_path, SMALL_AND_LARGE, store=store) as restoring:
        with pytest.raises(StoreError, match="on fire"):
            await restoring.run(target)
        assert temporaries(target) == []
        store.reads_left = 1000
        await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
        assert found(target) == wanted(SMALL_AND_LARGE)


def open_below(directory: Path) -> list[str]:
    """Descriptors of this process that lead into a directory."""
    table = Path("/proc/self/fd")
    targets = [os.readlink(entry) for entry in table.iterdir() if entry.is_symlink()]
    return [target for target in targets if target.startswith(str(directory))]


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_ends_the_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    def full(*_: object) -> int:
        raise OSError(kind, os.strerror(kind))

    async with restorer(tmp_path, SMALL_AND_LARGE) as restoring:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(LocalError, match=os.strerror(kind)):
                await restoring.run(tmp_path / "target")
        assert open_below(tmp_path / "target") == []
    assert temporaries(tmp_path / "target") == []


async def test_another_restore_comes_into_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes what is not finished for left over: that is told, and the next one makes it."""
    finish = Maker.finish

    def disturbed(self: Maker, task: Task, draft: Draft) -> object:
        if task.name in (b"large", b"a"):
            remove_temporaries(task.directory.descriptor)
        return finish(self, task, draft)

    target = tmp_path / "target"
    async with restorer(tmp_path, SMALL_AND_LARGE) as restoring:
        with monkeypatch.context() as patched:
            patched.setattr(Maker, "finish", disturbed)
            report = await restoring.run(target)
        assert troubles(report) == {Trouble.REFUSED: 2}
        assert set(found(target)) == {b"", b"small", b"small/b", b"small/c", b"small/d"}
        assert (await restoring.run(target)).is_clean
    assert found(target) == wanted(SMALL_AND_LARGE)


@pytest.mark.parametrize("path", [b"/large", b"/small"])
async def test_verify_finds_what_the_disk_did_not_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    real = os.pwrite

    def forgetful(descriptor: int, data: memoryview, offset: int) -> int:
        spoilt = bytearray(data)
        spoilt[-1] ^= 1
        return real(descriptor, spoilt, offset)

    target = tmp_path / "target"
    async with restorer(tmp_path, SMALL_AND_LARGE) as restoring:
        monkeypatch.setattr(os, "pwrite", forgetful)
        report = await restoring.run(target, path=path, verify=True)
        assert troubles(report) == {Trouble.DAMAGED: 1 if path == b"/large" else 4}
        assert report.files == 0
        assert set(found(target)) == {b""}
        assert (await restoring.run(target, path=path)).is_clean  # this is why it is an option


async def test_many_findings_are_counted_and_not_all_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    things = {f"/{at:04}": file(b"%d" % at) for at in range(1100)}
    async with restorer(tmp_path, things, store=store) as restoring:
        for name in packs(store):
            store.objects[name] = bytes(len(store.objects[name]))
        report = await restoring.run(tmp_path / "target")
    assert len(report.findings) == 1000
    assert troubles(report) == {Trouble.DAMAGED: 1100}


# --- the process ends anywhere

_STEPS = ("pwrite", "chown", "setxattr", "chmod", "utime", "rename", "link", "mkdir", "symlink")
KILLED: dict[str | bytes, Thing] = {
    **SMALL_AND_LARGE,
    "/tagged": file(b"tagged", xattrs=((b"user.a", b"1"),)),
    "/link": link(b"target"),
    "/fifo": Thing(mode=stat.S_IFIFO | 0o640),
}


def in_child(story: Callable[[], int]) -> int:
    """Run `story` in a child process; its result, or -signal."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = story()
        except (AssertionError, OSError, ExceptionGroup):
            traceback.print_exc()  # pytest sees nothing of this process but what it prints
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def restore_and_die(directory: Path, step: int) -> int:
    """Restore, and be killed before the system call of this number; 0 if there are not as many."""
    calls = 0

    def deadly(real: Callable[..., object]) -> Callable[..., object]:
        def call(*values: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*values, **options)

        return call

    async def story() -> None:
        async with restorer(directory, KILLED) as restoring:
            for name in _STEPS:
                setattr(os, name, deadly(getattr(os, name)))
            await restoring.run(directory / "target")

    trio.run(story)
    return 0


@pytest.mark.parametrize("step", [*range(1, 30, 2), *range(31, 1000, 9)][:22])
def test_killed_anywhere_leaves_nothing_half_done(tmp_path: Path, step: int) -> None:
    target = tmp_path / "target"
    assert in_child(lambda: restore_and_die(tmp_path / "child", step)) in (-signal.SIGKILL, 0)
    target = tmp_path / "child" / "target"
    whole = wanted(KILLED)
    for name, seen in found(target).items() if target.exists() else ():
        if not stat.S_ISDIR(seen.mode) and not os.path.basename(name).startswith(b".snapfs-"):
            assert (seen.content, seen.mode, seen.mtime_ns, seen.xattrs) == (
                whole[name].content, whole[name].mode, whole[name].mtime_ns, whole[name].xattrs,
            )  # fmt: skip

    async def again() -> None:
        async with restorer(tmp_path / "again", KILLED) as restoring:
            report = await restoring.run(target)
            assert report.is_clean

    trio.run(again)
    assert temporaries(target) == []
    assert found(target) == whole


# --- an ordinary user


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that others may enter: pytest's are for its own user."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


async def restored_as_user(directory: Path) -> int:
    target = directory / "target"
    things: dict[str | bytes, Thing] = {
        "/": folder(0o755, uid=NOBODY, gid=NOBODY),
        "/locked": folder(0o555, uid=NOBODY, gid=NOBODY),
        "/locked/mine": file(b"mine", mode=0o4444, uid=NOBODY, gid=NOBODY,
                             xattrs=((b"user.a", b"1"),)),
        "/locked/hidden": folder(0o000, uid=NOBODY, gid=NOBODY),
        "/locked/hidden/in": file(b"in", uid=NOBODY, gid=NOBODY),
        "/roots": file(b"root's", mode=0o6755, xattrs=((b"trusted.x", b"1"),)),
        "/roots-too": file(b"root's"),
        "/group": file(b"g", mode=0o2755, uid=NOBODY, gid=5),
        "/null": Thing(mode=stat.S_IFCHR | 0o666, rdev=os.makedev(1, 3), uid=NOBODY, gid=NOBODY),
        "/fifo": Thing(mode=stat.S_IFIFO | 0o600, uid=NOBODY, gid=NOBODY),
        "/link": link(b"x", uid=NOBODY, gid=NOBODY),
    }  # fmt: skip
    async with restorer(directory, things) as restoring:
        for _ in range(2):  # the second time over directories that lack permissions
            report = await restoring.run(target)
            assert troubles(report) == {Trouble.METADATA: 9}, report
            details = {finding.detail.partition(" could")[0] for finding in report.findings}
            assert {"owner", "group", "device files"} <= details
            assert len(report.findings) == 5, report.findings
            owner = next(it for it in report.findings if it.detail.startswith("owner"))
            assert "2 entries" in owner.detail and "root" in owner.detail
        await restoring.run(target, overwrite=Overwrite.IF_CHANGED)
        os.chmod(target / "locked" / "hidden", 0o755)
    seen = found(target)
    assert set(seen) == {
        b"", b"locked", b"locked/mine", b"locked/hidden", b"locked/hidden/in", b"roots",
        b"roots-too", b"group", b"fifo", b"link",
    }  # fmt: skip
    full = wanted(things)
    for name in (b"", b"locked", b"locked/mine", b"locked/hidden/in", b"fifo", b"link"):
        assert seen[name] == full[name], name
    # No set-id bit where its owner could not be given along.
    assert stat.S_IMODE(seen[b"roots"].mode) == 0o755
    assert stat.S_IMODE(seen[b"group"].mode) == 0o755
    assert seen[b"roots"].mtime_ns == full[b"roots"].mtime_ns
    return 0


NOBODY = 65534


def _is_open_to_all() -> bool:
    """Whether the program still finds its own files when it is nobody."""
    package = Path(snapfs.__file__).resolve().parent
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (package, *package.parents))


@as_root
@pytest.mark.skipif(not _is_open_to_all(), reason="others may not read this project's files")
def test_an_ordinary_user_restores_what_it_may(open_directory: Path) -> None:
    def story() -> int:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return trio.run(restored_as_user, open_directory)

    assert in_child(story) == 0
