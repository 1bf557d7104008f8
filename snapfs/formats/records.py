"""Records of the commit log: a small head each, whose rows are in parts.

Every head has the same envelope; its body is one of the kinds below. A kind or field that this
program does not know means that a newer one wrote it, which the log's level has said before.
"""

from typing import TypeAlias

import msgspec

from snapfs.errors import FormatError
from snapfs.formats import limits, objects, seal, wire
from snapfs.formats.parts import LEVEL, PartRef
from snapfs.formats.seal import Context, EpochKeys, ObjectKind, Purpose, Random
from snapfs.model.identity import Commit, RepositoryId

FIRST = Commit(1)
NO_HASH = bytes(32)
"`previous` of the first record"


class Init(msgspec.Struct, frozen=True, tag="init", forbid_unknown_fields=True):
    """Record 1."""

    repository: bytes
    ring: str
    "object of the ring that init wrote"
    chunker: tuple[str, int, int, int]
    "name, least, average and largest bytes of a block"
    read: tuple[str, ...] = ()
    "features that a program needs to read this repository"
    write: tuple[str, ...] = ()
    "features that a program needs to write to it"


class Upgrade(msgspec.Struct, frozen=True, tag="upgrade", forbid_unknown_fields=True):
    """Raises the level: from here on these features are needed too."""

    read: tuple[str, ...]
    write: tuple[str, ...]


class New(msgspec.Struct, frozen=True, array_like=True):
    """How many ids a record takes from each counter."""

    packs: int = 0
    segments: int = 0
    blocks: int = 0
    nodes: int = 0
    lists: int = 0
    directories: int = 0


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What an ingest did, for people; nothing depends on it."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    directories: int = 0
    bytes_total: int = 0
    "plain bytes of all files"
    bytes_read: int = 0
    bytes_new: int = 0
    "plain bytes of new blocks"
    bytes_stored: int = 0
    "bytes of new packs"


class Ingest(msgspec.Struct, frozen=True, tag="ingest", forbid_unknown_fields=True):
    """A delta of one source; where complete, a snapshot. The attempt is the snapshot's id."""

    host: str
    source: str
    source_head: Commit
    "the commit of this source that the delta was computed against; 0 for none"
    complete: bool
    "false: progress of an ingest that goes on"
    time: int
    "of the snapshot, nanoseconds since 1970"
    new: New
    blocks: tuple[PartRef, ...]
    entries: tuple[PartRef, ...]
    packs: tuple[bytes, ...]
    "added"
    rescued: tuple[bytes, ...] = ()
    "condemned packs that this delta relies on"
    paths: tuple[bytes, ...] = ()
    tags: tuple[str, ...] = ()
    summary: Summary = Summary()


class Tag(msgspec.Struct, frozen=True, tag="tag", forbid_unknown_fields=True):
    """Changes the tags of snapshots."""

    snapshots: tuple[bytes, ...]
    "their attempts"
    add: tuple[str, ...]
    remove: tuple[str, ...]


class Forget(msgspec.Struct, frozen=True, tag="forget", forbid_unknown_fields=True):
    """Snapshots that are wanted no more. They can be recalled until a prune took their blocks."""

    snapshots: tuple[bytes, ...]
    reason: str = ""


class Recall(msgspec.Struct, frozen=True, tag="recall", forbid_unknown_fields=True):
    """Snapshots that were forgotten and are wanted again."""

    snapshots: tuple[bytes, ...]
    rescued: tuple[bytes, ...] = ()


class Condemn(msgspec.Struct, frozen=True, tag="condemn", forbid_unknown_fields=True):
    """Packs that seem not to be needed any more; what was of use in them has moved."""

    condemned: tuple[bytes, ...]
    new: New
    blocks: tuple[PartRef, ...]
    packs: tuple[bytes, ...]


class Delete(msgspec.Struct, frozen=True, tag="delete", forbid_unknown_fields=True):
    """Condemned packs that nobody rescued: from here on no record may rely on them."""

    deleting: tuple[bytes, ...]


class Gone(msgspec.Struct, frozen=True, tag="gone", forbid_unknown_fields=True):
    """Packs whose objects have been deleted."""

    gone: tuple[bytes, ...]


Body: TypeAlias = Init | Upgrade | Ingest | Tag | Forget | Recall | Condemn | Delete | Gone


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record."""

    previous: bytes
    "hash of the stored bytes of the record before"
    attempt: bytes
    "16 random bytes: tells the writer whose record won a number"
    host: str
    "that wrote it"
    time: int
    "when, by that host's clock, nanoseconds since 1970; for people, nothing depends on it"
    program: str
    "that wrote it, with its version"
    body: Body


_decoder = msgspec.msgpack.Decoder(Head)


def encode(
    head: Head, number: Commit, repository: RepositoryId, keys: EpochKeys, random: Random
) -> bytes:
    """The object of a record."""
    context = Context(repository, ObjectKind.RECORD, objects.record(number))
    return seal.seal_object(
        context, Purpose.ORDER, keys, wire.encode(head), level=LEVEL, random=random
    )


def decode(data: bytes, number: Commit, repository: RepositoryId, keys: EpochKeys) -> Head:
    """The record in an object. Raises FormatError, or NewerFormatError for what is not known."""
    name = objects.record(number)
    context = Context(repository, ObjectKind.RECORD, name)
    plain = seal.open_object(data, context, Purpose.ORDER, keys, limit=limits.RECORD)
    head = wire.decode(_decoder, plain, name)
    if len(head.previous) != 32 or len(head.attempt) != 16:
        raise FormatError(f"{name}: has a hash or attempt of a wrong length")
    return head


def part_refs(body: Body) -> tuple[tuple[PartRef, ...], tuple[PartRef, ...]]:
    """The block parts and the entry parts that a body names."""
    if isinstance(body, Ingest):
        return body.blocks, body.entries
    if isinstance(body, Condemn):
        return body.blocks, ()
    return (), ()


def new_ids(body: Body) -> New:
    """How many ids a body takes."""
    return body.new if isinstance(body, Ingest | Condemn) else New()
