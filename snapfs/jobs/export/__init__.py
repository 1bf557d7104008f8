"""Export: what lies at a path of a snapshot, as one stream of tar.

`walk` reads the tree in batches, `tar` makes headers of attributes, `sink` compresses and writes.
"""

from snapfs.jobs.export.job import export
from snapfs.jobs.export.report import ExportReport
from snapfs.jobs.export.sink import Format, Sink, file_sink, stream_sink

__all__ = ["ExportReport", "Format", "Sink", "export", "file_sink", "stream_sink"]
