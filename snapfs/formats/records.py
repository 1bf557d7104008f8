"""Records of the commit log: a small head each, whose rows are in parts.

Every head has the same envelope; its body is one of the kinds below. A kind or field that this
program does not know means that a newer one wrote it, which the log's level has said before.
"""

import re
from typing import Annotated, TypeAlias

import msgspec

from snapfs.errors import FormatError
from snapfs.formats import limits, objects, parts, seal, wire
from snapfs.formats.parts import LEVEL, PartRef
from snapfs.formats.seal import Context, EpochKeys, ObjectKind, Purpose, Random
from snapfs.model.identity import Commit, RepositoryId

FIRST = Commit(1)
NO_HASH = bytes(32)
"`previous` of the first record"


class Init(msgspec.Struct, frozen=True, tag="init", forbid_unknown_fields=True):
    """Record 1."""

    repository: wire.Name
    ring: Annotated[str, msgspec.Meta(pattern=r"\Akeys/ring/[0-9a-f]{8}\Z")]
    "object of the ring that init wrote"
    chunker: tuple[str, wire.Count, wire.Count, wire.Count]
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

    packs: wire.Count = 0
    segments: wire.Count = 0
    blocks: wire.Count = 0
    nodes: wire.Count = 0
    lists: wire.Count = 0
    directories: wire.Count = 0


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What an ingest did, for people; nothing depends on it."""

    new: wire.Count = 0
    changed: wire.Count = 0
    unchanged: wire.Count = 0
    removed: wire.Count = 0
    failed: wire.Count = 0
    directories: wire.Count = 0
    bytes_total: wire.Count = 0
    "plain bytes of all files"
    bytes_read: wire.Count = 0
    bytes_new: wire.Count = 0
    "plain bytes of new blocks"
    bytes_stored: wire.Count = 0
    "bytes of new packs"


class Ingest(msgspec.Struct, frozen=True, tag="ingest", forbid_unknown_fields=True):
    """A delta of one source; where complete, a snapshot. The attempt is the snapshot's id."""

    host: str
    source: str
    source_head: Annotated[Commit, msgspec.Meta(ge=0, le=2**63 - 1)]
    "the commit of this source that the delta was computed against; 0 for none"
    complete: bool
    "false: progress of an ingest that goes on"
    time: wire.Signed
    "of the snapshot, nanoseconds since 1970"
    new: New
    blocks: tuple[PartRef, ...]
    entries: tuple[PartRef, ...]
    packs: tuple[wire.Name, ...]
    "added"
    rescued: tuple[wire.Name, ...] = ()
    "condemned packs that this delta relies on, and own packs and parts that were condemned"
    paths: tuple[bytes, ...] = ()
    tags: tuple[str, ...] = ()
    summary: Summary = Summary()


class Tag(msgspec.Struct, frozen=True, tag="tag", forbid_unknown_fields=True):
    """Changes the tags of snapshots."""

    snapshots: tuple[wire.Name, ...]
    "their attempts"
    add: tuple[str, ...]
    remove: tuple[str, ...]


class Forget(msgspec.Struct, frozen=True, tag="forget", forbid_unknown_fields=True):
    """Snapshots that are wanted no more. They can be recalled until a prune took their blocks."""

    snapshots: tuple[wire.Name, ...]
    reason: str = ""


class Recall(msgspec.Struct, frozen=True, tag="recall", forbid_unknown_fields=True):
    """Snapshots that were forgotten and are wanted again."""

    snapshots: tuple[wire.Name, ...]
    rescued: tuple[wire.Name, ...] = ()


class Condemn(msgspec.Struct, frozen=True, tag="condemn", forbid_unknown_fields=True):
    """Packs that seem not to be needed any more; what was of use in them has moved.

    Objects that no record names may be among them: whoever uploaded them can still rescue them.
    """

    condemned: tuple[wire.Name, ...]
    "packs"
    new: New
    blocks: tuple[PartRef, ...]
    packs: tuple[wire.Name, ...]
    "added"
    parts: tuple[wire.Name, ...] = ()
    "condemned parts, which no record names"


