"""Being interrupted: a clean end, and the next run completes the work."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import click
import pytest
import trio

from snapfs.cli.loop import run as run_to_the_end
from tests.cli.running import Snapfs, eventually


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ingest_is_interrupted(snapfs: Snapfs, tmp_path: Path, number: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for index in range(40):
        (source / str(index)).write_bytes(os.urandom(4_000_000))
    packs = snapfs.repository / "packs"
    with snapfs.start("ingest", source) as run:
        eventually(lambda: packs.exists() and any(packs.rglob("*/*")))
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=30)
    assert (run.returncode, stdout, stderr) == (130, b"", b"snapfs: interrupted\n")
    assert snapfs("snapshots", "--json").json == []

    assert snapfs("ingest", source, "--json").json["files"]["new"] == 40
    snapfs("restore", f"latest:{source}", "--target", tmp_path / "back")
    subprocess.run(["diff", "-r", source, tmp_path / "back"], check=True)


# --- the process that helps a job ends with it, whatever ends it

two_processors = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="one processor alone: no such process"
)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A source of 20,000 files."""
    source = tmp_path / "source"
    for index in range(20_000):
        path = source / str(index % 100) / str(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % index)
    return source


def _interrupt_with_helper(run: subprocess.Popen[bytes], number: int) -> None:
    """Send a command the signal once it has a helper; both end."""
    threads = Path(f"/proc/{run.pid}/task")
    found: list[int] = []

    def has_helper() -> bool:
        for thread in threads.glob("*/children"):
            with suppress(OSError):  # it has ended
                found.extend(map(int, thread.read_text().split()))
        return bool(found)

    eventually(has_helper)
    run.send_signal(number)
    run.communicate(timeout=30)
    assert run.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    eventually(lambda: not any(map(_runs, found)))


@two_processors
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_ingest_with_a_helper_is_interrupted(
    snapfs: Snapfs, tmp_path: Path, many: Path, number: int
) -> None:
    with snapfs.start("ingest", many) as run:
        _interrupt_with_helper(run, number)

    assert snapfs("ingest", many, "--json").json["files"]["new"] == 20_000
    snapfs("restore", f"latest:{many}", "--target", tmp_path / "back")
    subprocess.run(["diff", "-r", many, tmp_path / "back"], check=True)


@two_processors
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_restore_with_a_helper_is_interrupted(
    snapfs: Snapfs, tmp_path: Path, many: Path, number: int
) -> None:
    source, target = many, tmp_path / "back"
    snapfs("ingest", source)
    with snapfs.start("restore", f"latest:{source}", "--target", target) as run:
        _interrupt_with_helper(run, number)

    snapfs("restore", f"latest:{source}", "--target", target, "--overwrite", "if-changed")
    subprocess.run(["diff", "-r", source, target], check=True)


def _runs(process: int) -> bool:
    """Whether a process is there and not merely waits for its status to be read."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_second_signal_ends_what_is_stuck(snapfs: Snapfs) -> None:
    with snapfs.start("ingest", "--stdin", "--name", "one") as run:
        locks = snapfs.home / "state"
        eventually(lambda: any(lock.stat().st_size for lock in locks.rglob("source-*.lock")))

        def gone() -> bool:
            run.send_signal(signal.SIGTERM)
            return run.poll() is not None

        eventually(gone)
    assert run.returncode in (130, -signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_as_a_command_ends(number: int) -> None:
    """It is not lost: what was to be done with the command's result may take for ever."""

    async def command() -> str:
        os.kill(os.getpid(), number)
        for _ in range(20):
            await trio.lowlevel.cancel_shielded_checkpoint()
        return "done"

    with pytest.raises(click.Abort):
        run_to_the_end(command)
