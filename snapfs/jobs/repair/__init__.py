"""Repair: what a check finds and what can be put right, is.

    lost records → view → examine (a check) → lost parts → what damaged packs hold → a check again
                                    ↑                 ↓ if nobody has them, and it is told to
                                    └──── give up ────┘

Nothing is deleted, and nothing sound is written over. Records and parts come back from the copies
that this machine has of them, block parts also from the packs that they list. A local database that
is not what the log says is moved aside and built again. What a damaged pack still holds, or another
pack has of it, is copied to new packs by a Mend record; the blocks of which there is no sound copy
are named there, so that no delta relies on them until an ingest meets their content and stores it
anew.
"""

from snapfs.jobs.repair.job import repair
from snapfs.jobs.repair.putback import put_back_keys
from snapfs.jobs.repair.report import RepairOptions, RepairReport

__all__ = ["RepairOptions", "RepairReport", "put_back_keys", "repair"]