class Delete(msgspec.Struct, frozen=True, tag="delete", forbid_unknown_fields=True):
    """Condemned packs that nobody rescued: from here on no record may rely on them."""

    deleting: tuple[wire.Name, ...]
    "packs"
    parts: tuple[wire.Name, ...] = ()
    rescued: tuple[wire.Name, ...] = ()
    "condemned packs that turned out to be needed"


class Gone(msgspec.Struct, frozen=True, tag="gone", forbid_unknown_fields=True):
    """Packs and parts whose objects have been deleted."""

    gone: tuple[wire.Name, ...]
    "packs"
    parts: tuple[wire.Name, ...] = ()


class Replacement(msgspec.Struct, frozen=True, array_like=True):
    """A block part of an older record that is lost, and an object that says the very same."""

    record: wire.Count
    index: wire.Small
    "of the part among the record's block parts"
    part: PartRef


class Mend(msgspec.Struct, frozen=True, tag="mend", forbid_unknown_fields=True):
    """What a repair found: damaged blocks, and sound copies of some, which take their place."""

    new: New
    blocks: tuple[PartRef, ...]
    packs: tuple[wire.Name, ...]
    "added"
    parts: tuple[Replacement, ...] = ()


class BaseSource(msgspec.Struct, frozen=True, array_like=True):
    """The entries of one source, restated."""

    source: wire.Count
    "its number"
    parts: tuple[PartRef, ...]
    "base parts of entries"


class BaseTree(msgspec.Struct, frozen=True, array_like=True):
    """A source as it stood at the record that a base restates."""

    source: wire.Count
    "its number"
    host: str
    name: str
    head: wire.Count
    anchor: wire.Count
    complete: bool
    "its head is a snapshot, and not progress"


class Base(msgspec.Struct, frozen=True, tag="base", forbid_unknown_fields=True, omit_defaults=True):
    """Restates all streams as they were at an earlier record, without what nobody wants any more.

    Whoever has not come as far as that record begins with it; the parts before are not needed.
    Whoever has come further leaves out what it leaves out, once it has reached this record.
    """

    until: Annotated[Commit, msgspec.Meta(ge=1, le=2**63 - 1)]
    "the record"
    wanted: tuple[wire.Count, ...]
    """commits, in order, whose trees are restated: every snapshot that can still be asked for, and
    what each source's next delta builds on. A complete one that is missing is gone for good."""
    blocks: tuple[PartRef, ...]
    "base parts of blocks"
    sources: tuple[BaseSource, ...]
    "every source that had a commit by then"
    given: New = New()
    """The next number of each kind then; with `trees` all that numbers depend on. So a repair can
    tell how many a record took that is lost."""
    trees: tuple[BaseTree, ...] = ()
    "all sources"


class Lost(msgspec.Struct, frozen=True, tag="lost", forbid_unknown_fields=True):
    """Stands in for a record that nobody has any more: what it said is not known.

    Up to the `GiveUp` that announced it, ingests that build on what it may have been are passed
    over. But if a base restates what it said, it is known whose commit it was, and what builds on
    that holds.
    """

    announced: Annotated[Commit, msgspec.Meta(ge=1, le=2**63 - 1)]
    "the record that gives up the lost one; who comes there with another stand-in begins anew"

    new: New
    "at least as many as it took, if a base restates them"
    blocks: tuple[PartRef, ...] = ()
    packs: tuple[wire.Name, ...] = ()
    "packs that no record names: those of the lost one are among them, if it had any"
    host: str = ""
    source: str = ""
    "of an ingest that a base restates, or of a source that began anew; else empty"
    complete: bool = False
    "the base restates it as a snapshot"
    time: wire.Signed = 0
    "of that, about"
    anew: bool = False
    "it was no ingest: the source began anew with it"


class GivenUp(msgspec.Struct, frozen=True, array_like=True):
    """The commits of one source that cannot be read any more."""

    host: str
    source: str
    begin: Annotated[Commit, msgspec.Meta(ge=1, le=2**63 - 1)]
    "from this record on they are no snapshots; the source begins anew"


