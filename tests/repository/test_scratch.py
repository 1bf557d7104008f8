"""Scratch directories: gone with their block, and what a killed process left with the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from snapfs.model.identity import RepositoryId
from snapfs.repository.scratch import scratch
from snapfs.repository.state import Directories, State

_ID = RepositoryId(bytes(16))
_HOLD = """
import sys, time
from pathlib import Path
from tests.repository.test_scratch import state_at
from snapfs.repository.scratch import scratch
with scratch(state_at(Path(sys.argv[1]))) as folder:
    (folder / "half").write_text("done")
    print(folder, flush=True)
    time.sleep(60)
"""


def state_at(directory: Path) -> State:
    return State(Directories(directory / "state", directory / "cache"), _ID)


def _left(state: State) -> list[Path]:
    return list(state.directory.glob("scratch-*"))


def test_it_is_gone_with_its_block(tmp_path: Path) -> None:
    state = state_at(tmp_path)
    with scratch(state) as one, scratch(state) as other:
        assert one != other
        (one / "file").write_text("x")
        assert sorted(_left(state)) == sorted([one, other])
    assert _left(state) == []


def test_that_of_a_killed_process_goes_with_the_next(tmp_path: Path) -> None:
    state = state_at(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        with scratch(state):
            assert (held / "half").exists(), "somebody is at work in it"
        os.kill(holder.pid, signal.SIGKILL)
    assert held.exists()
    with scratch(state) as folder:
        assert _left(state) == [folder]
