"""Which snapshot a user means: by id, by time, by a name of the mount."""

import pytest

from snapfs.errors import SnapshotNotFoundError
from snapfs.model.identity import Attempt, Commit, DirectoryNumber, SourceNumber
from snapfs.model.snapshot import Counts, Snapshot, Source, choose

_DAY = 86_400 * 10**9
_NOW = 20_000 * _DAY
_COUNTS = Counts(*[0] * 10)


def _source(name: str) -> Source:
    return Source(SourceNumber(1), "web", name, Commit(0), DirectoryNumber(1))


def _snapshot(number: int, days_ago: int, *tags: str, source: str = "etc") -> Snapshot:
    return Snapshot(
        Commit(number), DirectoryNumber(1), Attempt(bytes([number] * 16)), _source(source),
        _NOW - days_ago * _DAY, tags, (), _COUNTS,
    )  # fmt: skip


SNAPSHOTS = [_snapshot(2, 9), _snapshot(3, 5, "release"), _snapshot(5, 1), _snapshot(7, 0)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("latest", 7), ("@latest", 7), ("0505", 5), ("@-3d", 3), ("@-5d", 3), ("@-1w", 2),
        ("-3d", 3), ("yesterday", 5),
        ("@tag:release", 3), ("1970-01-01", None), ("@-1y", None), ("@tag:none", None),
        ("@never", None), ("never", None), ("0606", None),
    ],
)  # fmt: skip
def test_one_is_meant_or_none(text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(SnapshotNotFoundError):
            choose(SNAPSHOTS, text, _NOW)
    else:
        assert choose(SNAPSHOTS, text, _NOW).number == number


def test_a_path_alone_is_told_where_it_goes() -> None:
    with pytest.raises(SnapshotNotFoundError) as raised:
        choose(SNAPSHOTS, "/etc", _NOW)
    assert "latest:/etc" in raised.value.hint


def test_a_tag_of_one_source_says_which() -> None:
    others = [_snapshot(8, 3, source="home"), *SNAPSHOTS]
    assert choose(others, "@tag:release", _NOW).number == 3
    with pytest.raises(SnapshotNotFoundError, match="no snapshot has the tag 'none'"):
        choose(others, "@tag:none", _NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("050", "too short for an id"), ("2026-11-31", "not a time"), ("x", "is called 'x'"),
        ("@-999y", "no snapshot is @-999y"), ("-999y", "as old as -999y"),
    ],
)  # fmt: skip
def test_what_is_not_found_is_told_in_its_own_words(text: str, said: str) -> None:
    with pytest.raises(SnapshotNotFoundError, match=said):
        choose(SNAPSHOTS, text, _NOW)


@pytest.mark.parametrize("text", ["latest", "@latest", "@-3d", "@tag:release", "2030-01-01"])
def test_of_several_sources_one_is_to_be_chosen(text: str) -> None:
    both = [*SNAPSHOTS, _snapshot(8, 20_000 - 1, "release", source="home")]
    with pytest.raises(SnapshotNotFoundError, match="web/etc, web/home") as raised:
        choose(both, text, _NOW)
    assert "--name" in raised.value.hint
