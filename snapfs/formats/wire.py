"""msgpack, as all sealed values use it: bounded scalars, and foreign errors translated."""

from typing import Annotated, TypeAlias, TypeVar

import msgspec

from snapfs.errors import FormatError, NewerFormatError

T = TypeVar("T")

MOST = 2**63 - 1
"SQLite's largest integer, and that of most languages"
Signed: TypeAlias = Annotated[int, msgspec.Meta(le=MOST)]
"msgpack itself has nothing below -2**63"
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Small: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Name: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
"of a part, pack, attempt or repository"
Hash: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
"a hash, or a key of a block or list"

_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """The msgpack form of a struct."""
    return _encoder.encode(value)


def decode(decoder: msgspec.msgpack.Decoder[T], data: bytes, name: str) -> T:
    """The value in `data`. Raises FormatError, or NewerFormatError for what a later program wrote.

    A field or kind that we do not know can only come from a newer program: the bytes were sealed.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        if "unknown field" in str(error) or "Invalid value" in str(error):
            raise NewerFormatError(
                f"{name}: was written by a newer snapfs ({error})", hint="install a newer snapfs"
            ) from error
        raise FormatError(f"{name}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MemoryError) as error:
        raise FormatError(f"{name}: {error}") from error
