"""Check: the rows of the replay, one question each. Whatever was recorded resolves."""

from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.jobs.check.paths import Paths
from snapfs.jobs.check.report import ProblemKind
from snapfs.jobs.check.scratch import Scratch
from snapfs.metadata.database import Row

HINT = "a program recorded what it had not stored: please report this; 'snapfs repair' may help"


@dataclass(frozen=True, slots=True)
class _Question:
    """A query whose rows are what is wrong."""

    sql: str
    wrong: str


_ENTRIES = (
    _Question(
        "SELECT directory, name FROM entry WHERE node NOT IN (SELECT number FROM node)",
        "names an inode that was not recorded",
    ),
    _Question(
        "SELECT e.directory, e.name FROM entry e LEFT JOIN directory d ON d.number = e.child"
        " WHERE e.child IS NOT NULL AND (d.parent, d.name) IS NOT (e.directory, e.name)",
        "is a directory that was not recorded",
    ),
    _Question(
        "SELECT e.directory, e.name FROM entry e JOIN node n ON n.number = e.node"
        " WHERE (n.mode & 0xf000 = 0x4000) <> (e.child IS NOT NULL)",
        "is a directory by its attributes or by its name, and not by both",
    ),
    _Question(
        "SELECT directory, name FROM (SELECT directory, name, first, last, lead(first, 1, last)"
        " OVER (PARTITION BY directory, name ORDER BY first) AS next FROM entry)"
        " WHERE first >= last OR last > next",
        "has two versions at the same time",
    ),
)
_OTHERS = (
    _Question(
        "SELECT 'segment ' || s.number FROM segment s LEFT JOIN pack p ON p.number = s.pack"
        " WHERE p.number IS NULL OR s.offset + s.stored > p.size",
        "lies outside of its pack",
    ),
    _Question(
        "SELECT 'block ' || b.number FROM block b LEFT JOIN segment s ON s.number = b.segment"
        " WHERE s.number IS NULL OR b.offset + b.length > s.plain",
        "lies outside of its segment",
    ),
    _Question(
        "SELECT 'snapshot ' || lower(hex(s.id)) FROM snapshot s"
        " JOIN cursor c ON c.stream = s.source"
        " WHERE s.complete AND s.number < c.record"
        " AND s.number NOT IN (SELECT snapshot FROM lapsed) AND NOT EXISTS (SELECT 1 FROM entry"
        " WHERE directory = s.anchor AND name = x'2f' AND first <= s.number AND last > s.number)",
        "has no root",
    ),
    *(
        _Question(
            f"SELECT '{table} ' || max(t.number) FROM {table} t JOIN counter c"
            f" ON c.name = '{counter}' HAVING max(t.number) >= max(c.next)",
            "has a number that was never given",
        )
        for table, counter in (
            ("block", "blocks"), ("segment", "segments"), ("pack", "packs"), ("node", "nodes"),
            ("list", "lists"), ("directory", "directories"), ("source", "sources"),
        )
    ),
)  # fmt: skip


def check_references(scratch: Scratch) -> Iterator[None]:
    """Ask all questions and report; yields after each, so that it can be broken off."""
    paths = Paths(scratch.db)
    for question in _ENTRIES:
        for directory, name in scratch.db.stream(question.sql):
            _report(scratch, str(paths.locate(directory, name)), question.wrong)
        yield
    for question in _OTHERS:
        for row in scratch.db.stream(question.sql):
            _report(scratch, _name(row), question.wrong)
        yield


def _name(row: Row) -> str:
    return str(row[0])


def _report(scratch: Scratch, name: str, wrong: str) -> None:
    scratch.report(ProblemKind.REFERENCE, name, wrong, HINT)
