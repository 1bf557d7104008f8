"""Restore: what lies at a path of a snapshot becomes files below a directory, without a mount.

`walk` reads the tree and makes the directories, `work` reads contents and hands them to `entries`,
which makes everything else. `directory` keeps all of it within the target. Of many small entries
`worker` has a process of its own that runs `entries`.
"""

from snapfs.jobs.restore.job import restore
from snapfs.jobs.restore.options import Overwrite, RestoreOptions
from snapfs.jobs.restore.report import RestoreReport, TroubleCount

__all__ = ["Overwrite", "RestoreOptions", "RestoreReport", "TroubleCount", "restore"]
