"""Names that mean a snapshot by its time: a table for each zone, and spans of time."""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.model import times
from snapfs.model.identity import Commit
from snapfs.model.spans import Span, before, parse_span
from snapfs.model.taken import Taken
from snapfs.model.timenames import moment, resolve
from snapfs.model.times import EARLIEST_NS

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = 10**9


def ns(text: str) -> int:
    """A time with its offset, or in UTC."""
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * SECOND


MOMENTS = [
    # now in UTC, name without @, the moment in UTC; all that the name leaves open is filled up
    ("2026-11-20 12:00", "now", "2026-11-20 12:00:00"),
    ("2026-11-20 12:00", "yesterday", "2026-11-19 22:59:59.9"),
    ("2026-11-20 23:30", "yesterday", "2026-11-20 22:59:59.9"),
    ("2026-03-01 12:00", "yesterday", "2026-02-28 22:59:59.9"),
    ("2024-03-01 12:00", "yesterday", "2024-02-29 22:59:59.9"),
    ("2026-11-20 12:00", "-3h", "2026-11-20 09:00:00"),
    ("2026-11-20 12:00", "-0d", "2026-11-20 12:00:00"),
    ("2026-11-20 12:00", "-3d", "2026-11-17 12:00:00"),
    ("2026-11-20 12:00", "-2w", "2026-11-06 12:00:00"),
    ("2026-11-20 12:00", "-1m", "2026-10-20 11:00:00"),
    ("2026-11-20 12:00", "-1y", "2025-11-20 12:00:00"),
    ("2026-11-20 12:00", "-1y1m1d", "2025-10-19 11:00:00"),
    # the 31st, and leap days
    ("2026-03-31 10:00", "-1m", "2026-02-28 11:00:00"),
    ("2024-03-31 10:00", "-1m", "2024-02-29 11:00:00"),
    ("2026-07-31 10:00", "-1m", "2026-06-30 10:00:00"),
    ("2026-12-31 10:00", "-10m", "2026-02-28 10:00:00"),
    ("2024-02-29 10:00", "-1y", "2023-02-28 10:00:00"),
    ("2024-02-29 10:00", "-4y", "2020-02-29 10:00:00"),
    ("2026-01-15 10:00", "-1m", "2025-12-15 10:00:00"),
    # clocks go forward on 29 March at 02:00, and back on 25 October at 03:00
    ("2026-03-29 10:00", "-1d", "2026-03-28 11:00:00"),
    ("2026-03-29 10:00", "-24h", "2026-03-28 10:00:00"),
    ("2026-03-30 00:30", "-1d", "2026-03-29 01:30:00"),
    ("2026-10-25 11:00", "-1d", "2026-10-24 10:00:00"),
    ("2026-10-26 01:30", "-1d", "2026-10-25 00:30:00"),
    ("2026-11-20 12:00", "2026-03-29", "2026-03-29 21:59:59.9"),
    ("2026-11-20 12:00", "2026-10-25", "2026-10-25 22:59:59.9"),
    ("2026-11-20 12:00", "2026-10-25T02:30", "2026-10-25 00:30:59.9"),
    ("2026-11-20 12:00", "2026-10-25T02:30+01:00", "2026-10-25 01:30:59.9"),
    ("2026-10-26 12:00", "yesterday", "2026-10-25 22:59:59.9"),
    ("2026-11-25 01:30", "-1m", "2026-10-25 00:30:00"),
    # written out
    ("2026-11-20 12:00", "2026-11-03", "2026-11-03 22:59:59.9"),
    ("2026-11-20 12:00", "2026-11-03T14:30", "2026-11-03 13:30:59.9"),
    ("2026-11-20 12:00", "2026-11-03T14:30:05", "2026-11-03 13:30:05.9"),
    ("2026-11-20 12:00", "2026-11-03T14:30+05:30", "2026-11-03 09:00:59.9"),
    ("2026-11-20 12:00", "2026-11-03T14:30Z", "2026-11-03 14:30:59.9"),
    ("2026-11-20 12:00", "2026-11-03T143000Z", "2026-11-03 14:30:00.9"),
    ("2026-11-20 12:00", "GMT-2026.11.03-14.30.00", "2026-11-03 14:30:00.9"),
    ("2026-11-20 12:00", "GMT-2024.02.29-00.00.00", "2024-02-29 00:00:00.9"),
    ("2026-11-20 12:00", "-9999y", "0001-01-01 00:00:00"),
    ("2026-11-20 12:00", "-999999m", "0001-01-01 00:00:00"),
    ("2026-11-20 12:00", "-999999d999999h", "0001-01-01 00:00:00"),
]


@pytest.mark.parametrize(("now", "text", "expected"), MOMENTS)
def test_moment(now: str, text: str, expected: str) -> None:
    whole, _, is_filled = expected.partition(".")
    end = ns(whole) + (SECOND - 1 if is_filled else 0)
    assert moment(text, ns(now), BERLIN) == end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-03", "2026-11-02 23:00:00"), ("2026-11-03T14:30", "2026-11-03 13:30:00"),
        ("yesterday", "2026-11-18 23:00:00"), ("-3d", "2026-11-17 12:00:00"),
        ("GMT-2026.11.03-14.30.00", "2026-11-03 14:30:00"),
    ],
)  # fmt: skip
def test_the_first_moment_that_is_meant(text: str, expected: str) -> None:
    assert moment(text, ns("2026-11-20 12:00"), BERLIN, begin=True) == ns(expected)


