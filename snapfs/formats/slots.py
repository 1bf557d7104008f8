"""Key slots: the master key wrapped for one passphrase or recovery code. Clear text, but for it.

A slot is JSON: someone who has lost everything but the bucket can see what it is. Its fields and
the repository's marker are additional data of the wrap, so none can be changed or moved. The store
could offer parameters that hang us, so those outside of fixed bounds are a format error.
"""

import base64
import enum
import struct
import unicodedata
from collections.abc import Callable

import msgspec
from blake3 import blake3

from snapfs.errors import FormatError, NewerFormatError, UsageError
from snapfs.formats import aead, limits
from snapfs.formats.seal import KEY_LENGTH, TAG_LENGTH, Random

_FORMAT = 1
_LABEL_LETTERS = 200
_LATEST = 2**53 - 1
"the largest integer that every JSON reader keeps exactly"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"Crockford's base 32: no I, L, O, U"
_CODE_BITS = 160
_CHECK_BITS = 20
_CODE_LETTERS = (_CODE_BITS + _CHECK_BITS) // 5
_SALT_LENGTH = 16
_MEMORY = range(19 * 1024, 1024 * 1024 + 1)
_TIME = range(1, 17)
_LANES = range(1, 9)


class SlotKind(enum.StrEnum):
    """What opens a slot."""

    PASSPHRASE = "passphrase"
    RECOVERY = "recovery"


class Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of Argon2id (RFC 9106); the defaults are its second recommendation."""

    memory: int = 64 * 1024
    "KiB"
    time: int = 3
    lanes: int = 4


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a slot's key is derived with, beside the secret. None of it is secret."""

    kind: SlotKind
    argon2id: Derivation
    salt: str
    "base64"


Derive = Callable[[Recipe, str], bytes]
"raises UsageError for a secret that is none of its kind, MemoryError"


class _Version(msgspec.Struct, frozen=True):
    slot: int


class _Public(msgspec.Struct, frozen=True):
    """What a slot says in clear text; bound to its wrap."""

    slot: int
    kind: SlotKind
    label: str
    created: int
    argon2id: Derivation
    salt: str


class KeySlot(_Public, frozen=True, forbid_unknown_fields=True):
    """A slot as it is stored."""

    master_key: str
    "base64: AES-256-GCM of the master key"


def create(
    master_key: bytes,
    secret: str,
    marker: bytes,
    *,
    kind: SlotKind,
    label: str,
    created: int,
    derivation: Derivation,
    random: Random,
) -> bytes:
    """A slot's object. `secret` is a passphrase or a recovery code.

    `created` is seconds since 1970. Raises UsageError for a secret or label that cannot be used.
    """
    if len(label) > _LABEL_LETTERS or not label.isprintable():
        raise UsageError(f"a label has at most {_LABEL_LETTERS} characters that can be printed")
    salt = base64.b64encode(random(_SALT_LENGTH)).decode()
    public = _Public(_FORMAT, kind, label, created, derivation, salt)
    key = derive(recipe_of(public), secret)
    wrapped = aead.encrypt(key, bytes(12), master_key, _bind(public, marker))
    fields = {name: getattr(public, name) for name in public.__struct_fields__}
    slot = KeySlot(**fields, master_key=base64.b64encode(wrapped).decode())
    return msgspec.json.format(msgspec.json.encode(slot), indent=2) + b"\n"


