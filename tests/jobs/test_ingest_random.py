"""Random trees, random changes, random ends of progress: every snapshot is what was there."""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.stores.memory import MemoryStore
from tests.jobs.ingesting import TINY, have_helper_read, machine

_FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"in memory where that can be: each example opens five databases"
_NAMES = st.sampled_from(["a", "b", "\udcff"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_CONTENTS = st.sampled_from([b"", b"x", b"y" * 5000, bytes(range(256)) * 40, b"x" * 300_000])


def _opened(path: Path, flags: int) -> BinaryIO:
    # A FIFO of that name must not make us wait.
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | flags), "wb")


def _write(tree: Path, path: str, content: bytes, other: str) -> None:
    with _opened(tree / path, os.O_TRUNC) as file:
        file.write(content)


def _make_folder(tree: Path, path: str, content: bytes, other: str) -> None:
    (tree / path).mkdir(parents=True)


def _remove(tree: Path, path: str, content: bytes, other: str) -> None:
    if (tree / path).is_dir() and not (tree / path).is_symlink():
        shutil.rmtree(tree / path)
    else:
        (tree / path).unlink()


def _rename(tree: Path, path: str, content: bytes, other: str) -> None:
    (tree / path).rename(tree / other)


def _link(tree: Path, path: str, content: bytes, other: str) -> None:
    os.link(tree / path, tree / other, follow_symlinks=False)


def _point(tree: Path, path: str, content: bytes, other: str) -> None:
    (tree / path).symlink_to(other)


def _set_mode(tree: Path, path: str, content: bytes, other: str) -> None:
    (tree / path).chmod(0o700 | len(content) % 64)


def _make_sparse(tree: Path, path: str, content: bytes, other: str) -> None:
    with _opened(tree / path, 0) as file:
        file.truncate(os.fstat(file.fileno()).st_size + 100_000)


def _make_fifo(tree: Path, path: str, content: bytes, other: str) -> None:
    os.mkfifo(tree / path)


Step = tuple[Callable[[Path, str, bytes, str], None], str, bytes, str]
_STEPS = st.tuples(
    st.sampled_from(
        [
            _write, _write, _make_folder, _make_folder, _remove, _rename, _link, _point, _set_mode,
            _make_sparse, _make_fifo,
        ]
    ),
    _PATHS,
    _CONTENTS,
    _PATHS,
)  # fmt: skip
_ROUNDS = st.tuples(
    st.lists(_STEPS, min_size=1, max_size=12),
    st.sampled_from([{}, {"progress_blocks": 1}, {"progress_seconds": 0.0}, {"force": True}]),
    st.integers(0, 1),
)


async def _play(base: Path, rounds: list[tuple[list[Step], dict[str, object], int]]) -> None:
    tree = base / "tree"
    tree.mkdir()
    store = MemoryStore()
    async with (
        machine(store, base / "m0", tree, chunker=TINY) as zero,
        machine(store, base / "m1", tree) as one,
    ):
        for steps, options, which in rounds:
            for change, path, content, other in steps:
                with suppress(OSError):
                    change(tree, path, content, other)
            await (zero, one)[which].capture(**options)
        for host in (zero, one):
            await host.check()


@settings(max_examples=40)
@given(st.lists(_ROUNDS, min_size=2, max_size=4))
def test_every_snapshot_is_what_was_there(
    rounds: list[tuple[list[Step], dict[str, object], int]],
) -> None:
    with tempfile.TemporaryDirectory(dir=_FAST) as base:
        trio.run(_play, Path(base), rounds)


@settings(max_examples=10)
@given(st.lists(_ROUNDS, min_size=2, max_size=4))
def test_it_is_so_where_the_helper_reads(
    rounds: list[tuple[list[Step], dict[str, object], int]],
) -> None:
    with tempfile.TemporaryDirectory(dir=_FAST) as base, pytest.MonkeyPatch.context() as patch:
        have_helper_read(patch)
        trio.run(_play, Path(base), rounds)
