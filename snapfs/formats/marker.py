"""`snapfs.json`: the clear-text object that says that here is a repository, and which.

Its exact bytes are additional data of every key slot, so that a slot opens only beside them.
"""

import msgspec

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import limits
from snapfs.model.identity import RepositoryId

FORMAT = 1


class _Marker(msgspec.Struct, frozen=True):
    snapfs: int
    repository: str


class _Format(msgspec.Struct, frozen=True):
    snapfs: int


def encode(repository: RepositoryId) -> bytes:
    """The marker's bytes."""
    return msgspec.json.encode(_Marker(FORMAT, repository.hex())) + b"\n"


def decode(data: bytes) -> RepositoryId:
    """The repository's id. Raises FormatError, or NewerFormatError for a later format."""
    if len(data) > limits.SMALL:
        raise FormatError("snapfs.json: is too large")
    try:
        if msgspec.json.decode(data, type=_Format).snapfs > FORMAT:
            raise NewerFormatError(
                "the repository has a newer format than this program knows",
                hint="install a newer snapfs",
            )
        marker = msgspec.json.decode(data, type=_Marker)
        repository = RepositoryId(bytes.fromhex(marker.repository))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(f"snapfs.json: {error}") from error
    # Hexadecimal digits can be written in more than one way: there is to be one marker for one id.
    exact = repository.hex() == marker.repository
    if marker.snapfs != FORMAT or len(repository) != 16 or not exact:
        raise FormatError("snapfs.json: is not a marker of snapfs")
    return repository
