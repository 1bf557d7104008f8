"""What was once written is read for ever, and written again it is the same."""

import json
from pathlib import Path

import pytest

from snapfs.formats import marker, packs, seal, slots
from tests.formats import make_golden, samples

GOLDEN = Path(__file__).parent / "golden"
NAMES = list(samples.sealed_objects())


def read(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_object_without_compression_is_the_same_to_the_byte(name: str) -> None:
    with samples.uncompressed():
        sealed = samples.sealed_objects()[name]
    assert sealed.data == read(f"raw_{name}.bin")
    assert sealed.read(read(f"raw_{name}.bin")) == sealed.value


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pack"])
def test_every_compressed_object_holds_what_it_held(name: str) -> None:
    sealed = samples.sealed_objects()[name]
    assert sealed.read(read(f"{name}.bin")) == sealed.value


def test_a_compressed_pack_holds_what_it_held() -> None:
    row, plain = samples.read_pack(read("pack.bin"))
    today, _ = samples.build_pack()
    assert plain == (b"".join(samples.TEXT_BLOCKS), b"".join(samples.NOISE_BLOCKS))
    assert (row.name, row.header) == (today.name, today.header)
    assert row.size == len(read("pack.bin"))
    assert [(segment.keys, segment.lengths) for segment in row.segments] == [
        (segment.keys, segment.lengths) for segment in today.segments
    ]
    packs.verify(read("pack.bin"), row, samples.REPOSITORY, samples.KEYS, samples.RING.block_id)


def test_the_marker_is_the_same() -> None:
    assert marker.encode(samples.REPOSITORY) == read("marker.json")
    assert marker.decode(read("marker.json")) == samples.REPOSITORY


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        (slots.SlotKind.PASSPHRASE, samples.PASSPHRASE),
        (slots.SlotKind.RECOVERY, samples.CODE),
    ],
)
def test_the_key_slots_are_the_same_and_open(kind: slots.SlotKind, secret: str) -> None:
    data = read(f"slot_{kind}.json")
    assert samples.encode_slot(kind) == data
    slot = slots.decode(data)
    assert (slot.kind, slot.label, slot.created) == (kind, samples.LABEL, 1_763_000_000)
    assert slots.open_slot(slot, secret, read("marker.json")) == samples.MASTER


def test_derived_values_are_the_same() -> None:
    assert samples.derived() == json.loads(read("keys.json"))


def test_a_new_object_is_wrapped_under_the_newest_epoch() -> None:
    header = samples.build_pack()[0].header
    only_old = {at: key for at, key in samples.KEYS.items() if at[1] == 1}
    _, opened = seal.read_header(header, packs.context(samples.REPOSITORY, samples.PACK), only_old)
    assert set(opened.keys) == {seal.Purpose.INDEX}


def test_golden_files_are_never_written_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(make_golden, "GOLDEN", tmp_path)
    (tmp_path / "marker.json").write_bytes(b"as it was")
    make_golden.main()
    assert (tmp_path / "marker.json").read_bytes() == b"as it was"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in GOLDEN.iterdir()}
