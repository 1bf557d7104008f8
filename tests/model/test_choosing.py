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


@pytest.mark.parametrize("text", ["latest", "@latest", "@-3d", "@tag:release", "2030-01-01"])
def test_of_several_sources_one_is_to_be_chosen(text: str) -> None:
    both = [*SNAPSHOTS, _snapshot(8, 20_000 - 1, source="home")]
    with pytest.raises(SnapshotNotFoundError, match="web/etc, web/home") as raised:
        choose(both, text, _NOW)
    assert "--name" in raised.value.hint
