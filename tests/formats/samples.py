"""Fixed keys and one value of each format: what the golden files hold, and what tests damage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from blake3 import blake3
from pyfastcdc import FastCDC

from snapfs.formats import bases, codec, marker, objects, packs, parts, records, ring, slots
from snapfs.formats.bases import (
    BaseBlock,
    BaseDirectory,
    BaseEntry,
    BaseList,
    BaseNode,
    BasePack,
    BasePart,
    BaseSegment,
    BaseSuspect,
    BlockBase,
    EntryBase,
)
from snapfs.formats.codec import Codec
from snapfs.formats.packs import Packed, PackRow, SegmentRow
from snapfs.formats.parts import (
    BlockPart,
    DirectoryRow,
    EntryPart,
    ListRow,
    MoveRow,
    NodeRow,
    SuspectRow,
)
from snapfs.formats.parts import PartRef as Ref
from snapfs.formats.ring import EpochKey, Ring
from snapfs.formats.seal import Random
from snapfs.model.identity import Commit, PackName, RepositoryId


def draw(label: str) -> Random:
    """A source of the same bytes for ever, different for each label."""
    position = 0

    def take(count: int) -> bytes:
        nonlocal position
        position += count
        return blake3(label.encode()).digest(length=count, seek=position - count)

    return take


def name(label: str) -> bytes:
    """16 bytes."""
    return draw(label)(16)


def key(label: str) -> bytes:
    """32 bytes."""
    return draw(label)(32)


REPOSITORY = RepositoryId(name("repository"))
MASTER = key("master")
RING = Ring(
    epochs=(
        *(EpochKey(purpose, 1, key(f"epoch {purpose}")) for purpose in (1, 2, 3, 4)),
        EpochKey(4, 7, key("epoch 4 again")),
    ),
    block_id=key("block id"),
    gear_seed=0x1234_5678_9ABC_DEF0,
)
RING_NAME = objects.ring(1)
KEYS = RING.epoch_keys()
CHEAP = slots.Derivation(memory=19 * 1024, time=1, lanes=1)
PASSPHRASE = "Zażółć gęślą jaźń 🔑"
LABEL = "a “label”, with \\ and é"
CODE = slots.generate_code(draw("code"))

# --- a pack: one segment that shrinks, one that does not

PACK = PackName(name("pack"))
TEXT_BLOCKS = (b"to be or not to be, " * 60, b"that is the question; " * 40, b"a")
NOISE_BLOCKS = (draw("noise")(1500), draw("more noise")(900))


def segment(blocks: tuple[bytes, ...]) -> Packed:
    """These blocks as a segment."""
    keys = b"".join(packs.block_key(block, RING.block_id) for block in blocks)
    lengths = tuple(len(block) for block in blocks)
    return packs.pack_segment(b"".join(blocks), keys, lengths, 3)


def build_pack() -> tuple[PackRow, bytes]:
    """The sample pack, as this machine's zstd packs it."""
    segments = [segment(TEXT_BLOCKS), segment(NOISE_BLOCKS)]
    return packs.build(PACK, segments, REPOSITORY, KEYS, draw("pack random"))


# --- parts

