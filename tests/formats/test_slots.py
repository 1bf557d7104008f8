"""Key slots and recovery codes: what opens them, and what does not."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import FormatError, NewerFormatError, UsageError
from snapfs.formats import marker, slots
from snapfs.formats.slots import SlotKind
from snapfs.model.identity import RepositoryId
from tests.formats import samples
from tests.formats.samples import CHEAP, CODE, MASTER, PASSPHRASE

MARKER = marker.encode(samples.REPOSITORY)
PASSPHRASE_SLOT = samples.encode_slot(SlotKind.PASSPHRASE)
RECOVERY_SLOT = samples.encode_slot(SlotKind.RECOVERY)


def create(secret: str, kind: SlotKind = SlotKind.PASSPHRASE, label: str = "x") -> bytes:
    return slots.create(
        MASTER,
        secret,
        MARKER,
        kind=kind,
        label=label,
        created=5,
        derivation=CHEAP,
        random=samples.draw("slot"),
    )


def changed(**fields: Any) -> bytes:
    """The passphrase slot with other fields; parameters of the derivation are named as such."""
    slot = json.loads(PASSPHRASE_SLOT)
    for name in ("memory", "time", "lanes"):
        if name in fields:
            slot["argon2id"][name] = fields.pop(name)
    return json.dumps({**slot, **fields}).encode()


def test_only_the_secret_opens_a_slot() -> None:
    slot = slots.decode(PASSPHRASE_SLOT)
    assert slots.open_slot(slot, PASSPHRASE, MARKER) == MASTER
    for wrong in (PASSPHRASE + " ", PASSPHRASE.lower(), "", CODE):
        assert slots.open_slot(slot, wrong, MARKER) is None


def test_a_slot_opens_only_beside_its_marker() -> None:
    slot = slots.decode(PASSPHRASE_SLOT)
    other = marker.encode(RepositoryId(samples.name("another")))
    for wrong in (other, MARKER[:-1], MARKER + b"\n", b""):
        assert slots.open_slot(slot, PASSPHRASE, wrong) is None


@settings(max_examples=8)
@given(st.text(max_size=30))
def test_any_text_is_a_passphrase(secret: str) -> None:
    assert slots.open_slot(slots.decode(create(secret)), secret, MARKER) == MASTER


def test_a_passphrase_of_an_odd_terminal_is_one_too() -> None:
    secret = b"not utf-8: \xff\xfe".decode(errors="surrogateescape")
    assert slots.open_slot(slots.decode(create(secret)), secret, MARKER) == MASTER


def test_what_is_no_text_is_no_passphrase() -> None:
    with pytest.raises(UsageError):
        create("\ud800")
    assert slots.open_slot(slots.decode(PASSPHRASE_SLOT), "\ud800", MARKER) is None


def test_composed_and_decomposed_letters_are_the_same_passphrase() -> None:
    composed, apart = (unicodedata.normalize(form, "żółć é ﬁ") for form in ("NFC", "NFD"))
    assert composed != apart
    assert slots.open_slot(slots.decode(create(composed)), apart, MARKER) == MASTER
    assert slots.open_slot(slots.decode(create(apart)), composed, MARKER) == MASTER
    # Letters that only look alike stay apart.
    assert slots.open_slot(slots.decode(create("ﬁ")), "fi", MARKER) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"label": "another"},
        {"created": 1_763_000_001},
        {"kind": "recovery"},
        {"salt": "iuXAQ9gjItc5A9CmhYH92B=="},
        {"memory": 19 * 1024 + 4},
        {"time": 2},
        {"lanes": 2},
        {"master_key": "A" * 64},
    ],
)
def test_a_changed_slot_does_not_open(fields: dict[str, Any]) -> None:
    slot = slots.decode(changed(**fields))
    assert slots.open_slot(slot, PASSPHRASE, MARKER) is None


def test_a_changed_salt_of_the_same_bytes_does_not_open() -> None:
    slot = json.loads(PASSPHRASE_SLOT)["salt"]
    assert slot.endswith("A==")  # the last four bits of A and B mean nothing
    again = slots.decode(changed(salt=slot[:-3] + "B=="))
    assert slots.open_slot(again, PASSPHRASE, MARKER) is None


def test_a_slot_may_be_written_in_another_layout() -> None:
    assert changed() != PASSPHRASE_SLOT
    assert slots.open_slot(slots.decode(changed()), PASSPHRASE, MARKER) == MASTER


@pytest.mark.parametrize(
    "fields",
    [
        {"memory": 19 * 1024 - 1},
        {"memory": 1024 * 1024 + 1},
        {"memory": 2**40},
        {"time": 0},
        {"time": 17},
        {"lanes": 0},
        {"lanes": 9},
        {"memory": -1},
        {"time": "3"},
        {"lanes": 1.5},
        {"lanes": True},
        {"created": -1},
        {"created": 2**53},
        {"created": 10**400},
        {"salt": "AAAA"},
        {"salt": "not base64!"},
        {"salt": "ü" * 24},
        {"master_key": "AAAA"},
        {"kind": "fingerprint"},
        {"slot": 0},
        {"more": 1},
        {"argon2id": {"memory": 65536, "time": 3, "lanes": 4, "more": 1}},
        {"label": 5},
    ],
)
def test_a_slot_that_cannot_be_is_refused_before_any_derivation(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(slots, "derive")
    with pytest.raises(FormatError):
        slots.decode(changed(**fields))


@pytest.mark.parametrize("fields", [{"slot": 2}, {"slot": 2, "kind": "token", "more": 1}])
def test_a_slot_of_a_newer_format_says_so(fields: dict[str, Any]) -> None:
    with pytest.raises(NewerFormatError):
        slots.decode(changed(**fields))


@pytest.mark.parametrize("missing", ["slot", "kind", "label", "created", "salt", "master_key"])
def test_a_slot_without_a_field_is_refused(missing: str) -> None:
    slot = json.loads(PASSPHRASE_SLOT)
    del slot[missing]
    with pytest.raises(FormatError):
        slots.decode(json.dumps(slot).encode())


def test_a_slot_that_asks_for_more_memory_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(slots, "derive", exhausted)
    with pytest.raises(FormatError, match="memory"):
        slots.open_slot(slots.decode(PASSPHRASE_SLOT), PASSPHRASE, MARKER)


@pytest.mark.parametrize("label", ["x" * 201, "two\nlines", "\ud800", "bell\a"])
def test_a_label_is_one_short_line(label: str) -> None:
    with pytest.raises(UsageError):
        create("secret", label=label)


# --- recovery codes


def typos(code: str) -> list[str]:
    """The code with each letter replaced by each other one."""
    letters = code.replace("-", "")
    return [
        letters[:at] + other + letters[at + 1 :]
        for at in range(len(letters))
        for other in slots._ALPHABET
        if other != letters[at]
    ]


def swaps(code: str) -> list[str]:
    """The code with each two neighbours swapped."""
    letters = code.replace("-", "")
    return [
        letters[:at] + letters[at + 1] + letters[at] + letters[at + 2 :]
        for at in range(len(letters) - 1)
        if letters[at] != letters[at + 1]
    ]


def is_code(text: str) -> bool:
    try:
        slots.normal_code(text)
    except UsageError:
        return False
    return True


def test_a_code_opens_its_slot_however_it_is_typed() -> None:
    slot = slots.decode(RECOVERY_SLOT)
    assert slots.open_slot(slot, CODE.lower().replace("-", " "), MARKER) == MASTER
    assert slots.open_slot(slot, PASSPHRASE, MARKER) is None
    assert slots.open_slot(slot, typos(CODE)[0], MARKER) is None


def test_a_slot_for_a_code_that_was_typed_in_opens() -> None:
    slot = slots.decode(create(CODE.lower(), SlotKind.RECOVERY))
    assert slots.open_slot(slot, CODE, MARKER) == MASTER
    with pytest.raises(UsageError):
        create(typos(CODE)[0], SlotKind.RECOVERY)


def test_codes_are_36_letters_in_groups_of_four() -> None:
    groups = CODE.split("-")
    assert [len(group) for group in groups] == [4] * 9
    assert not set("ILOU") & set(CODE)


@given(st.binary(min_size=20, max_size=20))
def test_every_code_is_read_as_it_was_made(secret: bytes) -> None:
    code = slots.generate_code(lambda count: secret[:count])
    assert slots.normal_code(code) == code
    for typed in (
        code.lower(),
        code.replace("-", ""),
        " ".join(code),
        f"\t{code}\n",
        code.replace("0", "O").replace("1", "I"),
        code.replace("0", "o").replace("1", "l"),
        code.replace("-", "–"),
        code.replace("-", "\N{NO-BREAK SPACE}"),
    ):
        assert slots.normal_code(typed) == code


def test_no_typo_or_swap_gets_through() -> None:
    """Of 20 codes' 22,320 typos and 680 swaps; the checksum lets one in a million pass."""
    random = samples.draw("codes")
    codes = [slots.generate_code(random) for _ in range(20)]
    passed = [text for code in codes for text in (*typos(code), *swaps(code)) if is_code(text)]
    assert passed == []


@pytest.mark.parametrize(
    "text", ["", CODE[:-1], CODE + "0", CODE.replace(CODE[0], "U", 1), "ß" * 18, "٣" * 36, "=" * 36]
)
def test_what_is_no_code(text: str) -> None:
    assert not is_code(text)


@given(st.text(max_size=45))
def test_any_text_is_a_code_or_not(text: str) -> None:
    is_code(text)
