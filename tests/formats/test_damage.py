"""Whatever happens to a sealed object on its way: it is refused, or it holds what it held."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import codec, packs, parts, records, ring, seal, wire
from snapfs.formats.seal import Context, ObjectKind, Purpose
from snapfs.model.identity import PackName, RepositoryId
from tests.formats import samples
from tests.formats.samples import KEYS, PACK, REPOSITORY, Sealed

OBJECTS = samples.sealed_objects()
VERSION_AT = 6
OTHER = RepositoryId(samples.name("another repository"))


def small_pack(name: bytes = PACK, repository: RepositoryId = REPOSITORY) -> bytes:
    """A pack of two tiny segments, so that every bit of it can be turned."""
    segments = [samples.segment((b"one block",)), samples.segment((b"two", b"three"))]
    return packs.build(PackName(name), segments, repository, KEYS, samples.draw("small"))[1]


OBJECTS["pack"] = Sealed(small_pack(), samples.read_pack(small_pack()), samples.read_pack)
each_object = pytest.mark.parametrize("name", list(OBJECTS))


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(len(data)):
        for bit in range(8):
            turned = bytes([data[at] ^ 1 << bit])
            yield at, data[:at] + turned + data[at + 1 :]


@each_object
def test_a_turned_bit_is_found(name: str) -> None:
    sealed = OBJECTS[name]
    for at, damaged in flips(sealed.data):
        newer = at == VERSION_AT and damaged[at] > seal.VERSION
        with pytest.raises(NewerFormatError if newer else FormatError):
            sealed.read(damaged)


@each_object
def test_an_object_cut_short_is_found(name: str) -> None:
    sealed = OBJECTS[name]
    for length in range(len(sealed.data)):
        with pytest.raises(FormatError):
            sealed.read(sealed.data[:length])


@each_object
@pytest.mark.parametrize("garbage", [b"\0", b"garbage" * 5])
def test_what_stands_behind_an_object_is_found(name: str, garbage: bytes) -> None:
    with pytest.raises(FormatError):
        OBJECTS[name].read(OBJECTS[name].data + garbage)


@each_object
@given(data=st.data())
def test_a_spliced_object_is_refused(name: str, data: st.DataObject) -> None:
    sealed = OBJECTS[name]
    begin = data.draw(st.integers(0, len(sealed.data)))
    end = data.draw(st.integers(begin, len(sealed.data)))
    other = OBJECTS[data.draw(st.sampled_from(list(OBJECTS)))].data
    filling = data.draw(st.binary(max_size=80) | st.just(other[begin:end]))
    damaged = sealed.data[:begin] + filling + sealed.data[end:]
    if damaged == sealed.data:
        assert sealed.read(damaged) == sealed.value
    else:
        with pytest.raises((FormatError, NewerFormatError)):
            sealed.read(damaged)


# --- objects that stand where they do not belong


@pytest.mark.parametrize(
    "read",
    [
        lambda data: records.decode(data, samples.NUMBERS["tag"], OTHER, KEYS),
        lambda data: records.decode(data, samples.NUMBERS["gone"], REPOSITORY, KEYS),
    ],
)
def test_a_record_opens_only_in_its_place(read: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError):
        read(OBJECTS["record_tag"].data)


def test_a_ring_opens_only_in_its_place() -> None:
    data = samples.encode_ring()
    for repository, name, master in [
        (OTHER, samples.RING_NAME, samples.MASTER),
        (REPOSITORY, "keys/ring/00000002", samples.MASTER),
        (REPOSITORY, samples.RING_NAME, samples.key("another master")),
    ]:
        with pytest.raises(FormatError):
            ring.decode(data, repository, name, master)


def test_a_pack_opens_only_in_its_place() -> None:
    for name, repository in [(PACK, OTHER), (samples.name("another pack"), REPOSITORY)]:
        with pytest.raises(FormatError):
            packs.read_whole(small_pack(), repository, name, KEYS)


def test_a_part_opens_only_under_its_name_and_hash() -> None:
    data = OBJECTS["blocks"].data
    right = samples.ref(samples.BLOCK_PART_NAME, data)
    wrong = [
        samples.ref(samples.name("another part"), data),
        parts.PartRef(right.name, right.size, samples.key("hash"), right.first),
        parts.PartRef(right.name, right.size + 1, right.hash, right.first),
    ]
    assert parts.decode_blocks(data, right, REPOSITORY, KEYS) == samples.BLOCK_PART
    for ref in wrong:
        with pytest.raises(FormatError):
            parts.decode_blocks(data, ref, REPOSITORY, KEYS)


def test_one_kind_of_part_is_not_read_as_the_other() -> None:
    with pytest.raises(FormatError):
        samples.read_blocks(OBJECTS["entries"].data)
    with pytest.raises(FormatError):
        samples.read_entries(OBJECTS["blocks"].data)
    with pytest.raises(FormatError):
        samples.read_block_base(OBJECTS["base_entries"].data)
    with pytest.raises(FormatError):
        samples.read_entry_base(OBJECTS["base_blocks"].data)


@pytest.mark.parametrize("kind", [kind for kind in ObjectKind if kind is not ObjectKind.PART])
def test_an_object_of_one_kind_is_not_read_as_another(kind: ObjectKind) -> None:
    context = Context(REPOSITORY, ObjectKind.PART, "meta/00/00")
    random = samples.draw("kind")
    data = seal.seal_object(context, Purpose.NAMES, KEYS, b"plain", level=3, random=random)
    elsewhere = Context(REPOSITORY, kind, context.name)
    relabelled = data[: VERSION_AT + 1] + bytes([kind]) + data[VERSION_AT + 2 :]
    for attempt in (data, relabelled):
        with pytest.raises(FormatError):
            seal.open_object(attempt, elsewhere, Purpose.NAMES, KEYS, limit=100)


def test_a_section_opens_only_as_what_it_is() -> None:
    context = Context(REPOSITORY, ObjectKind.PACK, "packs/00/00")
    _, keys = seal.new_object(
        context, (Purpose.CONTENT, Purpose.INDEX), KEYS, samples.draw("section")
    )
    # The very same key for another purpose must not help either.
    one_key = keys.keys[Purpose.CONTENT]
    same = seal.ObjectKeys(context, {Purpose.CONTENT: one_key, Purpose.INDEX: one_key})
    sealed = seal.seal_section(keys, Purpose.CONTENT, 3, (0, b"plain", 5), last=False)  # type: ignore[arg-type]

    def opens(as_keys: seal.ObjectKeys, purpose: Purpose, index: int, last: bool) -> bytes:
        return seal.open_section(as_keys, purpose, index, sealed, last=last, limit=5)

    assert opens(keys, Purpose.CONTENT, 3, False) == b"plain"
    for as_keys, purpose, index, last in [
        (keys, Purpose.CONTENT, 2, False),
        (keys, Purpose.CONTENT, 3, True),
        (keys, Purpose.INDEX, 3, False),
        (same, Purpose.INDEX, 3, False),
        (keys, Purpose.NAMES, 3, False),
    ]:
        with pytest.raises(FormatError):
            opens(as_keys, purpose, index, last)


def test_segments_of_a_pack_cannot_change_places() -> None:
    data = small_pack()
    row, opened = packs.read_whole(data, REPOSITORY, PACK, KEYS)
    begin = len(row.header)
    first = data[begin : begin + row.segments[0].stored]
    second = data[begin + len(first) :][: row.segments[1].stored]
    for index, sealed in [(0, second), (1, first)]:
        with pytest.raises(FormatError):
            packs.open_segment(opened, index, sealed)


def test_segments_and_footers_cannot_move_between_packs() -> None:
    data, other = small_pack(), small_pack(samples.name("another pack"))
    length = len(packs.read_whole(data, REPOSITORY, PACK, KEYS)[0].header)
    assert len(data) == len(other)
    for mixed in (data[:length] + other[length:], other[:length] + data[length:]):
        with pytest.raises(FormatError):
            samples.read_pack(mixed)


def test_a_pack_that_lists_other_blocks_than_it_holds_is_refused() -> None:
    truth = samples.segment((b"one block",))
    lie = packs.Packed(samples.segment((b"another",)).keys, (9,), truth.codec, truth.data)
    row, data = packs.build(PACK, [lie], REPOSITORY, KEYS, samples.draw("lie"))
    with pytest.raises(FormatError, match="does not match its id"):
        packs.verify(data, row, REPOSITORY, KEYS, samples.RING.block_id)


@pytest.mark.parametrize("lengths", [(4,), (10,), (4, 5, 1), ()])
def test_a_segment_whose_lengths_do_not_fit_is_refused(lengths: tuple[int, ...]) -> None:
    truth = samples.segment((b"one block",))
    lie = packs.Packed(truth.keys * len(lengths), lengths, truth.codec, truth.data)
    row, data = packs.build(PACK, [lie], REPOSITORY, KEYS, samples.draw("lie"))
    with pytest.raises(FormatError):
        packs.verify(data, row, REPOSITORY, KEYS, samples.RING.block_id)


def test_a_segment_with_more_bytes_than_its_blocks_is_refused() -> None:
    block = samples.segment((b"one",))
    row = packs.SegmentRow(50, block.keys, block.lengths)
    packs.check_blocks(b"one", row, samples.RING.block_id, "x")
    with pytest.raises(FormatError, match="more bytes"):
        packs.check_blocks(b"one block", row, samples.RING.block_id, "x")


def test_a_pack_is_verified_against_the_row_that_is_to_be_published() -> None:
    row, data = packs.build(
        PACK, [samples.segment((b"one block",))], REPOSITORY, KEYS, samples.draw("row")
    )
    packs.verify(data, row, REPOSITORY, KEYS, samples.RING.block_id)
    for wrong in (
        structs.replace(row, size=row.size + 1),
        structs.replace(row, header=row.header[:-1] + b"x"),
        structs.replace(row, segments=()),
    ):
        with pytest.raises(FormatError, match="as it was written"):
            packs.verify(data, wrong, REPOSITORY, KEYS, samples.RING.block_id)


def pack_with_footer(rows: tuple[packs.SegmentRow, ...], count: int) -> bytes:
    """A pack of no segments, whose footer and trailer say something else."""
    header, keys = seal.new_object(
        packs.context(REPOSITORY, PACK), (Purpose.CONTENT, Purpose.INDEX), KEYS, samples.draw("f")
    )
    plain = wire.encode([rows])
    packed = (codec.Codec.NONE, plain, len(plain))
    footer = seal.seal_section(keys, Purpose.INDEX, count, packed, last=True)
    return header + footer + len(footer).to_bytes(4, "big") + count.to_bytes(4, "big")


@pytest.mark.parametrize(("listed", "count"), [(0, 1), (1, 1), (1, 0)])
def test_a_footer_that_lists_other_segments_than_there_are_is_refused(
    listed: int, count: int
) -> None:
    rows = (packs.SegmentRow(50, samples.key("k"), (9,)),) * listed
    assert samples.read_pack(pack_with_footer((), 0))[1] == ()
    with pytest.raises(FormatError, match="does not fit"):
        samples.read_pack(pack_with_footer(rows, count))


@pytest.mark.parametrize("trailer", [b"", b"1234567", b"123456789", b"\xff" * 8])
def test_a_footer_with_a_bad_trailer_is_refused(trailer: bytes) -> None:
    _, opened = packs.read_whole(small_pack(), REPOSITORY, PACK, KEYS)
    with pytest.raises(FormatError):
        packs.footer_span(trailer, 1 << 40)
    with pytest.raises(FormatError):
        packs.open_footer(opened, b"footer", trailer, 100, 50)
