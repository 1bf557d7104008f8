"""Helpers: how they end, and how that is told."""

from pathlib import Path

import pytest

from snapfs.jobs import helper
from snapfs.jobs.helper import Helper
from snapfs.jobs.ingest.messages import Setup


def _helper(module: str) -> Helper:
    return Helper(f"tests.jobs.{module}", "does nothing", Setup(b""))


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket can fail, for want of memory, while the helper waits for what comes."""
    monkeypatch.setattr(helper, "_PATIENCE", 0.1)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    running = _helper("lingering")
    running.begin()
    assert running.how_it_ended() == "the process that does nothing ended with signal 9"
    running.end()


def test_one_that_ended_says_how() -> None:
    running = _helper("nowhere")
    running.begin()
    assert running.how_it_ended() == "the process that does nothing ended with status 1"
    running.end()
