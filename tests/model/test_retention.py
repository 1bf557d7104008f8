"""Retention by tables: times of one source in order of the log, a policy, and what is kept.

In the tables the newest snapshot of the log and the floor are left aside where they are not what is
shown: `floor` is 0 but for its own cases, and the newest is always kept.
"""

# ruff: noqa: E501  (a line of a table is a line)

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from snapfs.model.identity import Commit
from snapfs.model.retention import PIN, PRESETS, UNLIMITED, Decision, Policy, thin
from snapfs.model.spans import Span
from snapfs.model.taken import Taken

NOW = "2026-11-20 12:00"
BERLIN = ZoneInfo("Europe/Berlin")


def ns(text: str) -> int:
    """`2026-11-20 12:00`, `11-20 12:00` (of 2026) or `11-20` (noon), in UTC."""
    text = text if text.count("-") == 2 else f"2026-{text}"
    text = text if ":" in text else f"{text} 12:00"
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def history(times: str) -> list[Taken]:
    """Snapshots in order of the log, from times with commas between; `!x` is forgotten."""
    written = [word.strip() for word in times.split(",") if word.strip()]
    return [
        Taken(Commit(number), ns(word.lstrip("!")), forgotten=word.startswith("!"))
        for number, word in enumerate(written, start=1)
    ]


def kept(decision: Decision) -> list[int]:
    return [one.number for one in decision.kept]


@dataclass(frozen=True)
class Case:
    """A line of the table; `kept` are places in the log, from 1."""

    name: str
    times: str
    policy: dict[str, object]
    kept: list[int]
    zone: ZoneInfo | None = None


