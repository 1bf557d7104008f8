"""What a passphrase is read from, and the state of its file by which it is known again."""

import os
import threading
from pathlib import Path

import pytest

from snapfs.cli import passphrase
from snapfs.cli.passphrase import held_and_state
from snapfs.cli.settings import Asked, Given, InFile


def test_a_state_is_no_newer_than_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a passphrase that was changed meanwhile would be believed to be the one that opened."""
    file = tmp_path / "passphrase"
    file.write_text("before")
    monkeypatch.setattr(passphrase, "_SETTLED_NS", 0)
    real = os.fstat

    def changed_behind(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        if found.st_ino == file.stat().st_ino:
            file.write_text("changed")
        return found

    monkeypatch.setattr(os, "fstat", changed_behind)
    secret, state = held_and_state(InFile(file))
    assert secret == "changed"
    monkeypatch.undo()
    assert state is not None
    assert state.size == len("before")


def test_only_a_file_that_lasts_has_a_state(tmp_path: Path) -> None:
    assert held_and_state(Asked()) == (None, None)
    assert held_and_state(Given("secret", "SNAPFS_PASSPHRASE")) == ("secret", None)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    os.write(descriptor, b"secret\n")
    thread = threading.Timer(0.2, os.close, (descriptor,))
    thread.start()
    assert held_and_state(InFile(pipe)) == ("secret", None)
    thread.join()