class GiveUp(msgspec.Struct, frozen=True, tag="give-up", forbid_unknown_fields=True):
    """Says that what is lost will not come back, so that everybody goes on without it.

    A view that has what was given up is not of this log any more, and is built again.
    """

    lost: tuple[wire.Count, ...] = ()
    "records that others will stand in for, announced by this one or by a later one"
    trees: tuple[GivenUp, ...] = ()


Body: TypeAlias = (
    Init
    | Upgrade
    | Ingest
    | Tag
    | Forget
    | Recall
    | Condemn
    | Delete
    | Gone
    | Mend
    | Base
    | Lost
    | GiveUp
)

AddsPacks: TypeAlias = Ingest | Condemn | Mend | Lost
"bodies that take numbers, and name packs of their own"


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A record."""

    previous: wire.Hash
    "hash of the stored bytes of the record before"
    attempt: wire.Name
    "16 random bytes: tells the writer whose record won a number"
    host: str
    "that wrote it"
    time: wire.Signed
    "when, by that host's clock, nanoseconds since 1970; for people, nothing depends on it"
    program: str
    "that wrote it, with its version"
    body: Body
    instead_of: wire.Hash | None = None
    "hash of the lost record that this one stands in for: the next record has it as its previous"


_BAD_NAME = re.compile(r"\A[.@]|[/\0]")
_decoder = msgspec.msgpack.Decoder(Head)


def encode(
    head: Head, number: Commit, repository: RepositoryId, keys: EpochKeys, random: Random
) -> bytes:
    """The object of a record.

    Raises FormatError for one that no program could read: it would end the log for every host, so
    it is found out before it is there.
    """
    context = Context(repository, ObjectKind.RECORD, objects.record(number))
    data = seal.seal_object(
        context, Purpose.ORDER, keys, wire.encode(head), level=LEVEL, random=random
    )
    try:
        decode(data, number, repository, keys)
    except FormatError as error:
        raise FormatError(
            f"log record {number} is not published, as nobody could read it: {error}",
            hint="the repository is as it was; please report this",
        ) from error
    return data


def decode(data: bytes, number: Commit, repository: RepositoryId, keys: EpochKeys) -> Head:
    """The record in an object. Raises FormatError, or NewerFormatError for what is not known."""
    name = objects.record(number)
    context = Context(repository, ObjectKind.RECORD, name)
    plain = seal.open_object(data, context, Purpose.ORDER, keys, limit=limits.RECORD)
    head = wire.decode(_decoder, plain, name)
    for named in _directories(head.body):
        # A directory of the mount: nothing that would lead out of it.
        if _BAD_NAME.search(named) or not 1 <= len(named.encode()) <= 255:
            raise FormatError(f"{name}: has a host or source of an impossible name")
    return head


def _directories(body: Body) -> tuple[str, ...]:
    match body:
        case Ingest(host=host, source=source):
            return (host, source)
        case Lost(host=host, source=source) if host or source:
            return (host, source)
        case GiveUp(trees=trees):
            return tuple(name for tree in trees for name in (tree.host, tree.source))
        case Base(trees=trees):
            return tuple(name for tree in trees for name in (tree.host, tree.name))
    return ()


def chain_hash(head: Head, stored: bytes) -> bytes:
    """What the next record has as its previous, of a record and the object that it is in."""
    return parts.digest(stored) if head.instead_of is None else head.instead_of


def part_refs(body: Body) -> tuple[tuple[PartRef, ...], tuple[PartRef, ...]]:
    """The block parts and the entry parts of what a body adds; a base adds nothing."""
    if isinstance(body, Ingest):
        return body.blocks, body.entries
    if isinstance(body, Condemn | Mend | Lost):
        return body.blocks, ()
    return (), ()


def named_parts(body: Body) -> tuple[PartRef, ...]:
    """All parts that a body names: its own, and those that take an older part's place."""
    if isinstance(body, Base):
        return (*body.blocks, *(ref for source in body.sources for ref in source.parts))
    blocks, entries = part_refs(body)
    replacing = body.parts if isinstance(body, Mend) else ()
    return (*blocks, *entries, *(each.part for each in replacing))


def new_ids(body: Body) -> New:
    """How many ids a body takes."""
    return body.new if isinstance(body, AddsPacks) else New()
