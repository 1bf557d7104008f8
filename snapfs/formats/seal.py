"""Sealed objects: the one way in which bytes are encrypted for a store.

    object  := magic "SNAPFS" · version u8 · kind u8 · number of wraps u8 · wraps · sections
    wrap    := purpose u8 · method u8 · epoch u32 · length u16 · body of that length
    section := AES-256-GCM( codec u8 · plain length u32 · packed length u32 · packed · zeros )

Integers are big-endian. An object has one random key for each purpose that it serves, wrapped under
the epoch key of that purpose (method 1: salt 16 · sealed key 48). A wrap says its own length, so
that other methods, of any size, can stand beside it: they are for recipients that we are not. The
wrapping key is derived from epoch key, context and salt and used once, so its nonce is zero;
sections count their nonces. Additional data binds each section to version, repository, kind, name,
purpose, index and to whether it is the last: nothing can pass for another, be cut short or be
mixed. The plain length is inside, under the tag, so that its exact value is not told.
"""

import enum
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from blake3 import blake3

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import aead, codec
from snapfs.model.identity import RepositoryId

MAGIC = b"SNAPFS"
VERSION = 1
KEY_LENGTH = 32
TAG_LENGTH = 16
_SALT_LENGTH = 16
_HEAD = struct.Struct(">6sBBB")
_WRAP = struct.Struct(">BBIH")
_WRAP_BODY = _SALT_LENGTH + KEY_LENGTH + TAG_LENGTH
_SECTION = struct.Struct(">BII")
_MAXIMUM_WRAPS = 16
_METHOD_EPOCH_KEY = 1
HEADER_BOUND = 8192
"the most bytes that a header can have"

Random = Callable[[int], bytes]


class ObjectKind(enum.IntEnum):
    """What an object is; part of what it is bound to."""

    RING = 1
    RECORD = 2
    PART = 3
    PACK = 4
    BASE = 5


class Purpose(enum.IntEnum):
    """Whose eyes a section is for; each purpose has its own epoch keys."""

    MASTER = 0
    "the ring, by the master key"
    ORDER = 1
    "record heads"
    INDEX = 2
    "pack footers, block parts"
    NAMES = 3
    "entry parts, base"
    CONTENT = 4
    "segments"


EpochKeys = Mapping[tuple[Purpose, int], bytes]
"epoch keys by purpose and epoch"


@dataclass(frozen=True, slots=True)
class Context:
    """What an object is and where it belongs; no two objects share one."""

    repository: RepositoryId
    kind: ObjectKind
    name: str

    def bytes(self) -> bytes:
        name = self.name.encode()
        return (
            b"snapfs"
            + bytes([VERSION])
            + self.repository
            + bytes([self.kind])
            + struct.pack(">H", len(name))
            + name
        )


@dataclass(frozen=True, slots=True)
class ObjectKeys:
    """The opened keys of one object, by purpose."""

    context: Context
    keys: Mapping[Purpose, bytes]

    def of(self, purpose: Purpose) -> bytes:
        try:
            return self.keys[purpose]
        except KeyError:
            raise FormatError(f"{self.context.name}: has no key for {purpose.name}") from None


def new_object(
    context: Context, purposes: tuple[Purpose, ...], keys: EpochKeys, random: Random
) -> tuple[bytes, ObjectKeys]:
    """The header of a new object and its keys, each wrapped under its purpose's newest epoch.

    Raises FormatError where `keys` has none for a purpose.
    """
    head = _HEAD.pack(MAGIC, VERSION, context.kind, len(purposes))
    opened: dict[Purpose, bytes] = {}
    for purpose in purposes:
        epoch = max((epoch for known, epoch in keys if known == purpose), default=None)
        if epoch is None:
            raise FormatError(f"{context.name}: the ring has no key for {purpose.name}")
        opened[purpose] = random(KEY_LENGTH)
        head += _wrap(context, purpose, epoch, keys[purpose, epoch], opened[purpose], random)
    return head, ObjectKeys(context, opened)


def read_header(
    data: bytes | memoryview, context: Context, keys: EpochKeys
) -> tuple[int, ObjectKeys]:
    """Length of the header at the beginning of `data`, and the keys in it that `keys` open.

    Raises FormatError where it is no header of this kind or was not made for this context, and
    NewerFormatError where its version is above ours.
    """
    opened: dict[Purpose, bytes] = {}
    end = _HEAD.size
    for _ in range(_check_head(data, context)):
        begin = end + _WRAP.size
        if begin > len(data):
            raise FormatError(f"{context.name}: is cut short in its header")
        purpose, method, epoch, length = _WRAP.unpack_from(data, end)
        end = begin + length
        if end > min(len(data), HEADER_BOUND):
            raise FormatError(f"{context.name}: is cut short in its header")
        if method == _METHOD_EPOCH_KEY:
            _unwrap(context, purpose, epoch, bytes(data[begin:end]), keys, opened)
    return end, ObjectKeys(context, opened)


def seal_section(
    keys: ObjectKeys, purpose: Purpose, index: int, packed: tuple[codec.Codec, bytes, int], *,
    last: bool, padded: bool = False,
) -> bytes:  # fmt: skip
    """Seal one section. `packed` is codec, packed bytes and plain length."""
    method, data, plain_length = packed
    length = _SECTION.size + len(data)
    padding = bytes(padme(length) - length) if padded else b""
    plain = b"".join((_SECTION.pack(method, plain_length, len(data)), data, padding))
    bound = _bind(keys.context, purpose, index, last)
    return aead.encrypt(keys.of(purpose), _nonce(index), plain, bound)


