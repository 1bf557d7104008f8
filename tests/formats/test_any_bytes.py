"""Decoders on anything at all: a value or FormatError, never another exception."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import codec, marker, packs, parts, records, ring, seal, slots, wire
from snapfs.formats.seal import Context, ObjectKind, Purpose
from snapfs.model.identity import RepositoryId
from tests.formats import samples
from tests.formats.samples import KEYS, PACK, REPOSITORY

REFUSED = (FormatError, NewerFormatError)
MARKER_BYTES = marker.encode(REPOSITORY)
CONTEXT = Context(REPOSITORY, ObjectKind.PART, "meta/00/00")
SLOT = samples.encode_slot(slots.SlotKind.PASSPHRASE)


def verify(data: bytes) -> None:
    row, _ = samples.build_pack()
    packs.verify(data, row, REPOSITORY, KEYS, samples.RING.block_id)


def open_section(data: bytes) -> None:
    keys = seal.new_object(CONTEXT, (Purpose.NAMES,), KEYS, samples.draw("any"))[1]
    seal.open_section(keys, Purpose.NAMES, 0, data, last=True, limit=1 << 20)


def open_footer(data: bytes) -> None:
    keys = packs.open_keys(samples.build_pack()[0].header, REPOSITORY, PACK, KEYS)
    packs.open_footer(keys, data, data[-8:], 500, 100)


DECODERS: dict[str, Callable[[bytes], object]] = {
    "marker": marker.decode,
    "slot": slots.decode,
    "header": lambda data: seal.read_header(data, CONTEXT, KEYS),
    "section": open_section,
    "object": lambda data: seal.open_object(data, CONTEXT, Purpose.NAMES, KEYS, limit=1 << 20),
    "footer span": lambda data: packs.footer_span(data[-8:], len(data)),
    "footer": open_footer,
    "verify": verify,
    "zstd": lambda data: codec.decompress(1, data, len(data)),
    "codec": lambda data: codec.decompress(data[0] if data else 0, data[1:], 5),
    **{name: sealed.read for name, sealed in samples.sealed_objects().items()},
}
each_decoder = pytest.mark.parametrize("name", list(DECODERS))


def refuses_or_reads(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except REFUSED as error:
        assert str(error)


@each_decoder
@given(data=st.binary(max_size=300) | st.binary(max_size=300).map(lambda b: b"SNAPFS\1" + b))
def test_any_bytes(name: str, data: bytes) -> None:
    refuses_or_reads(DECODERS[name], data)


# --- what a key holder may have sealed: any msgpack, and valid values with something exchanged

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.sampled_from([bytes(16), bytes(32), "ingest", "keys/ring/00000001"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(scalars, inner, max_size=5),
    max_leaves=12,
)


def random(count: int) -> bytes:
    return bytes(count)


def sealed_ring(plain: bytes) -> bytes:
    context = Context(REPOSITORY, ObjectKind.RING, samples.RING_NAME)
    keys = {(Purpose.MASTER, 1): samples.MASTER}
    return seal.seal_object(context, Purpose.MASTER, keys, plain, level=1, random=random)


def sealed_record(plain: bytes) -> bytes:
    name = samples.objects.record(samples.NUMBERS["tag"])
    context = Context(REPOSITORY, ObjectKind.RECORD, name)
    return seal.seal_object(context, Purpose.ORDER, KEYS, plain, level=1, random=random)


def sealed_part(name: bytes, purpose: Purpose) -> Callable[[bytes], bytes]:
    context = Context(REPOSITORY, ObjectKind.PART, samples.objects.part(name))
    return lambda plain: seal.seal_object(context, purpose, KEYS, plain, level=1, random=random)


def sealed_pack(plain: bytes) -> bytes:
    header, opened = seal.new_object(
        packs.context(REPOSITORY, PACK), (Purpose.CONTENT, Purpose.INDEX), KEYS, random
    )
    footer = seal.seal_section(
        opened, Purpose.INDEX, 0, (codec.Codec.NONE, plain, len(plain)), last=True
    )
    return header + footer + len(footer).to_bytes(4, "big") + bytes(4)


SEALED: dict[str, tuple[object, Callable[[bytes], bytes], Callable[[bytes], object]]] = {
    "ring": (samples.RING, sealed_ring, DECODERS["ring"]),
    "record": (samples.head("ingest"), sealed_record, DECODERS["record_tag"]),
    "blocks": (
        samples.BLOCK_PART,
        sealed_part(samples.BLOCK_PART_NAME, Purpose.INDEX),
        samples.read_blocks,
    ),
    "entries": (
        samples.ENTRY_PART,
        sealed_part(samples.ENTRY_PART_NAME, Purpose.NAMES),
        samples.read_entries,
    ),
    "base_blocks": (
        samples.BLOCK_BASE,
        sealed_part(samples.BLOCK_BASE_NAME, Purpose.INDEX),
        samples.read_block_base,
    ),
    "base_entries": (
        samples.ENTRY_BASE,
        sealed_part(samples.ENTRY_BASE_NAME, Purpose.NAMES),
        samples.read_entry_base,
    ),
    "base": (samples.head("base"), sealed_record, DECODERS["record_tag"]),
    "footer": ([samples.build_pack()[0].segments], sealed_pack, samples.read_pack),
}
each_sealed = pytest.mark.parametrize("name", list(SEALED))


def exchanged(value: Any, draw: st.DrawFn) -> Any:
    """`value` with anything in one of its places, or with something more or less."""
    if not isinstance(value, list | dict) or not value or draw(st.integers(0, 5)) == 0:
        return draw(anything)
    if isinstance(value, dict):
        at = draw(st.sampled_from(list(value)))
        return {**value, at: exchanged(value[at], draw)}
    at = draw(st.integers(0, len(value) - 1))
    match draw(st.integers(0, 8)):
        case 0:
            return value[:at]
        case 1:
            return [*value, value[at]]
        case _:
            return [*value[:at], exchanged(value[at], draw), *value[at + 1 :]]


@each_sealed
@settings(max_examples=200)
@given(data=st.data())
def test_any_values_that_were_sealed(name: str, data: st.DataObject) -> None:
    value, seal_it, decode = SEALED[name]
    builtin = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    plain = msgspec.msgpack.encode(exchanged(builtin, data.draw))
    refuses_or_reads(decode, seal_it(plain))


@each_sealed
@settings(max_examples=200)
@given(data=st.data())
def test_any_bytes_that_were_sealed(name: str, data: st.DataObject) -> None:
    value, seal_it, decode = SEALED[name]
    plain = bytearray(wire.encode(value))
    for at in data.draw(st.lists(st.integers(0, len(plain) - 1), min_size=1, max_size=3)):
        plain[at] = data.draw(st.integers(0, 255))
    refuses_or_reads(decode, seal_it(bytes(plain)))


@given(st.binary(max_size=60), st.sampled_from([records.Head, ring.Ring, parts.EntryPart]))
def test_any_msgpack(data: bytes, kind: type) -> None:
    refuses_or_reads(lambda raw: wire.decode(msgspec.msgpack.Decoder(kind), raw, "x"), data)


# --- JSON, which anybody can change


@pytest.mark.parametrize("data", [MARKER_BYTES, SLOT], ids=["marker", "slot"])
def test_every_turned_bit_of_json(data: bytes) -> None:
    """None is taken for the same: a slot that still reads does not open (its bytes are bound)."""
    for at in range(len(data)):
        for bit in range(8):
            damaged = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            try:
                if data is SLOT:
                    assert slots.decode(damaged) != slots.decode(data)
                else:
                    assert marker.decode(damaged) != REPOSITORY
            except REFUSED:
                pass


@given(anything.filter(lambda value: not isinstance(value, bytes)))
def test_any_json(value: object) -> None:
    try:
        data = msgspec.json.encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return
    refuses_or_reads(marker.decode, data)
    refuses_or_reads(slots.decode, data)


@pytest.mark.parametrize("data", [b"[" * 60000, b'{"snapfs":' * 5000, b'{"slot":' * 5000])
def test_deeply_nested_json_is_refused(data: bytes) -> None:
    for decode in (marker.decode, slots.decode):
        with pytest.raises(FormatError):
            decode(data)


@pytest.mark.parametrize("decode", [marker.decode, slots.decode])
def test_large_json_is_refused_unread(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError, match="too large"):
        decode(b" " * (64 * 1024) + MARKER_BYTES)


@pytest.mark.parametrize(
    "text",
    [
        '{"snapfs":1,"repository":"CDD966F9D2437429898CF42B69D1C1DC"}',
        '{"snapfs":1,"repository":"cd d966f9d2437429898cf42b69d1c1dc"}',
        '{"snapfs":1,"repository":"cdd966f9d2437429898cf42b69d1c1"}',
        '{"snapfs":1,"repository":""}',
        '{"snapfs":0,"repository":"cdd966f9d2437429898cf42b69d1c1dc"}',
        '{"snapfs":true,"repository":"cdd966f9d2437429898cf42b69d1c1dc"}',
        '{"snapfs":"1","repository":"cdd966f9d2437429898cf42b69d1c1dc"}',
        '{"snapfs":1}',
        "null",
        "",
        '{"snapfs":1,"repository":"\\ud800"}',
    ],
)
def test_what_is_no_marker(text: str) -> None:
    with pytest.raises(FormatError):
        marker.decode(text.encode())


@pytest.mark.parametrize(
    "text", ['{"snapfs":2}', '{"snapfs":3,"more":[]}', '{"snapfs":' + "9" * 30 + "}"]
)
def test_a_newer_marker_says_so(text: str) -> None:
    with pytest.raises(NewerFormatError):
        marker.decode(text.encode())


# --- newer, or damaged?


def with_change(change: dict[str, object], within: str = "") -> bytes:
    head = msgspec.msgpack.decode(wire.encode(samples.head("tag")))
    (head[within] if within else head).update(change)
    return sealed_record(msgspec.msgpack.encode(head))


@pytest.mark.parametrize(
    ("change", "within"),
    [({"signature": b""}, ""), ({"more": 1}, "body"), ({"type": "merge"}, "body")],
)
def test_a_record_of_a_newer_program_says_so(change: dict[str, object], within: str) -> None:
    with pytest.raises(NewerFormatError, match="newer"):
        DECODERS["record_tag"](with_change(change, within))


@pytest.mark.parametrize(
    ("change", "within"),
    [
        ({"previous": bytes(31)}, ""),
        ({"attempt": bytes(17)}, ""),
        ({"time": 2**63}, ""),
        ({"type": 5}, "body"),
        ({"snapshots": [bytes(15)]}, "body"),
        ({"add": [b"bytes"]}, "body"),
        ({"body": None}, ""),
    ],
)
def test_a_record_that_cannot_be_is_damaged(change: dict[str, object], within: str) -> None:
    with pytest.raises(FormatError):
        DECODERS["record_tag"](with_change(change, within))


@pytest.mark.parametrize("bad", ["", "a/b", ".hidden", "@latest", "nul\0", "x" * 256, "é" * 128])
@pytest.mark.parametrize("field", ["host", "source"])
def test_a_name_that_would_lead_out_of_the_mount_is_refused(bad: str, field: str) -> None:
    body = msgspec.structs.replace(samples.BODIES["ingest"], **{field: bad})
    head = msgspec.structs.replace(samples.head("ingest"), body=body)
    with pytest.raises(FormatError):
        DECODERS["record_tag"](sealed_record(wire.encode(head)))


@pytest.mark.parametrize("name", ["../../etc/x", "keys/ring/1", "keys/ring/00000001\n", ""])
def test_a_ring_of_another_place_is_refused(name: str) -> None:
    body = msgspec.structs.replace(samples.BODIES["init"], ring=name)
    head = msgspec.structs.replace(samples.head("init"), body=body)
    with pytest.raises(FormatError):
        DECODERS["record_tag"](sealed_record(wire.encode(head)))


def test_keys_of_a_purpose_that_is_not_known_are_of_a_newer_program() -> None:
    newer = (*samples.RING.epochs, ring.EpochKey(5, 1, bytes(32)))
    with pytest.raises(NewerFormatError):
        DECODERS["ring"](
            sealed_ring(wire.encode(msgspec.structs.replace(samples.RING, epochs=newer)))
        )


@pytest.mark.parametrize(
    "epochs",
    [
        (),
        samples.RING.epochs[1:4],
        (*samples.RING.epochs, samples.RING.epochs[0]),
        (*samples.RING.epochs, ring.EpochKey(0, 1, bytes(32))),
        (*samples.RING.epochs, ring.EpochKey(1, 0, bytes(32))),
        (*samples.RING.epochs, ring.EpochKey(1, 2, bytes(31))),
    ],
)
def test_a_ring_that_cannot_be_is_refused(epochs: tuple[ring.EpochKey, ...]) -> None:
    value = msgspec.structs.replace(samples.RING, epochs=epochs)
    with pytest.raises(FormatError):
        DECODERS["ring"](sealed_ring(wire.encode(value)))


def test_repository_ids_are_exact() -> None:
    assert RepositoryId(marker.decode(MARKER_BYTES)) == REPOSITORY
