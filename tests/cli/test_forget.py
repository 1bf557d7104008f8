"""snapfs forget on the command line: the table, --json, --undo, and what does not go together."""

from pathlib import Path

import pytest

from tests.cli.running import Snapfs

TIMES = ("2026-01-01T10:00Z", "2026-01-01T11:00Z", "2026-01-02T10:00Z", "2026-01-03T10:00Z")


@pytest.fixture
def days(snapfs: Snapfs, tree: Path) -> list[str]:
    """The ids of four snapshots of three days, in order of the log."""
    for time in TIMES:
        snapfs("ingest", tree, "--host", "web", "--name", "data", "--time", time)
    return [one["id"] for one in snapfs("snapshots", "--json").json]


def shown(snapfs: Snapfs) -> list[str]:
    return [one["id"] for one in snapfs("snapshots", "--json").json]


def test_rules_then_undo(snapfs: Snapfs, days: list[str]) -> None:
    rehearsed = snapfs("forget", "--keep-daily", "2", "--below-floor", "--dry-run").text
    assert "would forget 2 snapshots, kept 2" in rehearsed
    assert shown(snapfs) == days
    done = snapfs("forget", "--keep-daily", "2", "--below-floor").text
    lines = [line.split() for line in done.splitlines()[1:5]]
    assert [(line[0], line[1]) for line in lines] == [
        ("forget", days[0][:8]), ("forget", days[1][:8]),
        ("keep", days[2][:8]), ("keep", days[3][:8]),
    ]  # fmt: skip
    assert "newest, daily" in done
    assert "forgot 2 snapshots, kept 2" in done
    assert shown(snapfs) == days[2:]
    undone = snapfs("forget", "--undo").text
    assert [line.split()[2] for line in undone.splitlines()] == [one[:8] for one in days[:2]]
    assert shown(snapfs) == days


def test_json(snapfs: Snapfs, days: list[str]) -> None:
    rules = ("--preset", "standard", "--keep-within", "1h", "--below-floor")
    told = snapfs("forget", *rules, "--json").json
    assert (told["dry_run"], told["forgotten"]) == (False, 1)
    assert [one["kept"] for one in told["snapshots"]] == [True, True, False, True]
    first = told["snapshots"][0]
    assert (first["id"], first["time"][:10]) == (days[0], "2026-01-01")
    assert "oldest while monthly has room" in first["reasons"]
    told = snapfs("forget", "--undo", days[2][:8], "--json").json
    assert told["recalled"] == [days[2]]


def test_named(snapfs: Snapfs, days: list[str]) -> None:
    assert "--even-newest" in snapfs("forget", "latest", status=2).stderr
    assert "forgot 2 snapshots\n" in snapfs("forget", "latest", days[1], "--even-newest").text
    assert shown(snapfs) == [days[0], days[2]]
    assert "no snapshot is called" in snapfs("forget", "--undo", days[0][:8], status=1).stderr


def test_what_was_forgotten_is_listed_and_named(snapfs: Snapfs, days: list[str]) -> None:
    assert snapfs("snapshots", "--forgotten", "--json").json == []
    snapfs("forget", days[0], days[1])
    assert [one["id"] for one in snapfs("snapshots", "--forgotten", "--json").json] == days[:2]
    refused = snapfs("ls", days[0], status=1).stderr
    assert f"{days[0][:8]} was forgotten" in refused
    assert f"snapfs forget --undo {days[0][:8]}" in refused
    snapfs("forget", "--undo", days[0])
    assert [one["id"] for one in snapfs("snapshots", "--forgotten", "--json").json] == days[1:2]


def test_growth_from_an_id_is_of_its_source(snapfs: Snapfs, days: list[str], tree: Path) -> None:
    (tree / "a.txt").write_text("more than it was\n")
    after = snapfs("ingest", tree, "--host", "web", "--name", "data", "--json").json["snapshot"]
    snapfs("ingest", tree, "--host", "web", "--name", "another")
    words = ("stats", "--growth", "--from", days[0][:8], "--to", after, "--json")
    assert {one["source"] for one in snapfs(*words).json_lines} == {"data"}


def test_a_tag_that_nothing_has_is_told(snapfs: Snapfs, days: list[str]) -> None:
    words = ("forget", "--keep-tag", "nope", "--below-floor", "--dry-run")
    assert "no snapshot has the tag 'nope'" in snapfs(*words).stderr
    snapfs("tag", days[0], "nope")
    assert "no snapshot has the tag" not in snapfs(*words).stderr


def test_a_source_that_is_not_there(snapfs: Snapfs, days: list[str]) -> None:
    for words in (
        ("forget", "--preset", "standard"), ("find",), ("history", "/"), ("snapshots",), ("ls",
        "latest"), ("stats", "--growth"),
    ):  # fmt: skip
        refused = snapfs(*words, "--host", "nope", status=1).stderr
        assert "there is no source nope/*" in refused
        assert "web/data" in refused


def test_a_whole_source(snapfs: Snapfs, days: list[str]) -> None:
    assert "--host and --name" in snapfs("forget", "--all", "--name", "data", status=2).stderr
    snapfs("tag", days[0], "pin")
    assert "pinned" in snapfs("forget", "--all", "--host", "web", "--name", "data", status=2).stderr
    snapfs("tag", days[0], "--remove", "pin")
    snapfs("forget", "--all", "--host", "web", "--name", "data")
    assert shown(snapfs) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing says"),
        (("--below-floor",), "nothing says"),
        (("--keep-daily", "0"), "nothing says"),
        (("--keep-daily", "x"), "unlimited"),
        (("--keep-daily", "-1"), "unlimited"),
        (("--keep-within", "3x"), "span of time"),
        (("--keep-within", "0d"), "span of time"),
        (("--keep-last", "1", "--zone", "Nowhere/At_all"), "time zone"),
        (("--keep-last", "1", "--zone", "../../etc/passwd"), "time zone"),
        (("--preset", "none"), "--preset"),
        (("--keep-last", "1", "latest"), "do not go together"),
        (("--undo", "--keep-last", "1"), "do not go together"),
        (("--undo", "--all"), "do not go together"),
        (("--keep-last", "1", "--even-newest"), "named"),
    ],
)
def test_what_is_refused(bare: Snapfs, words: tuple[str, ...], said: str) -> None:
    assert said in bare("forget", *words, SNAPFS_REPOSITORY="/nosuch", status=2).stderr


def test_nothing_to_undo(snapfs: Snapfs) -> None:
    assert "no forgotten snapshot" in snapfs("forget", "--undo", status=1).stderr
