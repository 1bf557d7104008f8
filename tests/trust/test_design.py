"""What docs/design.md says of tests: those that it names are there, and its tables are whole."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.trust.pairs import JOBS

_TESTS = Path(__file__).parents[1]
_DESIGN = (_TESTS.parent / "docs" / "design.md").read_text()
_NAMED = re.compile(r"`([\w/]+\.py)::(\w+(?:\[[^\]`]+\])?)`")


def section(title: str) -> str:
    """What is below a heading, up to the next one."""
    _, _, rest = _DESIGN.partition(f"### {title}\n")
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(title: str) -> list[list[str]]:
    """The cells of a section's only table, its header first."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


@cache
def collected() -> frozenset[tuple[str, str]]:
    """File and name of each test in the files that are named, with its parameters and without."""
    files = sorted({file for file, _ in _NAMED.findall(_DESIGN)})
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts="]
        + [str(_TESTS / file) for file in files],
        cwd=_TESTS.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [line.split("::", 1) for line in listed.stdout.splitlines() if "::" in line]
    tests = {(file.removeprefix("tests/"), name) for file, name in found}
    return frozenset(tests | {(file, name.partition("[")[0]) for file, name in tests})


def test_every_test_that_is_named_is_there() -> None:
    named = set(_NAMED.findall(_DESIGN))
    assert len(named) > 30
    assert named <= collected()


def test_every_file_of_tests_that_is_named_is_there() -> None:
    for name in re.findall(r"`tests/([\w/]+\.py)`", _DESIGN):
        assert (_TESTS / name).is_file(), name


def test_each_row_of_the_crashes_names_a_test() -> None:
    header, *rows = table("What power can take, and when")
    assert header[-1] == "test"
    assert len(rows) > 10
    for row in rows:
        assert _NAMED.search(row[-1]), row


def test_each_two_jobs_have_a_reason_and_each_reason_a_test() -> None:
    (_, *across), *rows = table("What may run beside what")
    assert across == [*JOBS]
    assert [row[0].strip("*") for row in rows] == across
    used: set[str] = set()
    for at, (_, *cells) in enumerate(rows):
        assert not any(cells[:at])
        assert all(cells[at:])
        used.update(number for cell in cells for number in cell.split())
    reasons = re.split(r"^(\d+)\. ", section("What may run beside what"), flags=re.MULTILINE)[1:]
    given = dict(zip(reasons[::2], reasons[1::2], strict=True))
    assert used == given.keys()
    assert all(_NAMED.search(reason) for reason in given.values())
