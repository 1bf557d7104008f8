"""Whatever is written is read back, for every value that a format can hold."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import FormatError
from snapfs.formats import bases, codec, limits, marker, objects, packs, parts, records, ring, seal
from snapfs.formats.codec import Codec
from snapfs.model.identity import Commit, PackName, RepositoryId
from tests.formats import samples, values
from tests.formats.samples import KEYS, REPOSITORY

quick = settings(max_examples=60)
random = samples.draw("round trips")


@given(values.names)
def test_markers(repository: bytes) -> None:
    assert marker.decode(marker.encode(RepositoryId(repository))) == repository


@quick
@given(values.rings(), values.names)
def test_rings(value: ring.Ring, repository: bytes) -> None:
    data = ring.encode(value, RepositoryId(repository), "keys/ring/1", samples.MASTER, random)
    assert ring.decode(data, RepositoryId(repository), "keys/ring/1", samples.MASTER) == value
    assert len(value.epoch_keys()) == len(value.epochs)


def test_generated_rings_are_sound() -> None:
    value = ring.generate(samples.draw("generated"))
    data = ring.encode(value, REPOSITORY, "keys/ring/1", samples.MASTER, random)
    assert ring.decode(data, REPOSITORY, "keys/ring/1", samples.MASTER) == value
    assert ring.generate(bytes).gear_seed == 1
    assert ring.generate(lambda count: b"\xff" * count).gear_seed == 2**63 - 1


@settings(quick, max_examples=150)
@given(values.heads, st.integers(1, 2**63 - 1).map(Commit))
def test_records(value: records.Head, number: Commit) -> None:
    data = records.encode(value, number, REPOSITORY, KEYS, random)
    assert records.decode(data, number, REPOSITORY, KEYS) == value
    assert objects.record_number(objects.record(number)) == number


@quick
@given(values.block_parts)
def test_block_parts(value: parts.BlockPart) -> None:
    assert samples.read_blocks(samples.encode_part(value)) == value


@quick
@given(
    st.integers(0, 3).flatmap(lambda first: st.tuples(st.just(first), values.entry_parts(first)))
)
def test_entry_parts(value: tuple[int, parts.EntryPart]) -> None:
    first, part = value
    data = samples.encode_part(part)
    ref = samples.ref(samples.ENTRY_PART_NAME, data, (9, first, 9))
    assert parts.decode_entries(data, ref, REPOSITORY, KEYS) == part


@quick
@given(values.block_bases())
def test_base_parts_of_blocks(value: bases.BlockBase) -> None:
    assert samples.read_block_base(samples.encode_base(value)) == value


@quick
@given(values.entry_bases())
def test_base_parts_of_entries(value: bases.EntryBase) -> None:
    assert samples.read_entry_base(samples.encode_base(value)) == value


@quick
@given(
    values.names.map(PackName),
    st.lists(
        st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5).map(tuple), max_size=4
    ),
)
def test_packs(name: PackName, contents: list[tuple[bytes, ...]]) -> None:
    segments = [samples.segment(blocks) for blocks in contents]
    row, data = packs.build(name, segments, REPOSITORY, KEYS, random)
    packs.verify(data, row, REPOSITORY, KEYS, samples.RING.block_id)
    packs.check_pack(row)
    assert [segment.stored for segment in row.segments] == [each.stored for each in segments]
    opened = packs.open_keys(row.header, REPOSITORY, name, KEYS)
    offset, trailer = len(row.header), data[-packs.TRAILER_LENGTH :]
    for index, (segment, blocks) in enumerate(zip(row.segments, contents, strict=True)):
        sealed = data[offset : offset + segment.stored]
        assert packs.open_segment(opened, index, sealed) == b"".join(blocks)
        assert segment.block_keys() == [
            packs.block_key(block, samples.RING.block_id) for block in blocks
        ]
        offset += segment.stored
    begin, length = packs.footer_span(trailer, len(data))
    footer = data[begin : begin + length]
    assert packs.open_footer(opened, footer, trailer, begin, len(row.header)) == row.segments
    assert objects.pack_name(objects.pack(name)) == name


@given(st.binary(max_size=3000) | st.binary(max_size=9).map(lambda some: some * 400))
def test_compression(plain: bytes) -> None:
    method, packed = codec.compress(plain, 3)
    assert codec.decompress(method, packed, len(plain)) == plain
    assert codec.decompress(method, memoryview(packed), len(plain)) == plain
    assert len(packed) <= len(plain)
    for wrong in (len(plain) + 1, max(len(plain) - 1, 0)):
        if wrong != len(plain):
            with pytest.raises(FormatError):
                codec.decompress(method, packed, wrong)


def test_what_hardly_shrinks_stays_as_it_is() -> None:
    assert codec.compress(samples.draw("noise")(5000), 3)[0] is Codec.NONE
    assert codec.compress(bytes(5000), 3)[0] is Codec.ZSTD


@given(st.binary(max_size=2000))
def test_sealed_objects_stay_within_the_bound_of_their_plain_bytes(plain: bytes) -> None:
    context = seal.Context(REPOSITORY, seal.ObjectKind.BASE, "base/0")
    sealed = seal.seal_object(
        context, seal.Purpose.NAMES, KEYS, plain, level=1, random=samples.draw("bound")
    )
    assert len(sealed) <= limits.stored_bound(len(plain))
    opened = seal.open_object(sealed, context, seal.Purpose.NAMES, KEYS, limit=len(plain))
    assert opened == plain


@pytest.mark.parametrize(
    "name",
    [
        "packs/00/01000000000000000000000000000000",
        "packs/00/000000000000000000000000000000",
        "packs/00/0000000000000000000000000000000000",
        "packs/AA/AA000000000000000000000000000000",
        "packs/00/00000000000000000000000000000000\n",
        "xpacks/00/00000000000000000000000000000000",
    ],
)
def test_other_names_are_no_packs(name: str) -> None:
    assert objects.pack_name(name) is None


@pytest.mark.parametrize("name", ["log/1", "log/0000000000000001x", "log/000000000000000A", ""])
def test_other_names_are_no_records(name: str) -> None:
    assert objects.record_number(name) is None


def test_lists_of_other_extents_have_other_keys() -> None:
    a, b = samples.key("a"), samples.key("b")
    contents = [
        [(a, 1), (b, 2)],
        [(b, 2), (a, 1)],
        [(a, 1), (b"", 5), (b, 2)],
        [(a, 1), (b, 3)],
        [(b"", 5)],
        [],
    ]
    keys = [
        parts.list_key(parts.canonical_items(extents), samples.RING.block_id)
        for extents in contents
    ]
    assert len(set(keys)) == len(contents)
    # A file with the very bytes of a list is still no list.
    for extents, key in zip(contents, keys, strict=True):
        canonical = parts.canonical_items(extents)
        for content in (canonical, b"list" + canonical):
            assert packs.block_key(content, samples.RING.block_id) != key


def test_every_kind_of_body_is_among_the_samples() -> None:
    kinds = {body.__struct_config__.tag for body in samples.BODIES.values()}
    every = {cls.__struct_config__.tag for cls in records.Body.__args__}  # type: ignore[attr-defined]
    assert kinds == every
    assert all(isinstance(body, msgspec.Struct) for body in samples.BODIES.values())
