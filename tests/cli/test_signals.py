"""Being interrupted: a clean end, and the next run completes the work."""

import os
import signal
import subprocess
from pathlib import Path

import click
import pytest
import trio

from snapfs.cli.session import run as run_to_the_end
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