@pytest.mark.parametrize("text", ["0001-01-01", "@0001-01-01", "9999-12-31", "9999-12-31T24:00"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_ends_of_time_are_moments_or_none(
    text: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert resolve(f"@{text}", 0, DAYS) in (None, 4)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "-3", "-d", "-3x", "--3d", "-3d ", "-d3", "-3h3d", "-1d1d", "3d", "-1.5d", "-٣d",
        "yesterdays", "tomorrow", "2026-13-01", "2026-02-29", "2026-11-03T24:30", "2026-11-3",
        "2026-11-03T14", "GMT-2026.11.03", "GMT-2026.02.30-14.30.00", "GMT-2026.11.03-14.30.0",
        "gmt-2026.11.03-14.30.00", "2026-11-03T14:30+99:00", "-1234567d", "etc", "..",
    ],
)  # fmt: skip
def test_no_moment(text: str) -> None:
    assert moment(text, ns("2026-11-20 12:00"), BERLIN) is None


def snapshots(*times: str, **tags: str) -> list[Taken]:
    """Snapshots in order of the log; `_2="a b"` gives tags to the second; `!` is forgotten."""
    return [
        Taken(
            Commit(number),
            ns(time.lstrip("!")),
            tuple(tags.get(f"_{number}", "").split()),
            forgotten=time.startswith("!"),
        )
        for number, time in enumerate(times, start=1)
    ]


DAYS = snapshots(
    "2026-11-17 12:00", "2026-11-18 12:00", "2026-11-19 12:00", "2026-11-20 08:00",
    _1="first", _2="release", _3="release",
)  # fmt: skip
DISORDERED = snapshots("2026-11-17", "2027-11-17", "2026-11-15", "!2026-11-16", "2026-11-17")


@pytest.mark.parametrize(
    ("name", "history", "expected"),
    [
        ("@latest", DAYS, 4),
        ("@now", DAYS, 4),
        ("@yesterday", DAYS, 3),
        ("@-1d", DAYS, 3),
        ("@-24h", DAYS, 3),
        ("@-25h", DAYS, 2),
        ("@-3d", DAYS, 1),
        ("@-4d", DAYS, None),
        ("@2026-11-18", DAYS, 2),
        ("@2026-11-18T13:00", DAYS, 2),
        ("@2026-11-18T12:59", DAYS, 1),
        ("@2026-11-16", DAYS, None),
        ("@2030-01-01", DAYS, 4),
        ("@GMT-2026.11.18-12.00.00", DAYS, 2),
        ("@GMT-2026.11.18-11.59.59", DAYS, 1),
        ("@tag:release", DAYS, 3),
        ("@tag:first", DAYS, 1),
        ("@tag:", DAYS, None),
        ("@tag:none", DAYS, None),
        ("latest", DAYS, None),
        ("2026-11-18", DAYS, None),
        ("@", DAYS, None),
        ("@@now", DAYS, None),
        ("@latest", [], None),
        ("@now", [], None),
        ("@latest", DISORDERED, 5),
        ("@now", DISORDERED, 5),
        ("@2026-11-16", DISORDERED, 3),
        ("@2026-11-17", DISORDERED, 5),
        ("@2027-12-01", DISORDERED, 2),
        ("@latest", snapshots("2026-11-01", "!2026-11-02"), 1),
    ],
)
def test_resolve(name: str, history: list[Taken], expected: int | None) -> None:
    assert resolve(name, ns("2026-11-20 12:00"), history, BERLIN) == expected


@given(st.text(max_size=30), st.integers(-(2**63), 2**63 - 1))
def test_any_text_is_a_name_or_none(text: str, now: int) -> None:
    for name in (text, f"@{text}", f"@-{text}"):
        assert resolve(name, now, DAYS, BERLIN) in (None, 1, 2, 3, 4)


@given(st.integers(0, 2**62), st.integers(0, 99), st.sampled_from("hdwmy"))
def test_further_back_is_not_later(now: int, count: int, unit: str) -> None:
    near, far = (parse_span(f"{number}{unit}") for number in (count, count + 1))
    assert near is not None
    assert far is not None
    assert EARLIEST_NS <= before(now, far, BERLIN) <= before(now, near, BERLIN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1y2m3w4d5h", Span(months=14, days=25, hours=5)),
        ("36h", Span(hours=36)),
        ("0d", Span()),
        ("", None),
        ("d", None),
        ("1d1y", None),
    ],
)
def test_spans(text: str, expected: Span | None) -> None:
    assert parse_span(text) == expected


@given(st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9999))
def test_a_span_is_read_as_it_is_shown(months: int, days: int, hours: int) -> None:
    span = Span(months=months, days=days, hours=hours)
    assert parse_span(str(span)) == span


def test_spans_go_back_in_the_systems_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for now, text in [(now, text) for now, text, _ in MOMENTS if text.startswith("-")]:
            assert moment(text, ns(now)) == moment(text, ns(now), BERLIN), (now, text)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_ends_by_the_system_s_own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a zone, also on the day on which the clocks change."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        found = times.parse("2026-03-29", 0)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == times.parse("2026-03-29", 0, ZoneInfo("Europe/Berlin"))