ORDERED = [
    Case("nothing at all", "", {"last": 1}, []),
    Case("one snapshot", "11-20", {}, [1]),
    Case("no rule keeps the newest only", "11-18, 11-19, 11-20", {}, [3]),
    Case("last 1", "11-18, 11-19, 11-20", {"last": 1}, [3]),
    Case("last 2", "11-18, 11-19, 11-20", {"last": 2}, [2, 3]),
    Case("last of more than there are", "11-18, 11-19, 11-20", {"last": 9}, [1, 2, 3]),
    Case("last without end", "11-18, 11-19, 11-20", {"last": UNLIMITED}, [1, 2, 3]),
    Case("last counts equal times one by one", "11-20, 11-20, 11-20", {"last": 2}, [2, 3]),
    Case(
        "hourly: the last of each hour",
        "11-20 08:10, 11-20 08:50, 11-20 09:00, 11-20 09:59, 11-20 10:00",
        {"hourly": 2},
        [4, 5],
    ),
    Case(
        "hourly: hours without a snapshot do not count",
        "11-18 08:10, 11-18 08:50, 11-19 21:00, 11-20 10:00",
        {"hourly": 3},
        [2, 3, 4],
    ),
    Case(
        "daily: the last of each day",
        "11-17 01:00, 11-17 23:00, 11-18 01:00, 11-18 23:00, 11-19 10:00, 11-19 11:00",
        {"daily": 2},
        [4, 6],
    ),
    Case("daily: days without a snapshot do not count", "01-01, 03-07, 11-20", {"daily": 2}, [2, 3]),
    Case("daily: the oldest stays while there is room", "11-19 08:00, 11-19 09:00", {"daily": 2}, [1, 2]),
    Case("daily: the oldest goes when it is full", "11-18 08:00, 11-18 09:00, 11-19", {"daily": 2}, [2, 3]),
    Case("daily: midnight begins a day", "11-18 23:59, 11-19 00:00, 11-19 23:59", {"daily": 3}, [1, 3]),
    Case("daily: seen from Berlin", "11-18 22:59, 11-18 23:00, 11-19 22:59", {"daily": 3}, [1, 3], BERLIN),
    Case("weekly: Sunday ends a week", "11-14, 11-15, 11-16, 11-20", {"weekly": 2}, [2, 4]),
    Case(
        "weekly: ISO weeks across the year",
        "2025-12-28, 2025-12-29, 2026-01-01, 2026-01-04, 2026-01-05",
        {"weekly": 2},
        [4, 5],
    ),
    Case("weekly: a year of 53 weeks", "2020-12-27, 2020-12-31, 2021-01-03, 2021-01-04", {"weekly": 3}, [1, 3, 4]),
    Case("thirds of a week", "11-09, 11-10, 11-11, 11-12, 11-13, 11-15, 11-16", {"thirds": 4}, [2, 4, 6, 7]),
    Case("monthly", "08-31, 09-01, 09-30, 10-01, 10-31, 11-20", {"monthly": 3}, [3, 5, 6]),
    Case("monthly: the same month of another year", "2025-11-20, 11-20", {"monthly": 2}, [1, 2]),
    Case("monthly: a leap day", "2024-02-28, 2024-02-29, 2024-03-01", {"monthly": 2}, [2, 3]),
    Case("yearly", "2023-05-01, 2024-01-01, 2024-12-31, 2025-12-31, 2026-01-01", {"yearly": 3}, [3, 4, 5]),
    Case("within: seen from the newest, not from now", "09-01, 09-02, 09-08, 09-09", {"within": Span(days=7)}, [3, 4]),
    Case("within: exactly as old is too old", "11-13 12:00, 11-13 12:01, 11-20 12:00", {"within": Span(days=7)}, [2, 3]),
    Case("within months: the 31st", "2026-02-28 11:59, 2026-02-28 12:01, 03-31", {"within": Span(months=1)}, [2, 3]),
    Case("within: a day of 25 hours", "10-24 11:59, 10-24 12:01, 10-25 13:00", {"within": Span(days=1)}, [2, 3], BERLIN),
    Case("within 24 hours on that day", "10-24 12:59, 10-24 13:01, 10-25 13:00", {"within": Span(hours=24)}, [2, 3], BERLIN),
    Case(
        "hours of the night that has one twice",
        "10-24 23:30, 10-25 00:30, 10-25 01:30, 10-25 02:30",
        {"hourly": 3},
        [2, 3, 4],
        BERLIN,
    ),
    Case("rules add up", "09-30, 10-31, 11-18, 11-19, 11-20", {"daily": 2, "monthly": 3}, [1, 2, 4, 5]),
    Case("forgotten ones fill no rule", "11-17, 11-18, !11-19, 11-20", {"daily": 2}, [2, 4]),
    Case("the newest is the newest that is not forgotten", "11-18, 11-19, !11-20", {}, [2]),
    Case("floor: one a day of seven days", "11-10, 11-11, 11-12, 11-13, 11-14, 11-15, 11-16, 11-17", {"floor": 7}, [2, 3, 4, 5, 6, 7, 8]),
    Case("floor: only the last of a day", "11-19 08:00, 11-19 09:00, 11-20", {"floor": 7}, [2, 3]),
    Case("floor: of a source that has ended long ago", "2019-01-01, 2019-01-02, 2019-05-01", {"floor": 2}, [2, 3]),
]  # fmt: skip

DISORDERED = [
    Case("a forged last of each day replaces none", "11-17, 11-18, 11-19, 11-17 23:00, 11-18 23:00", {"daily": 3}, [1, 2, 3, 4, 5]),
    Case("a forged hour in the past pushes nothing", "11-01, 11-03, 11-05, 11-04", {"daily": 3}, [1, 2, 3, 4]),
    Case("the future pushes nothing", "11-18, 11-19, 2027-01-01, 2028-01-01", {"daily": 2}, [1, 2, 3, 4]),
    Case("the future does not make others old", "11-18, 2027-01-01, 11-19", {"within": Span(days=7)}, [1, 2, 3]),
    Case("the future is kept without rules, too", "11-18, 2027-01-01, 11-19", {}, [2, 3]),
    Case("a future that has come: later ones are a run", "11-01, 11-19, 11-02, 11-03, 11-04, 11-05", {"daily": 2}, [1, 2, 5, 6]),
    Case("in order again, and the run goes by the rule", "11-01, 11-10, 11-02, 11-03, 11-11, 11-12", {"daily": 2}, [5, 6]),
    Case("a clock that jumped back a year", "11-17, 11-18, 2025-11-18, 2025-11-19, 2025-11-20", {"daily": 2}, [1, 2, 4, 5]),
    Case("and was put right", "11-17, 2025-11-18, 2025-11-19, 11-18, 11-19", {"daily": 3}, [1, 3, 4, 5]),
    Case("and was put right: each as old as it says", "11-17, 2025-11-18, 2025-11-19, 11-18, 11-19", {"within": Span(days=7)}, [1, 4, 5]),
    Case("a step back by seconds begins a run", "11-19 12:00:05, 11-19 12:00:04", {"last": 1}, [1, 2]),
    Case("a forgotten one still tells the order", "11-01, !11-10, 11-01 23:00", {"daily": 1}, [1, 3]),
    Case("what is in order counts against all runs", "11-05, 11-01, 11-05, 11-01, 11-06", {"last": 2}, [3, 4, 5]),
    Case("many forged days of the past", "11-01, 11-08, 11-15, 11-02, 11-03, 11-04, 11-09, 11-10", {"daily": 3, "weekly": 3}, [1, 2, 3, 6, 7, 8]),
]  # fmt: skip


