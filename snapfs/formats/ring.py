"""The ring: the keys of a repository, sealed by the master key."""

import msgspec

from snapfs.errors import FormatError, NewerFormatError
from snapfs.formats import limits, seal, wire
from snapfs.formats.seal import Context, EpochKeys, ObjectKind, Purpose, Random
from snapfs.model.identity import RepositoryId

SEED_BITS = 63
"the chunker takes no larger seed"
_EPOCHS = (Purpose.ORDER, Purpose.INDEX, Purpose.NAMES, Purpose.CONTENT)


class EpochKey(msgspec.Struct, frozen=True, array_like=True):
    """One random key of one purpose."""

    purpose: wire.Small
    epoch: wire.Small
    key: wire.Hash


class Ring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys but the master key."""

    epochs: tuple[EpochKey, ...]
    block_id: wire.Hash
    "key of the keyed BLAKE3 that names blocks and lists"
    gear_seed: wire.Count
    "seeds the chunker's table; 1 to 2**63-1"

    def epoch_keys(self) -> EpochKeys:
        """The epoch keys by purpose and epoch."""
        return {(Purpose(entry.purpose), entry.epoch): entry.key for entry in self.epochs}


_decoder = msgspec.msgpack.Decoder(Ring)


def generate(random: Random) -> Ring:
    """A new ring with first epochs of each purpose."""
    seed = int.from_bytes(random(8), "big") >> (64 - SEED_BITS)
    return Ring(
        epochs=tuple(EpochKey(purpose, 1, random(seal.KEY_LENGTH)) for purpose in _EPOCHS),
        block_id=random(seal.KEY_LENGTH),
        gear_seed=seed or 1,
    )


def encode(
    ring: Ring, repository: RepositoryId, name: str, master_key: bytes, random: Random
) -> bytes:
    """The ring's object, sealed by the master key."""
    context = Context(repository, ObjectKind.RING, name)
    keys = {(Purpose.MASTER, 1): master_key}
    return seal.seal_object(
        context, Purpose.MASTER, keys, wire.encode(ring), level=3, random=random
    )


def decode(data: bytes, repository: RepositoryId, name: str, master_key: bytes) -> Ring:
    """The ring in an object. Raises FormatError, also where another master key sealed it."""
    context = Context(repository, ObjectKind.RING, name)
    keys = {(Purpose.MASTER, 1): master_key}
    plain = seal.open_object(data, context, Purpose.MASTER, keys, limit=limits.SMALL)
    ring = wire.decode(_decoder, plain, name)
    _check(ring, name)
    return ring


def _check(ring: Ring, name: str) -> None:
    purposes = {entry.purpose for entry in ring.epochs}
    if max(purposes, default=0) > max(_EPOCHS):
        raise NewerFormatError(
            f"{name}: has keys of a purpose that this program does not know",
            hint="install a newer snapfs",
        )
    complete = purposes == set(_EPOCHS)
    distinct = len({(entry.purpose, entry.epoch) for entry in ring.epochs}) == len(ring.epochs)
    numbered = all(entry.epoch > 0 for entry in ring.epochs)
    if not (complete and distinct and numbered and ring.gear_seed > 0):
        raise FormatError(f"{name}: does not hold a ring")
