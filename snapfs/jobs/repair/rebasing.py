"""Repair: another base, where parts of the newest one are lost."""

import logging

from snapfs.errors import BusyError, DamagedError
from snapfs.jobs.prune.compact import compact
from snapfs.jobs.prune.options import PruneOptions
from snapfs.model.identity import Commit
from snapfs.repository.replay import replayed
from snapfs.repository.repository import Repository

log = logging.getLogger(__name__)


async def mend_base(repository: Repository, host: str) -> Commit | None:
    """Write another base, made of what the lost one restates; None where that is not there, or not
    all else is sound. Raises StoreError, LogCutError, LocalError.
    """
    try:
        async with replayed(repository) as replica:
            if replica.lacks_base:
                return await compact(repository, replica, PruneOptions(host=host))
    except (DamagedError, BusyError) as error:
        log.warning("no base was made: %s", error.what)
    return None
