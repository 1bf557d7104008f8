"""Check finds what a faulty program could have recorded: parts that are sound, and wrong."""

from pathlib import Path

import pytest

from snapfs.formats import records
from snapfs.formats.parts import DirectoryRow, EntryPart, NodeRow
from snapfs.jobs.check.contents import Contents
from snapfs.jobs.check.references import check_references
from snapfs.jobs.check.report import CheckReport
from snapfs.jobs.check.scratch import Scratch, open_scratch
from snapfs.jobs.progress import Progress
from snapfs.metadata.compare import TABLES
from tests.build import publish
from tests.jobs.checking import Scene, checked, found, paths, scene

ROOT_DIRECTORY = "(SELECT number FROM directory WHERE name = x'2f' ORDER BY number LIMIT 1)"

WRONG = {
    "a node that is missing": (
        "DELETE FROM node WHERE number = (SELECT node FROM entry WHERE name = x'61')", "web/root:/a"
    ),
    "a directory that is missing": (
        "DELETE FROM directory WHERE name = CAST('sub' AS BLOB)", "web/root:/sub"
    ),
    "a file that is a directory": (
        "UPDATE node SET mode = 16877 WHERE number = (SELECT node FROM entry WHERE name = x'61')",
        "web/root:/a",
    ),
    "versions that overlap": (
        "UPDATE entry SET last = last + 1 WHERE name = x'62' AND first = 2", "web/root:/b"
    ),
    "a version of no time": (
        "UPDATE entry SET last = first WHERE name = x'62' AND first = 2", "web/root:/b"
    ),
    "a segment beyond its pack": (
        "UPDATE segment SET offset = offset + 1000000 WHERE number = 1", "segment 1"
    ),
    "a segment of no pack": ("UPDATE segment SET pack = 999 WHERE number = 1", "segment 1"),
    "a block beyond its segment": (
        "UPDATE block SET offset = offset + 1000000 WHERE number = 1", "block 1"
    ),
    "a block of no segment": ("UPDATE block SET segment = 999 WHERE number = 1", "block 1"),
    "a number that was not given": (
        "UPDATE counter SET next = 2 WHERE name = 'packs'", "pack 5"
    ),
    "a block that is missing": ("DELETE FROM block WHERE number = 1", "inode 3"),
    "a block of another length": ("UPDATE block SET length = 5 WHERE number = 1", "inode 3"),
    "a size that is not its content's": ("UPDATE node SET size = 5 WHERE number = 4", "inode 4"),
    "a content that cannot be read": ("UPDATE node SET data = x'c1' WHERE number = 4", "inode 4"),
    "a file without its content": ("UPDATE node SET data = NULL WHERE number = 4", "inode 4"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_rows(case: str, tmp_path: Path) -> None:
    """The rows are as a log would give them that was written by a faulty program."""
    sql, name = WRONG[case]
    async with scene(tmp_path) as made:
        with open_scratch(made.repository.state, Progress()) as scratch:
            _copy_view(made, scratch)
            assert _found(scratch) == []
            scratch.db.execute(sql)
            assert _found(scratch) == [name]


async def test_a_snapshot_without_a_root(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        with open_scratch(made.repository.state, Progress()) as scratch:
            _copy_view(made, scratch)
            scratch.db.execute("DELETE FROM entry WHERE name = x'2f' AND first = 6")
            scratch.db.execute("UPDATE entry SET last = 6 WHERE name = x'2f' AND first = 2")
            assert f"snapshot {made.id(6).hex()}" in _found(scratch)


async def test_a_record_that_refers_to_what_it_has_not(tmp_path: Path) -> None:
    """A block that is counted and not stored: its file is named, though no object is damaged."""
    async with scene(tmp_path) as made:
        report = await _commit_wrongly(made)
        assert [kind for kind, _ in found(report)] == ["reference"]
        assert paths(report) == {"web/root:/wrong": 1}


async def _commit_wrongly(made: Scene) -> CheckReport:
    repository = made.repository
    node = NodeRow(0o100644, 0, 0, 0, 0, 10, 1, 0, b"", (0,), ())
    part = EntryPart((), (node,), (DirectoryRow(b"/", False, (), ((b"wrong", 0),)),), {}, {})
    ref = await repository.parts.upload(part, (0, 0, 0))
    body = records.Ingest(
        host="web", source="root", source_head=made.web.head, complete=True, time=0,
        new=records.New(blocks=1, nodes=1), blocks=(), entries=(ref,), packs=(), paths=(b"/",),
    )  # fmt: skip
    await publish(repository, body, "web")
    await repository.catch_up_all()
    return await checked(repository)


def _copy_view(made: Scene, scratch: Scratch) -> None:
    """As a replay would fill it."""
    scratch.db.attach(made.repository.state.replica, "view")
    for table in TABLES:
        scratch.db.execute(f"INSERT INTO {table} SELECT * FROM view.{table}")


def _found(scratch: Scratch) -> list[str]:
    for _ in check_references(scratch):
        pass
    for _ in Contents(scratch).check():
        pass
    return [problem.object for problem in scratch.problems]