@pytest.mark.parametrize("case", ORDERED + DISORDERED, ids=lambda case: case.name)
def test_table(case: Case) -> None:
    snapshots = history(case.times)
    decision = thin(snapshots, Policy(**{"floor": 0, **case.policy}), ns(NOW), case.zone or UTC)
    assert kept(decision) == case.kept
    live = [one.number for one in snapshots if not one.forgotten]
    assert list(decision.dropped) == [number for number in live if number not in case.kept]


def test_reasons_name_every_rule_that_keeps() -> None:
    times = "10-30 10:00, 10-30 11:00, 11-19 10:00, 2027-01-01"
    decision = thin(history(times), Policy(daily=3, last=1, monthly=2), ns(NOW), UTC)
    assert {one.number: one.reasons for one in decision.kept} == {
        1: ("oldest while daily has room",),
        2: ("daily", "monthly"),
        3: ("last", "daily", "monthly"),
        4: ("newest", "its time is in the future"),
    }


def test_floor_is_named_only_where_nothing_else_keeps() -> None:
    decision = thin(history("11-18, 11-19"), Policy(), ns(NOW), UTC)
    assert [one.reasons for one in decision.kept] == [("floor",), ("newest",)]


def test_tags_and_pins_are_kept_and_others_not() -> None:
    tags = [("release", "x"), (PIN,), ("x",), (), ()]
    snapshots = [
        Taken(Commit(number), ns("11-01") + number, found) for number, found in enumerate(tags)
    ]
    decision = thin(snapshots, Policy(tags=frozenset({"release"}), floor=0), ns(NOW), UTC)
    assert [(one.number, one.reasons) for one in decision.kept] == [
        (0, ("tag release",)),
        (1, ("pinned",)),
        (4, ("newest",)),
    ]


def test_doubts_are_told() -> None:
    decision = thin(history("11-18, 11-17, 2027-01-01, !11-16, 11-19"), Policy(), ns(NOW), UTC)
    assert decision.future == {3}
    assert decision.stepped_back == {2}


def test_standard_of_a_year_of_daily_snapshots() -> None:
    """All of 7 days, then two more weeks' thirds, then weeks, then months."""
    day = 86_400 * 10**9
    last = ns("11-20")
    snapshots = [Taken(Commit(n), last - (400 - n) * day) for n in range(1, 401)]
    decision = thin(snapshots, PRESETS["standard"], last, UTC)
    days = [
        datetime.fromtimestamp(snapshots[one.number - 1].time_ns / 1e9, UTC).strftime("%y-%m-%d")
        for one in decision.kept
    ]
    assert " ".join(days) == (
        "25-12-31 26-01-31 26-02-28 26-03-31 26-04-30 26-05-31 26-06-30 26-07-31 26-08-31 26-09-30 "
        "26-10-04 26-10-11 26-10-18 26-10-25 26-10-31 26-11-01 "
        "26-11-03 26-11-05 26-11-08 26-11-10 26-11-12 "
        "26-11-14 26-11-15 26-11-16 26-11-17 26-11-18 26-11-19 26-11-20"
    )


def test_policy_knows_whether_it_says_anything() -> None:
    assert not Policy().has_rules
    assert not Policy(floor=3).has_rules
    for given in ({"last": 1}, {"thirds": 1}, {"within": Span(hours=1)}, {"tags": frozenset("x")}):
        assert Policy(**given).has_rules
