"""msgpack, as all sealed values use it, with foreign errors translated."""

from typing import TypeVar

import msgspec

from snapfs.errors import FormatError, NewerFormatError

T = TypeVar("T")

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
