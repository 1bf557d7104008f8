"""Fixtures that the tests of several jobs use."""

import os
import time

import pytest

from snapfs.jobs.restore import small
from snapfs.jobs.restore.worker import Worker
from tests.jobs.ingesting import have_helper_read


@pytest.fixture
def by_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker process of a restore make all small entries, the first ones too."""
    begin, is_ready = Worker.begin, Worker.is_ready

    def begun_and_ready(worker: Worker) -> bool:
        if not worker._helper.begun:
            begin(worker)
        deadline = time.monotonic() + 60
        while not is_ready(worker):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return True

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(small, "_FROM", 0)
    monkeypatch.setattr(Worker, "is_ready", begun_and_ready)


@pytest.fixture(params=["in a thread", "by the worker"])
def making(request: pytest.FixtureRequest) -> None:
    """Each of the ways in which a restore makes small entries."""
    if request.param == "by the worker":
        request.getfixturevalue("by_worker")


@pytest.fixture
def by_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the helper of an ingest read all small files, the first ones too."""
    have_helper_read(monkeypatch)


@pytest.fixture(params=["by the ingest", "by its helper"])
def reading(request: pytest.FixtureRequest) -> None:
    """Each of the ways in which an ingest reads small files."""
    if request.param == "by its helper":
        request.getfixturevalue("by_helper")