def open_section(
    keys: ObjectKeys,
    purpose: Purpose,
    index: int,
    sealed: bytes | memoryview,
    *,
    last: bool,
    limit: int,
) -> bytes:
    """The plain bytes of a section, at most `limit` of them. FormatError where it is not sound."""
    key = keys.of(purpose)
    bound = _bind(keys.context, purpose, index, last)
    try:
        plain = aead.decrypt(key, _nonce(index), sealed, bound)
    except aead.UnsoundError as error:
        raise FormatError(
            f"{keys.context.name}: section {index} is damaged or belongs elsewhere"
        ) from error
    return _unpack(plain, keys.context.name, limit)


def seal_object(
    context: Context, purpose: Purpose, keys: EpochKeys, plain: bytes, *, level: int, random: Random
) -> bytes:
    """A whole object of one section."""
    header, opened = new_object(context, (purpose,), keys, random)
    packed, data = codec.compress(plain, level)
    return header + seal_section(opened, purpose, 0, (packed, data, len(plain)), last=True)


def open_object(
    data: bytes, context: Context, purpose: Purpose, keys: EpochKeys, *, limit: int
) -> bytes:
    """The plain bytes of an object of one section. Raises as `read_header` and `open_section`."""
    end, opened = read_header(data, context, keys)
    return open_section(opened, purpose, 0, memoryview(data)[end:], last=True, limit=limit)


def padme(length: int) -> int:
    """`length` rounded up so that its low bits tell nothing: at most 12 % more, mostly far less.

    Nikitin et al., Reducing Metadata Leakage from Encrypted Files and Communication with PURBs,
    2019, algorithm 1.
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    cleared = exponent - exponent.bit_length()
    mask = (1 << max(cleared, 0)) - 1
    return (length + mask) & ~mask


def sealed_length(packed: int, *, padded: bool) -> int:
    """Stored bytes of a section whose packed data has this length."""
    plain = _SECTION.size + packed
    return (padme(plain) if padded else plain) + TAG_LENGTH


def _wrap(
    context: Context, purpose: Purpose, epoch: int, epoch_key: bytes, key: bytes, random: Random
) -> bytes:
    salt = random(_SALT_LENGTH)
    bound = _bind_wrap(context, purpose, _METHOD_EPOCH_KEY, epoch)
    kek = blake3(bound + salt, key=epoch_key).digest()
    sealed = aead.encrypt(kek, bytes(12), key, bound)
    return _WRAP.pack(purpose, _METHOD_EPOCH_KEY, epoch, _WRAP_BODY) + salt + sealed


def _unwrap(
    context: Context,
    number: int,
    epoch: int,
    body: bytes,
    keys: EpochKeys,
    opened: dict[Purpose, bytes],
) -> None:
    purpose = next((known for known in Purpose if known == number), None)
    epoch_key = keys.get((purpose, epoch)) if purpose is not None else None
    if purpose is None or epoch_key is None:
        return  # for somebody else
    bound = _bind_wrap(context, purpose, _METHOD_EPOCH_KEY, epoch)
    kek = blake3(bound + body[:_SALT_LENGTH], key=epoch_key).digest()
    try:
        key = aead.decrypt(kek, bytes(12), body[_SALT_LENGTH:], bound)
    except aead.UnsoundError as error:
        raise FormatError(
            f"{context.name}: its header is damaged, or it belongs elsewhere"
        ) from error
    # All who hold a key of this purpose must read the same, whichever epoch's wrap they can open.
    if len(key) != KEY_LENGTH or opened.setdefault(purpose, key) != key:
        raise FormatError(f"{context.name}: its header names two keys for {purpose.name}")


def _check_head(data: bytes | memoryview, context: Context) -> int:
    if len(data) < _HEAD.size:
        raise FormatError(f"{context.name}: is cut short in its header")
    magic, version, kind, count = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise FormatError(f"{context.name}: is not an object of snapfs")
    if version > VERSION:
        raise NewerFormatError(
            f"{context.name}: was written in format {version}, this program knows {VERSION}",
            hint="install a newer snapfs",
        )
    if version != VERSION or kind != context.kind or not 1 <= count <= _MAXIMUM_WRAPS:
        raise FormatError(f"{context.name}: has the header of something else")
    return int(count)


def _unpack(plain: bytes, name: str, limit: int) -> bytes:
    if len(plain) < _SECTION.size:
        raise FormatError(f"{name}: a section is too short")
    method, plain_length, packed_length = _SECTION.unpack_from(plain)
    if plain_length > limit or packed_length > len(plain) - _SECTION.size:
        raise FormatError(f"{name}: a section claims more than it may")
    packed = memoryview(plain)[_SECTION.size : _SECTION.size + packed_length]
    return codec.decompress(method, packed, plain_length)


def _nonce(index: int) -> bytes:
    return index.to_bytes(12, "big")


def _bind(context: Context, purpose: int, index: int, last: bool) -> bytes:
    return context.bytes() + b"section" + struct.pack(">BIB", purpose, index, last)


def _bind_wrap(context: Context, purpose: int, method: int, epoch: int) -> bytes:
    return context.bytes() + b"wrap" + struct.pack(">BBI", purpose, method, epoch)
