"""Mounts for tests: in this process, with the accesses made in threads."""

import ctypes
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import trio

from snapfs.mount.options import MountOptions
from snapfs.mount.serve import serve
from snapfs.repository.repository import Repository

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def mounted(
    repository: Repository, mountpoint: Path, options: MountOptions | None = None
) -> AsyncIterator[Path]:
    """The repository mounted; leaving the block ends it."""
    await trio.Path(mountpoint).mkdir(exist_ok=True)
    await repository.catch_up_all()
    async with trio.open_nursery() as nursery:
        ready = trio.Event()
        nursery.start_soon(_serve, repository, mountpoint, options or MountOptions(), ready)
        with trio.fail_after(20):
            await ready.wait()
        try:
            yield mountpoint
        finally:
            nursery.cancel_scope.cancel()


async def _serve(
    repository: Repository, mountpoint: Path, options: MountOptions, ready: trio.Event
) -> None:
    await serve(repository, mountpoint, options, ready=ready.set)


async def use(call: Callable[..., T], *arguments: object, **options: object) -> T:
    """Call something that touches the mount: in a thread, for this one answers it."""
    with trio.fail_after(60):
        return await trio.to_thread.run_sync(
            lambda: call(*arguments, **options), abandon_on_cancel=True
        )


async def run(*command: str | Path) -> str:
    """Run a program that touches the mount; its output. Fails where it fails."""
    with trio.fail_after(60):
        done = await trio.run_process(
            [str(word) for word in command], capture_stdout=True, capture_stderr=True
        )
    return done.stdout.decode(errors="surrogateescape")


def getdents(path: Path, size: int) -> list[str]:
    """Names by the system call itself, in a buffer of `size` bytes."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    buffer = ctypes.create_string_buffer(size)
    names = []
    try:
        while (count := libc.syscall(217, descriptor, buffer, size)) > 0:
            at = 0
            while at < count:
                length = int.from_bytes(buffer[at + 16 : at + 18], "little")
                names.append(buffer[at + 19 : at + length].split(b"\0")[0].decode())
                at += length
    finally:
        os.close(descriptor)
    assert count == 0
    return names
