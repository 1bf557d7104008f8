"""Repair: publishing what was found, mended or given up."""

from snapfs.formats.records import GiveUp, Mend
from snapfs.model.identity import Attempt
from snapfs.repository.repository import Repository


async def publish(repository: Repository, body: Mend | GiveUp, host: str) -> None:
    """Publish a record. Its packs and parts are durable in the store BEFORE this is called.

    Raises DeltaVoidError where a prune took what was uploaded for left over (another repair then
    does it again), LogCutError, StoreError; ViewDamagedError where the view has what is given up:
    the record is published then, and the view must be built again.
    """
    await repository.publish(Attempt(repository.world.random(16)), lambda: body, host)
