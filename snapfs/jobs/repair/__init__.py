"""Repair: what a check finds and what can be put right, is.

    view → examine (a check) → lost block parts → what damaged packs hold → a check of the rest

Nothing is deleted, and no object is written twice. A local database that is not what the log says
is moved aside and built again. What a damaged pack still holds, or another pack has of it, is
copied to new packs by a Mend record; the blocks of which there is no sound copy are named there, so
that no delta relies on them until an ingest meets their content and stores it anew.
"""

from snapfs.jobs.repair.job import repair
from snapfs.jobs.repair.report import RepairOptions, RepairReport

__all__ = ["RepairOptions", "RepairReport", "repair"]
