"""Headers of sealed objects: which wraps are read, and which are for somebody else."""

import pytest

from snapfs.errors import FormatError
from snapfs.formats import seal
from snapfs.formats.seal import Context, ObjectKind, Purpose
from tests.formats import samples
from tests.formats.samples import KEYS, REPOSITORY

CONTEXT = Context(REPOSITORY, ObjectKind.PART, "meta/00/00")
HEAD = 9


def header(purposes: tuple[Purpose, ...], keys: seal.EpochKeys = KEYS, seed: str = "a") -> bytes:
    return seal.new_object(CONTEXT, purposes, keys, samples.draw(seed))[0]


def with_wraps(*wraps: bytes) -> bytes:
    return header((Purpose.NAMES,))[: HEAD - 1] + bytes([len(wraps)]) + b"".join(wraps)


def foreign(purpose: int, method: int, body: bytes) -> bytes:
    return bytes([purpose, method]) + bytes(4) + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    "other",
    [
        foreign(Purpose.NAMES, 2, b"a public-key wrap" * 80),
        foreign(Purpose.NAMES, 9, b""),
        foreign(200, 1, bytes(64)),
    ],
)
def test_wraps_for_other_recipients_are_passed_over(other: bytes) -> None:
    ours = header((Purpose.NAMES,))[HEAD:]
    for wraps in ((other, ours), (ours, other)):
        data = with_wraps(*wraps)
        end, opened = seal.read_header(data + b"sections", CONTEXT, KEYS)
        assert end == len(data)
        assert set(opened.keys) == {Purpose.NAMES}


@pytest.mark.parametrize("count", [0, 17, 255])
def test_a_header_has_one_to_sixteen_wraps(count: int) -> None:
    data = with_wraps(header((Purpose.NAMES,))[HEAD:])
    with pytest.raises(FormatError):
        seal.read_header(data[: HEAD - 1] + bytes([count]) + data[HEAD:], CONTEXT, KEYS)


def test_a_header_beyond_its_bound_is_refused() -> None:
    big = foreign(Purpose.NAMES, 2, bytes(4000))
    seal.read_header(with_wraps(big, big), CONTEXT, KEYS)
    with pytest.raises(FormatError):
        seal.read_header(with_wraps(big, big, big), CONTEXT, KEYS)


def test_a_header_ends_within_its_object() -> None:
    data = with_wraps(header((Purpose.NAMES,))[HEAD:], foreign(Purpose.NAMES, 2, bytes(50)))
    assert seal.read_header(data, CONTEXT, KEYS)[0] == len(data)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            seal.read_header(data[:length], CONTEXT, KEYS)


@pytest.mark.parametrize("body", [b"", bytes(15), bytes(16), bytes(31), bytes(64), bytes(70)])
def test_a_wrap_of_ours_with_another_body_is_damaged(body: bytes) -> None:
    wrap = bytes([Purpose.NAMES, 1, 0, 0, 0, 1]) + len(body).to_bytes(2, "big") + body
    with pytest.raises(FormatError):
        seal.read_header(with_wraps(wrap), CONTEXT, KEYS)


def test_two_wraps_of_one_purpose_must_hold_one_key() -> None:
    both = {(Purpose.CONTENT, 1): samples.key("old"), (Purpose.CONTENT, 2): samples.key("new")}
    old = {(Purpose.CONTENT, 1): both[Purpose.CONTENT, 1]}
    of_old = header((Purpose.CONTENT,), old, "a")[HEAD:]
    same_of_new = header((Purpose.CONTENT,), both, "a")[HEAD:]
    other_of_new = header((Purpose.CONTENT,), both, "b")[HEAD:]
    assert len(seal.read_header(with_wraps(of_old, same_of_new), CONTEXT, both)[1].keys) == 1
    with pytest.raises(FormatError):
        seal.read_header(with_wraps(of_old, other_of_new), CONTEXT, both)


def test_who_lacks_a_key_reads_what_the_others_open() -> None:
    data = header((Purpose.CONTENT, Purpose.INDEX))
    index_only = {at: key for at, key in KEYS.items() if at[0] == Purpose.INDEX}
    _, opened = seal.read_header(data, CONTEXT, index_only)
    assert set(opened.keys) == {Purpose.INDEX}
    with pytest.raises(FormatError, match="no key for CONTENT"):
        opened.of(Purpose.CONTENT)


def test_what_has_no_key_cannot_be_sealed() -> None:
    with pytest.raises(FormatError, match="no key for MASTER"):
        header((Purpose.MASTER,))


def test_no_two_objects_share_key_or_wrap() -> None:
    random = samples.draw("many")
    seen = [seal.new_object(CONTEXT, (Purpose.NAMES,), KEYS, random) for _ in range(100)]
    assert len({data for data, _ in seen}) == 100
    assert len({keys.keys[Purpose.NAMES] for _, keys in seen}) == 100


# --- Padmé


def padme_of_the_paper(length: int) -> int:
    """Algorithm 1 of the paper, in floating-point-free Python."""
    exponent = length.bit_length() - 1
    kept = exponent.bit_length()
    return -(-length // 2 ** (exponent - kept)) * 2 ** (exponent - kept)


def test_padme_is_the_papers() -> None:
    sizes = [*range(2, 5000), *(2**n + d for n in range(12, 33) for d in (-1, 0, 1, 12345 % 2**n))]
    for length in sizes:
        padded = seal.padme(length)
        exponent = length.bit_length() - 1
        assert padded == padme_of_the_paper(length) if exponent > 1 else padded == length
        assert seal.padme(padded) == padded
        # At most 12 %, and less than 1 in log2(length): less as the length grows.
        assert length <= padded <= length * 1.12
        assert padded - length < length / max(exponent, 1)
    assert [seal.padme(length) for length in (0, 1, 9, 1000, 1_000_000)] == [
        0,
        1,
        10,
        1024,
        1015808,
    ]


def test_padme_leaves_few_lengths() -> None:
    assert len({seal.padme(length) for length in range(1 << 19, 1 << 20)}) <= 33


@pytest.mark.parametrize("length", [0, 1, 100, 4097])
@pytest.mark.parametrize("padded", [False, True])
def test_the_length_of_a_section_is_known_beforehand(length: int, padded: bool) -> None:
    _, keys = seal.new_object(CONTEXT, (Purpose.NAMES,), KEYS, samples.draw("length"))
    packed = (samples.codec.Codec.NONE, bytes(length), length)
    sealed = seal.seal_section(keys, Purpose.NAMES, 0, packed, last=True, padded=padded)
    assert len(sealed) == seal.sealed_length(length, padded=padded)
    opened = seal.open_section(keys, Purpose.NAMES, 0, memoryview(sealed), last=True, limit=length)
    assert opened == bytes(length)