_OLD = key("an older block")
BLOCK_PART = BlockPart(
    packs=(
        PackRow(
            PACK,
            5000,
            draw("a header")(153),
            (
                SegmentRow(200, key("block 0") + key("block 1"), (1200, 1)),
                SegmentRow(4000, key("block 2"), (3900,)),
            ),
        ),
        PackRow(name("second pack"), 300, draw("header 2")(153), ()),
    ),
    moves=(MoveRow(name("old pack"), 3, (0, 2), (1, 4)),),
    suspects=(SuspectRow(name("old pack"), 4, (1,)),),
)
ENTRY_PART = EntryPart(
    lists=(
        ListRow(key("list 0"), 300, (0, 100, -101, _OLD, 100)),
        ListRow(key("list 1"), 900, ((0,), 300, (key("an older list"),), 600)),
    ),
    nodes=(
        NodeRow(0o040755, 0, 0, 1_700_000_000, 0, 0, 1, 0, b"", (), ()),
        NodeRow(0o100644, 1000, 1000, -1, 999_999_999, 4096, 2, 0, b"", (0,), ()),
        NodeRow(0o100600, 1000, 100, 5, 6, 900, 1, 0, b"", ((1,),), ((b"user.a", b"\0\xff"),)),
        NodeRow(0o100600, 0, 0, 5, 6, 1 << 40, 1, 0, b"", (-1 - (1 << 40),), ()),
        NodeRow(0o100600, 0, 0, 5, 6, 350, 1, 0, b"", (_OLD, 50, (1,), 200, -101), ()),
        NodeRow(0o120777, 0, 0, 5, 6, 6, 1, 0, b"../etc", (), ()),
        NodeRow(0o020666, 0, 5, 5, 6, 0, 1, 0x0103, b"", (), ()),
    ),
    directories=(
        DirectoryRow(b"", False, (), ((b"/", 0),)),
        DirectoryRow(
            b"/",
            False,
            (b"gone", b"\xff\xfe not text"),
            ((b"a", 1), (b"b", 1), (b"big", 2), (b"hole", 3), (b"mixed", 4), (b"up", 5)),
        ),
        DirectoryRow(b"/dev", True, (), ((b"null", 6), (b"old", b"/somewhere/else"))),
    ),
    users={0: b"root", 1000: b"caf\xe9"},
    groups={0: b"wheel"},
)
BLOCK_BASE = BlockBase(
    begin=2,
    end=9,
    packs=(BasePack(3, PACK, 5000, draw("a header")(153)),),
    segments=(
        BaseSegment(4, 3, 0, 153, 200, 1201, 2, 2),
        BaseSegment(6, 3, 1, 353, 4000, 3900, 8, 1),
    ),
    blocks=(
        BaseBlock(2, key("block 0"), 4, 0, 1200),
        BaseBlock(8, key("block 2"), 6, 0, 3900),
    ),
    suspects=(BaseSuspect(8, 17),),
)
ENTRY_BASE = EntryBase(
    begin=(0, b"", 0),
    end=(7, b"old", 4),
    directories=(BaseDirectory(2, 1, b"/"), BaseDirectory(7, 2, b"dev")),
    lists=(BaseList(5, key("list 0"), 300, (2, 100, -1, 100, -6, 100)),),
    nodes=(
        BaseNode(9, 0o040755, 0, 0, 1_700_000_000, 0, 0, 1, 0, b"", (), ()),
        BaseNode(
            12,
            0o100600,
            1000,
            100,
            -1,
            6,
            900,
            1,
            0,
            b"",
            (-7, 300, 8, 600),
            ((b"user.a", b"\0\xff"),),
        ),
        BaseNode(13, 0o120777, 0, 0, 5, 6, 6, 1, 0, b"../etc", (), ()),
    ),
    entries=(
        BaseEntry(1, b"/", 3, 1 << 62, 9, 2),
        BaseEntry(2, b"a", 3, 5, 12, 0),
        BaseEntry(2, b"a", 5, 1 << 62, 13, 0),
    ),
    users={1000: b"caf\xe9"},
    groups={0: b"wheel"},
)
BLOCK_BASE_NAME = name("block base")
ENTRY_BASE_NAME = name("entry base")
BLOCK_PART_NAME = name("block part")
ENTRY_PART_NAME = name("entry part")


def encode_part(part: BlockPart | EntryPart) -> bytes:
    """The object of a part, always under the same name."""
    part_name = BLOCK_PART_NAME if isinstance(part, BlockPart) else ENTRY_PART_NAME
    return parts.encode_part(part, part_name, REPOSITORY, KEYS, draw("a part"))


def encode_base(part: BasePart) -> bytes:
    """The object of a base part, always under the same name."""
    part_name = BLOCK_BASE_NAME if isinstance(part, BlockBase) else ENTRY_BASE_NAME
    return bases.encode_base(part, part_name, REPOSITORY, KEYS, draw("a base part"))


