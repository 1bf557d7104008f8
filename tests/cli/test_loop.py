"""What the event loop of a command does beside it, and what ends it."""

import os
import signal
from pathlib import Path
from typing import Any

import click
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("late", [False, True], ids=["as it is made", "as it is taken down"])
def test_a_signal_ends_a_command_while_its_loop_is(
    number: int, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, begun = trio.run, []

    def run_signalled(*given: Any) -> object:
        os.kill(os.getpid(), number)
        return run(*given)

    def run_and_signal(*given: Any) -> object:
        result = run(*given)
        os.kill(os.getpid(), number)
        return result

    async def command() -> None:
        begun.append(True)

    monkeypatch.setattr(trio, "run", run_and_signal if late else run_signalled)
    before = signal.signal(number, _raise)
    try:
        with pytest.raises(click.Abort):
            loop.run(command)
        assert signal.getsignal(number) is _raise
    finally:
        signal.signal(number, before)
    assert begun == [True] * late


def _raise(*_: object) -> None:
    raise KeyboardInterrupt
