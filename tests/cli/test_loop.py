"""What the event loop of a command does beside it."""

from pathlib import Path

import pytest
import trio

from snapfs.cli import loop
from tests.cores import Guest


def test_a_command_with_much_to_do_keeps_cores_awake_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest(tmp_path)
    monkeypatch.setattr(loop, "Cores", guest.cores)

    async def command() -> None:
        with trio.fail_after(60):
            while not guest.is_held:
                await trio.to_thread.run_sync(sum, range(1_000_000))

    loop.run(command)
    assert guest.was_held
    assert not guest.is_held
