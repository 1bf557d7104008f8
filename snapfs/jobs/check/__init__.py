"""Check: is everything there that the log says, whole, and the same as this machine's view of it?

Nothing is changed, not even the view: the log is replayed into a fresh database beside it, which is
then the truth for all questions. What is damaged is named as paths in snapshots.
"""

from snapfs.jobs.check.job import check
from snapfs.jobs.check.report import CheckOptions, CheckReport

__all__ = ["CheckOptions", "CheckReport", "check"]
