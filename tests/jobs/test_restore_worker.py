"""The process that makes small entries: what it makes, and what becomes of a restore without it."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import LocalError
from snapfs.jobs.helper import helping
from snapfs.jobs.restore import messages, walk
from snapfs.jobs.restore import worker as workers
from snapfs.jobs.restore.messages import Outcome, Outcomes, Setup
from snapfs.jobs.restore.report import Action
from snapfs.jobs.restore.worker import Worker
from snapfs.model.finding import Trouble
from tests.build import Thing, file, folder, link
from tests.jobs.helping import kill
from tests.jobs.restoring import found, restorer, temporaries, troubles, wanted

SETUP = Setup(b"token", sparse=True, block_id_key=b"")


def many(files: int = 700) -> dict[str | bytes, Thing]:
    """More than a batch or two, of all kinds."""
    chance = random.Random(1)
    twice = file(b"twice")
    things: dict[str | bytes, Thing] = {"/": folder(), "/first": twice, "/z/last": twice}
    for number in range(files):
        path = f"/d{number % 41}/f{number}"
        match number % 9:
            case 0:
                things[path] = link(b"to %d" % number)
            case 1:
                things[path] = file(mode=0o600)
            case 2:
                things[path] = file(b"begin", 300_000, b"end", mode=0o640)
            case _:
                content = chance.randbytes(chance.randrange(1, 30_000))
                things[path] = file(content, mtime_ns=number * 10**9 + 1, uid=number % 3)
    return things


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what the worker was given."""
    sizes: list[int] = []
    make = Worker.make

    async def spy(self: Worker, wanted: workers.Wanted) -> tuple[Outcome, ...]:
        sizes.append(len(wanted))
        return await make(self, wanted)

    monkeypatch.setattr(Worker, "make", spy)
    return sizes


@pytest.mark.parametrize("verify", [False, True])
async def test_it_makes_what_a_thread_makes(
    tmp_path: Path, by_worker: None, spied: list[int], verify: bool
) -> None:
    things = many()
    told: list[tuple[Action, bytes]] = []
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(
            tmp_path / "target", verify=verify, watch=lambda *each: told.append(each)
        )
        assert sum(spied) == 701  # but for the further name of an inode
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "sched_getaffinity", lambda _: {0})
            alone = await restoring.run(tmp_path / "alone", verify=verify)
        assert sum(spied) == 701
    assert report == alone
    assert report.is_clean
    assert found(tmp_path / "target") == wanted(things)
    assert {path for _, path in told} == {
        os.fsencode(tmp_path / "target" / os.fsdecode(name)).rstrip(b"/") for name in wanted(things)
    }


async def test_a_restore_of_little_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "begin", None)
    async with restorer(tmp_path, many(30)) as restoring:
        assert (await restoring.run(tmp_path / "target")).is_clean


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
async def test_where_it_cannot_be_started_a_thread_makes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr("sys.executable", program)
    async with restorer(tmp_path, many()) as restoring:
        assert (await restoring.run(tmp_path / "target")).is_clean
    assert found(tmp_path / "target") == wanted(many())


async def test_answers_are_taken_in_the_order_of_what_was_sent(
    tmp_path: Path, by_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first who asked is the last who comes to listen."""
    waits = iter([0.3, 0.2, 0.1])
    receive = Worker._receive

    def late(self: Worker) -> Outcomes:
        time.sleep(next(waits, 0))
        return receive(self)

    monkeypatch.setattr(Worker, "_receive", late)
    name = "x" * 256
    things = {**many(), f"/d1/{name}": file(b"longer than names may be")}
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(tmp_path / "target")
    (finding,) = report.findings
    assert finding.path == os.fsencode(tmp_path / "target/d1" / name)


async def test_it_is_killed(
    tmp_path: Path, by_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the restore ends, and another one goes on."""
    things, target = many(), tmp_path / "target"
    make, batches = Worker.make, 0

    async def killed(self: Worker, wanted: workers.Wanted) -> tuple[Outcome, ...]:
        nonlocal batches
        batches += 1
        if batches == 2:
            kill(self._helper)
        return await make(self, wanted)

    async with restorer(tmp_path, things) as restoring:
        with monkeypatch.context() as patch:
            patch.setattr(Worker, "make", killed)
            with pytest.raises(LocalError, match="ended with signal 9") as raised:
                await restoring.run(target)
        assert "if-changed" in raised.value.hint
        names = {name for name in found(target) if b".snapfs-restore-" not in name}
        assert names < wanted(things).keys()
        assert (await restoring.run(target)).is_clean
    assert found(target) == wanted(things)
    assert temporaries(target) == []


@pytest.fixture
def short_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB whose path is no text."""
    path = tmp_path / os.fsdecode(b"short \xff")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2M", "none", path]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


async def test_its_disk_is_full(tmp_path: Path, short_disk: Path, by_worker: None) -> None:
    async with restorer(tmp_path, many()) as restoring:
        with pytest.raises(LocalError, match="No space left") as raised:
            await restoring.run(short_disk)
    assert "if-changed" in raised.value.hint
    assert temporaries(short_disk) == []


async def test_a_finding_that_is_no_text(tmp_path: Path, by_worker: None) -> None:
    things = {"/a": file(b"a", xattrs=((b"us\xffer.x", b"y"),))}
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(tmp_path / "target")
    (finding,) = report.findings
    assert "'us\udcffer' could not be set" in finding.detail


async def test_a_number_that_no_message_holds(
    tmp_path: Path, by_worker: None, spied: list[int]
) -> None:
    """Such a batch is made here, where it is a finding."""
    things = {**many(20), "/never": file(b"x", mtime_ns=2**70)}
    async with restorer(tmp_path, things) as restoring:
        report = await restoring.run(tmp_path / "target")
    assert spied == [22]
    assert troubles(report) == {Trouble.METADATA: 1}
    assert (tmp_path / "target/never").read_bytes() == b"x"


async def test_it_ends_with_the_restore(by_worker: None) -> None:
    async with helping(Worker(SETUP)) as process:
        assert process is not None
        assert process.is_ready()
        assert process._helper._process is not None
        assert process._helper._process.poll() is None
    assert process._helper._process.returncode == 0


def test_a_batch_has_no_more_directories_than_an_order_takes() -> None:
    assert walk._BATCH_DIRECTORIES <= messages.DIRECTORIES
