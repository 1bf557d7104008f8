"""Repair: publishing what was found and mended."""

from snapfs.formats.parts import PartRef
from snapfs.formats.records import Mend, New, Replacement
from snapfs.model.identity import Attempt
from snapfs.repository.repository import Repository


async def publish_mend(
    repository: Repository, host: str, new: New, blocks: tuple[PartRef, ...],
    packs: tuple[bytes, ...], parts: tuple[Replacement, ...] = (),
) -> None:  # fmt: skip
    """Publish a Mend. Its packs and parts are durable in the store BEFORE this is called.

    Raises DeltaVoidError where a prune took what was uploaded for left over (another repair then
    does it again), LogCutError, StoreError.
    """
    mend = Mend(new, blocks, packs, parts)
    await repository.publish(Attempt(repository.world.random(16)), lambda: mend, host)
