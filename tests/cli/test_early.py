"""The derivation that begins before a command is loaded: when it does, and that it is harmless."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs.cli.early import begin_derivation
from tests.cli.running import PASSPHRASE, PROJECT, Snapfs


@pytest.fixture
def known(snapfs: Snapfs, monkeypatch: pytest.MonkeyPatch) -> Snapfs:
    """A machine that has opened its repository before, and is this one."""
    snapfs("snapshots")
    for name, value in snapfs.environment.items():
        monkeypatch.setenv(name, value)
    return snapfs


def test_it_begins_with_what_opened_last(known: Snapfs, tmp_path: Path) -> None:
    place, elsewhere = str(known.repository), str(tmp_path / "elsewhere")
    for repository, words in (
        (None, []),
        (place, ["*.pdf"]),
        (elsewhere, ["-r", place]),
        (elsewhere, [f"--repository={place}"]),
    ):
        begun = begin_derivation(repository, words)
        assert begun is not None
        assert begun.secret == PASSPHRASE


def test_it_does_not_begin_where_nothing_is_known(known: Snapfs, tmp_path: Path) -> None:
    assert begin_derivation(None, ["--help"]) is None
    assert begin_derivation(str(tmp_path / "elsewhere"), []) is None
    assert begin_derivation(None, ["--repository"]) is not None
    assert begin_derivation(None, ["--repository", "ftp://nowhere"]) is None


def test_it_does_not_ask_for_a_passphrase(known: Snapfs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAPFS_PASSPHRASE")
    assert begin_derivation(None, []) is None
    monkeypatch.setenv("SNAPFS_PASSPHRASE_FILE", "/nonexistent")
    assert begin_derivation(None, []) is None


def test_a_passphrase_that_can_be_read_only_once_is_read_once(snapfs: Snapfs) -> None:
    for _ in range(2):  # the second time the place is known
        reading, writing = os.pipe()
        os.write(writing, PASSPHRASE.encode())
        os.close(writing)
        environment = {**snapfs.environment, "SNAPFS_PASSPHRASE_FILE": f"/dev/fd/{reading}"}
        del environment["SNAPFS_PASSPHRASE"]
        subprocess.run(
            [sys.executable, "-m", "snapfs.cli.main", "snapshots"], env=environment, cwd=PROJECT,
            pass_fds=(reading,), check=True,
        )  # fmt: skip
        os.close(reading)


def test_a_slot_that_was_changed_since_opens_with_its_new_passphrase(known: Snapfs) -> None:
    known("key", "passwd", SNAPFS_NEW_PASSPHRASE="another")
    known("snapshots", SNAPFS_PASSPHRASE="another")
    known("snapshots", status=12)