def ref(part_name: bytes, data: bytes, first: tuple[int, int, int] = (0, 0, 0)) -> Ref:
    """How a record would name this object."""
    return Ref(part_name, len(data), parts.digest(data), first)


# --- records, one of each kind

_REF = Ref(name("part"), 1234, key("part hash"), (5, 6, 7))
_NEW = records.New(packs=1, segments=2, blocks=5, nodes=7, lists=2, directories=3)
BODIES: dict[str, records.Body] = {
    "init": records.Init(
        REPOSITORY, RING_NAME, ("fastcdc-2020-nc1", 1 << 17, 1 << 19, 1 << 21), ("a",), ("b", "c")
    ),
    "upgrade": records.Upgrade(("read-this",), ("write-this",)),
    "ingest": records.Ingest(
        host="höst",
        source="etc",
        source_head=Commit(41),
        complete=True,
        time=1_763_000_000_000_000_000,
        new=_NEW,
        blocks=(_REF,),
        entries=(_REF, Ref(name("next part"), 99, key("its hash"), (8, 9, 10))),
        packs=(PACK,),
        rescued=(name("rescued"),),
        paths=(b"/etc", b"/srv/\xff"),
        tags=("monthly",),
        summary=records.Summary(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    ),
    "tag": records.Tag((name("snapshot"),), ("keep",), ("drop", "this")),
    "forget": records.Forget((name("snapshot"), name("another")), "retention"),
    "recall": records.Recall((name("snapshot"),), (name("rescued"),)),
    "condemn": records.Condemn(
        (name("old pack"),), _NEW, (_REF,), (PACK,), (name("left-over part"),)
    ),
    "delete": records.Delete((name("old pack"),), (name("left-over part"),), (name("rescued"),)),
    "gone": records.Gone((name("old pack"), name("other pack")), (name("left-over part"),)),
    "mend": records.Mend(_NEW, (_REF,), (PACK,), (records.Replacement(17, 1, _REF),)),
    "base": records.Base(
        Commit(70), (3, 41), (_REF,), (records.BaseSource(1, (_REF,)), records.BaseSource(2, ()))
    ),
    "lost": records.Lost(
        Commit(99), _NEW, (_REF,), (PACK,), host="höst", source="etc", complete=True,
        time=1_763_000_000, anew=True,
    ),
    "give-up": records.GiveUp((17, 18), (records.GivenUp("höst", "etc", Commit(41)),)),
    "full_base": records.Base(
        Commit(70), (3, 41), (_REF,), (records.BaseSource(1, ()),), _NEW,
        (records.BaseTree(1, "höst", "etc", 41, 7, complete=True),),
    ),
}  # fmt: skip
NUMBERS = {kind: Commit(1 + at * 0x1_0000_0001) for at, kind in enumerate(BODIES)}


def head(kind: str) -> records.Head:
    """The sample record of a kind."""
    previous = records.NO_HASH if kind == "init" else key("previous")
    lost = key("lost record") if kind == "lost" else None
    return records.Head(previous, name("attempt"), "höst", -5, "snapfs 0.1", BODIES[kind], lost)


def encode_record(kind: str) -> bytes:
    """Its object."""
    return records.encode(head(kind), NUMBERS[kind], REPOSITORY, KEYS, draw(f"record {kind}"))


def encode_ring() -> bytes:
    return ring.encode(RING, REPOSITORY, RING_NAME, MASTER, draw("ring"))


def encode_slot(kind: slots.SlotKind) -> bytes:
    recovery = kind is slots.SlotKind.RECOVERY
    return slots.create(
        MASTER,
        CODE if recovery else PASSPHRASE,
        marker.encode(REPOSITORY),
        kind=kind,
        label=LABEL,
        created=1_763_000_000,
        derivation=CHEAP,
        random=draw(f"slot {kind}"),
    )


# --- all sealed objects, each with the function that reads it whole


def read_pack(data: bytes) -> tuple[PackRow, tuple[bytes, ...]]:
    """A pack's row and the plain bytes of its segments, from the object alone."""
    row, opened = packs.read_whole(data, REPOSITORY, PACK, KEYS)
    offset, plain = len(row.header), []
    for index, segment_row in enumerate(row.segments):
        sealed = data[offset : offset + segment_row.stored]
        plain.append(packs.open_segment(opened, index, sealed))
        packs.check_blocks(plain[-1], segment_row, RING.block_id, "a pack")
        offset += segment_row.stored
    return row, tuple(plain)


def read_blocks(data: bytes) -> BlockPart:
    """A block part, under a reference that fits these very bytes."""
    return parts.decode_blocks(data, ref(BLOCK_PART_NAME, data), REPOSITORY, KEYS)


def read_entries(data: bytes) -> EntryPart:
    """An entry part, likewise."""
    return parts.decode_entries(data, ref(ENTRY_PART_NAME, data), REPOSITORY, KEYS)


def read_block_base(data: bytes) -> BlockBase:
    """A base part of blocks, under a reference that fits these very bytes."""
    return bases.decode_block_base(data, ref(BLOCK_BASE_NAME, data), REPOSITORY, KEYS)


def read_entry_base(data: bytes) -> EntryBase:
    """A base part of entries, likewise."""
    return bases.decode_entry_base(data, ref(ENTRY_BASE_NAME, data), REPOSITORY, KEYS)


def read_record(kind: str) -> Callable[[bytes], records.Head]:
    """What reads the record of a kind."""
    return lambda data: records.decode(data, NUMBERS[kind], REPOSITORY, KEYS)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An object, what it holds, and what reads it."""

    data: bytes
    value: object
    read: Callable[[bytes], object]


def sealed_objects() -> dict[str, Sealed]:
    """One object of each sealed format, by name."""
    row, pack = build_pack()
    plain = (b"".join(TEXT_BLOCKS), b"".join(NOISE_BLOCKS))
    found = {
        "ring": Sealed(
            encode_ring(), RING, lambda data: ring.decode(data, REPOSITORY, RING_NAME, MASTER)
        ),
        "pack": Sealed(pack, (row, plain), read_pack),
        "blocks": Sealed(encode_part(BLOCK_PART), BLOCK_PART, read_blocks),
        "entries": Sealed(encode_part(ENTRY_PART), ENTRY_PART, read_entries),
        "base_blocks": Sealed(encode_base(BLOCK_BASE), BLOCK_BASE, read_block_base),
        "base_entries": Sealed(encode_base(ENTRY_BASE), ENTRY_BASE, read_entry_base),
    }
    for kind in BODIES:
        found[f"record_{kind}"] = Sealed(encode_record(kind), head(kind), read_record(kind))
    return found


def derived() -> dict[str, object]:
    """Values that are computed and not encoded: keys of blocks and lists, names, cut points."""
    noise = draw("to be cut")(6 << 20)
    cdc = FastCDC(
        1 << 19, min_size=1 << 17, max_size=1 << 21, normalized_chunking=1, seed=RING.gear_seed
    )
    extents = [(key("a"), 1000), (b"", 5), (key("b"), 2**40)]
    return {
        "block_key": packs.block_key(b"a block", RING.block_id).hex(),
        "canonical_items": parts.canonical_items(extents).hex(),
        "list_key": parts.list_key(parts.canonical_items(extents), RING.block_id).hex(),
        "recovery_code": CODE,
        "cut_points": [chunk.offset + chunk.length for chunk in cdc.cut_buf(noise)],
        "names": [
            objects.slot("0a"),
            objects.ring(255),
            objects.record(Commit(0xABC)),
            objects.part(name("part")),
            objects.pack(PACK),
        ],
    }


@contextmanager
def uncompressed() -> Iterator[None]:
    """Leave everything unpacked meanwhile, so that no byte depends on the zstd that is there."""
    with patch.object(codec, "compress", lambda plain, level: (Codec.NONE, plain)):
        yield