def decode(data: bytes) -> KeySlot:
    """The slot in an object. Raises FormatError, also for parameters outside of their bounds.

    Raises NewerFormatError for a slot of a later format.
    """
    if len(data) > limits.SMALL:
        raise FormatError("a key slot is too large")
    try:
        if msgspec.json.decode(data, type=_Version).slot > _FORMAT:
            raise NewerFormatError("a key slot is of a newer format", hint="install a newer snapfs")
        slot = msgspec.json.decode(data, type=KeySlot)
        wrapped = base64.b64decode(slot.master_key, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(f"a key slot cannot be read: {error}") from error
    right_length = len(wrapped) == KEY_LENGTH + TAG_LENGTH
    if slot.slot != _FORMAT or not right_length or not 0 <= slot.created <= _LATEST:
        raise FormatError("a key slot is not of this format")
    check_recipe(recipe_of(slot))
    return slot


def recipe_of(slot: _Public) -> Recipe:
    """What the slot's key is derived with."""
    return Recipe(slot.kind, slot.argon2id, slot.salt)


def check_recipe(recipe: Recipe) -> None:
    """Raise FormatError for a recipe that no slot may have."""
    try:
        salt = base64.b64decode(recipe.salt, validate=True)
    except ValueError as error:
        raise FormatError(f"a key slot cannot be read: {error}") from error
    if len(salt) != _SALT_LENGTH:
        raise FormatError("a key slot is not of this format")
    kdf = recipe.argon2id
    if kdf.memory not in _MEMORY or kdf.time not in _TIME or kdf.lanes not in _LANES:
        raise FormatError("a key slot asks for a derivation outside of the allowed bounds")


def open_slot(
    slot: KeySlot, secret: str, marker: bytes, *, derive_key: Derive | None = None
) -> bytes | None:
    """The master key, or None where this is not the slot's secret (or the slot was changed).

    `derive_key` gives what `derive` gives, where that is known already. Raises FormatError where
    this machine lacks the memory that the slot asks for.
    """
    wrapped = base64.b64decode(slot.master_key)
    try:
        key = (derive_key or derive)(recipe_of(slot), secret)
        return aead.decrypt(key, bytes(12), wrapped, _bind(slot, marker))
    except (aead.UnsoundError, UsageError):
        return None
    except MemoryError as error:
        raise FormatError(f"a key slot asks for {slot.argon2id.memory} KiB of memory") from error


def generate_code(random: Random) -> str:
    """A new recovery code: 160 random bits and a checksum, in groups of four."""
    secret = random(_CODE_BITS // 8)
    number = int.from_bytes(secret, "big") << _CHECK_BITS | _checksum(secret)
    letters = [_ALPHABET[number >> shift & 31] for shift in range(5 * _CODE_LETTERS - 5, -5, -5)]
    return "-".join("".join(letters[at : at + 4]) for at in range(0, _CODE_LETTERS, 4))


def normal_code(text: str) -> str:
    """A recovery code as it was generated, from how somebody typed it. UsageError with a typo."""
    letters = "".join(text.upper().split()).translate(str.maketrans("OIL", "011", "-‐‑–—"))
    if len(letters) != _CODE_LETTERS or any(letter not in _ALPHABET for letter in letters):
        raise UsageError(f"a recovery code has {_CODE_LETTERS} letters and digits")
    number = 0
    for letter in letters:
        number = number << 5 | _ALPHABET.index(letter)
    secret = (number >> _CHECK_BITS).to_bytes(_CODE_BITS // 8, "big")
    if number & (1 << _CHECK_BITS) - 1 != _checksum(secret):
        raise UsageError("the recovery code has a typing error: its checksum does not fit")
    return "-".join(letters[at : at + 4] for at in range(0, _CODE_LETTERS, 4))


def _checksum(secret: bytes) -> int:
    return int.from_bytes(blake3(b"snapfs code" + secret).digest()[:4], "big") >> (32 - _CHECK_BITS)


def derive(recipe: Recipe, secret: str) -> bytes:
    """The key that wraps the master key. Takes a tenth of a second and more, on purpose.

    Raises UsageError for a secret that is none of this kind, MemoryError.
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # see `aead`

    kdf = recipe.argon2id
    return Argon2id(
        salt=base64.b64decode(recipe.salt),
        length=KEY_LENGTH,
        iterations=kdf.time,
        lanes=kdf.lanes,
        memory_cost=kdf.memory,
    ).derive(_normal_secret(recipe.kind, secret))


def _normal_secret(kind: SlotKind, secret: str) -> bytes:
    if kind is SlotKind.RECOVERY:
        return normal_code(secret).encode()
    try:
        # The same words typed on another keyboard may arrive composed differently.
        return unicodedata.normalize("NFC", secret).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError("a passphrase must be text") from None


def _bind(public: _Public, marker: bytes) -> bytes:
    """The additional data: each field with its length, so that none can pass into the next."""
    kdf = public.argon2id
    numbers = struct.pack(">IIIIQ", public.slot, kdf.memory, kdf.time, kdf.lanes, public.created)
    texts = (marker, public.kind.encode(), public.label.encode(), public.salt.encode())
    lengths = b"".join(struct.pack(">I", len(text)) + text for text in texts)
    return b"snapfs\x01slot" + numbers + lengths
