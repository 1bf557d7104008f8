"""Within the helper that reads: what it answers of files that do not hold still."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snapfs.jobs import framing
from snapfs.jobs.ingest import lookahead_main
from snapfs.jobs.ingest.lookahead_main import _Server
from snapfs.jobs.ingest.messages import Answer, Wanted, Wants
from snapfs.sources.ahead import OpenAhead
from snapfs.sources.reading import Change

KEY = b"k" * 32


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[list[Path]], Answer]]:
    """A helper that is a thread of this process, where things can be done to it."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, closing(OpenAhead()) as ahead:
            try:
                _Server(theirs, memoryview(bytearray(1000)), KEY, ahead).serve()
            except framing.EndedError:
                return

    def ask(paths: list[Path]) -> Answer:
        wanted = []
        for path in paths:
            status = path.lstat()
            wanted.append(
                Wanted(os.fsencode(path), status.st_mode, status.st_dev, status.st_ino, 100, 0)
            )
        framing.send(ours, Wants(tuple(wanted)))
        return msgspec.msgpack.decode(framing.receive(ours)[0], type=Answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        yield ask
    thread.join()


@pytest.mark.parametrize("moment", ["open_file", "attributes_of_open"])
@pytest.mark.parametrize(
    ("change", "expected", "size"),
    [
        (lambda path: os.truncate(path, 3), Change.SHRANK, 3),
        (lambda path: path.write_bytes(b"content, and more"), Change.GREW, 7),
        (lambda path: path.write_bytes(b"CONTENT"), Change.ALTERED, 7),
    ],
)
def test_what_changes_while_it_is_read(
    served: Callable[[list[Path]], Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object], expected: Change, size: int, moment: str,
) -> None:  # fmt: skip
    """As it was opened, or when all of it had been read."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    original = getattr(lookahead_main, moment)

    def then_change(*args: Any, **options: Any) -> Any:
        result = original(*args, **options)
        change(path)
        return result

    monkeypatch.setattr(lookahead_main, moment, then_change)
    (read,) = served([path]).files
    assert read is not None
    if moment == "open_file":
        assert (read.change, read.attributes.size) == (expected, size)
    else:
        assert read.attributes.size == 7
        assert read.change is not Change.NONE


def test_what_there_is_to_tell_of_is_left_to_the_ingest(
    served: Callable[[list[Path]], Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.setxattr(path, "user.n", b"v")

    def fail(*args: object, **options: object) -> bytes:
        raise OSError(5, "Input/output error")

    assert served([path]).files[0] is not None
    monkeypatch.setattr(os, "getxattr", fail)
    assert served([path]).files == (None,)


def test_a_time_that_no_message_holds_is_left_to_the_ingest(
    served: Callable[[list[Path]], Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "one", tmp_path / "other"]
    for path in paths:
        path.write_bytes(b"content")
    assert None not in served(paths).files
    attributes_of_open = lookahead_main.attributes_of_open

    def late(*args: Any, **options: Any) -> Any:
        return msgspec.structs.replace(attributes_of_open(*args, **options), mtime_ns=2**70)

    monkeypatch.setattr(lookahead_main, "attributes_of_open", late)
    assert served(paths).files == (None, None)
