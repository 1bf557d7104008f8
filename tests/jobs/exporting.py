"""What the tests of export share: exporting the newest snapshot, and GNU tar to extract it."""

import subprocess
from pathlib import Path

from snapfs.jobs.export import ExportReport, Format, export, file_sink
from snapfs.jobs.progress import Progress
from tests.jobs.restoring import Restorer


async def exported(
    of: Restorer, place: Path, *, path: bytes = b"/", chosen: Format = Format.TAR
) -> ExportReport:
    """Write the newest snapshot of a repository to a file."""
    snapshot = of.repository.snapshots.by_number(of.builder.head)
    assert snapshot is not None
    async with of.repository.reading() as reader:
        with file_sink(place, chosen) as sink:
            return await export(of.repository, reader, snapshot, path, sink, Progress())


def extract(archive: Path, target: Path) -> None:
    """What a user is told to do with an archive; it must not have anything to complain of."""
    target.mkdir()
    done = subprocess.run(
        [
            "tar", "-x", "-p", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner",
            "--same-owner", "--warning=no-timestamp", "-f", archive, "-C", target,
        ],
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == (b"", 0), done.stderr
