"""What an ingest and its reading helper say to each other; `jobs/framing.py` says how.

The contents themselves lie in memory that both have: the ingest says where each is to be put.
"""

import msgspec

from snapfs.model.attributes import Attributes
from snapfs.sources.reading import Change


class Setup(msgspec.Struct, frozen=True, array_like=True):
    """What holds for all files; the first message."""

    block_id_key: bytes


class Wanted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A regular file that is to be read, with what lstat said of it."""

    path: bytes
    st_mode: int
    st_dev: int
    st_ino: int
    size: int
    "bytes that there is room for; one that is longer by now is left to the ingest"
    offset: int
    "in the common memory"


class Wants(msgspec.Struct, frozen=True, array_like=True):
    """Files that are read one behind the other."""

    files: tuple[Wanted, ...]


class Read(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file that was read without anything to tell of it."""

    attributes: Attributes
    ctime_ns: int
    change: Change
    key: bytes
    "of its content as one block; empty where it has none"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What became of the files of one message, in their order."""

    files: tuple[Read | None, ...]
    "None: the ingest is to read it itself, and to tell what is wrong with it"
