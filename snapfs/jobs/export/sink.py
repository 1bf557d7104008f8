"""Where an archive goes: compressed, to a stream or to a file that appears when it is whole."""

import contextlib
import enum
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import zstandard

from snapfs.errors import LocalError, UsageError

_LEVEL_ZSTD = 3
_LEVEL_GZIP = 6
_GZIP = 31
"of zlib's window bits: the format of gzip, with the largest window"
_THREADS = 2
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Format(enum.StrEnum):
    """How an archive is compressed."""

    TAR = "tar"
    ZSTD = "tar.zst"
    GZIP = "tar.gz"


_ENDINGS = {
    ".tar": Format.TAR,
    ".tar.zst": Format.ZSTD,
    ".tzst": Format.ZSTD,
    ".tar.gz": Format.GZIP,
    ".tgz": Format.GZIP,
}


def format_of(path: str) -> Format:
    """The format that a file's name says. Raises UsageError where it says none."""
    for ending, chosen in _ENDINGS.items():
        if path.lower().endswith(ending):
            return chosen
    raise UsageError(
        f"{path}: the name says no format", hint=f"name it {', '.join(_ENDINGS)}, or say --format"
    )


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class Sink:
    """Compresses what it is given, and writes it to a descriptor that stays its caller's.

    Blocks, so it runs in a thread; not for use from two at once.
    """

    def __init__(self, descriptor: int, chosen: Format, *, name: str, may_block: bool) -> None:
        self._descriptor = descriptor
        self._compressor = _compressor(chosen)
        self._name = name
        self.may_block = may_block
        "whether writing may wait for ever, as for the reader of a pipe"
        self.written = 0
        "bytes, compressed"

    def write(self, data: bytes) -> None:
        """Write so much. Raises BrokenPipeError where nobody reads any more, LocalError."""
        self._put(self._compressor.compress(data))

    def finish(self) -> None:
        """Write what the compressor holds: without it the archive is cut. Raises as `write`."""
        self._put(self._compressor.flush())

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        with _local_errors(self._name):
            while rest:
                count = os.write(self._descriptor, rest)
                self.written += count
                rest = rest[count:]


@contextmanager
def stream_sink(descriptor: int, chosen: Format) -> Iterator[Sink]:
    """A sink that writes to an open descriptor, such as standard output."""
    yield Sink(descriptor, chosen, name="the archive", may_block=True)


@contextmanager
def file_sink(path: Path, chosen: Format) -> Iterator[Sink]:
    """A sink whose file has its name, and is on disk, when the block has ended well; else nothing.

    What had that name is replaced then; a device or fifo is written to. Raises LocalError.
    """
    with _local_errors(str(path)):
        path = path.resolve()
        if path.exists() and not path.is_file():
            descriptor, draft = os.open(path, os.O_WRONLY | os.O_CLOEXEC), None
        else:
            draft = path.with_name(f".{path.name}.{os.getpid()}.part")
            descriptor = os.open(draft, _NEW, 0o600)
    try:
        yield Sink(descriptor, chosen, name=str(path), may_block=draft is None)
        if draft is not None:
            _place(descriptor, draft, path)
            draft = None
    finally:
        os.close(descriptor)
        if draft is not None:
            with contextlib.suppress(OSError):
                draft.unlink()


def _place(descriptor: int, draft: Path, path: Path) -> None:
    with _local_errors(str(path)):
        # BEFORE the name is given: it must not stand for less than all after a power failure.
        os.fsync(descriptor)
        draft.rename(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _compressor(chosen: Format) -> _Compressor:
    match chosen:
        case Format.ZSTD:
            return zstandard.ZstdCompressor(
                level=_LEVEL_ZSTD, threads=_THREADS, write_checksum=True
            ).compressobj()
        case Format.GZIP:
            return zlib.compressobj(_LEVEL_GZIP, wbits=_GZIP)
        case Format.TAR:
            return _Plain()


@contextmanager
def _local_errors(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LocalError(
            f"{name}: cannot be written: {error.strerror}",
            hint="choose another place with -o, or free some space",
        ) from error
