"""A tree, and calls of the system that fail or come too late, by the names of its files."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapfs.jobs.ingest.options import IngestReport
from snapfs.model.finding import Trouble


def make_tree(path: Path) -> Path:
    """A few files in directories, one with two names."""
    (path / "d" / "inner").mkdir(parents=True)
    for name in ("a", "b", "d/c", "d/inner/x"):
        (path / name).write_bytes(name.encode() * 100)
    os.link(path / "a", path / "a2")
    return path


class Struck:
    """Calls of the system that fail, or before which something happens, by the file's name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.denied: set[bytes] = set()
        self.unseen: set[bytes] = set()
        self.before: dict[bytes, list[Callable[[], object]]] = {}
        "what happens before a file of this name is opened, each once"
        self._open, self._stat = os.open, os.stat
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "stat", self.stat)

    def open(self, path: Any, *args: Any, **options: Any) -> int:
        name = os.path.basename(os.fsencode(path))
        if waiting := self.before.get(name):
            waiting.pop(0)()
        if name in self.denied:
            raise PermissionError(errno.EACCES, "Permission denied")
        return self._open(path, *args, **options)

    def stat(self, path: Any, *args: Any, **options: Any) -> os.stat_result:
        if isinstance(path, bytes) and os.path.basename(path) in self.unseen:
            raise PermissionError(errno.EACCES, "Permission denied")
        return self._stat(path, *args, **options)


def found(report: IngestReport, tree: Path) -> list[tuple[Trouble, str]]:
    """What an ingest has found, and where in the tree."""
    base = os.fsencode(tree) + b"/"
    return [
        (item.trouble, item.path.removeprefix(base).decode()) for item in report.findings.listed
    ]
