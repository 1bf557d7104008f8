"""Retention: what holds for all histories, honest or forged; and a second, naive implementation."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from snapfs.model import spans
from snapfs.model.identity import Commit
from snapfs.model.retention import PIN, Policy, thin
from snapfs.model.spans import Span
from snapfs.model.taken import Taken

HOUR = 3600 * 10**9
DAY = 24 * HOUR
NOW = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9
ZONES = st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")])

recent = st.integers(0, 6 * 60).map(lambda n: NOW - n * HOUR * 4)
"times that are not in the future; a dense 60 days, with the end of summer time in them"
jumps = st.integers(-400, 400).map(lambda n: NOW + n * DAY)
anything = st.one_of(recent, recent, jumps, st.integers(-(2**63), 2**63 - 1))
counts = st.sampled_from([0, 0, 0, 1, 2, 3])
"small, so that there is something to drop"
policies = st.builds(
    Policy,
    last=st.just(0),
    hourly=counts,
    daily=counts,
    thirds=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    within=st.none()
    | st.builds(Span, months=st.integers(0, 1), days=st.integers(0, 9), hours=st.integers(0, 30)),
    tags=st.just(frozenset({"keep"})),
    floor=counts,
)
counting = st.builds(lambda policy, last: replace(policy, last=last), policies, counts)
"policies that count snapshots, too"
tags = st.sampled_from([(), (), (), (), (), (), (), (), ("keep",), (PIN,)])
flags = st.sampled_from([False, False, False, False, True])


def histories(times: st.SearchStrategy[int], *, size: int = 25) -> st.SearchStrategy[list[Taken]]:
    """Snapshots in order of the log, some tagged, some forgotten."""
    rows = st.lists(st.tuples(times, tags, flags), min_size=size // 3, max_size=size)
    return rows.map(lambda found: numbered([Taken(Commit(0), *row) for row in found]))


def numbered(snapshots: Sequence[Taken]) -> list[Taken]:
    return [replace(one, number=Commit(at)) for at, one in enumerate(snapshots, start=1)]


def plain(times: Sequence[int]) -> list[Taken]:
    return numbered([Taken(Commit(0), time) for time in times])


def kept(snapshots: Sequence[Taken], policy: Policy, zone: object = UTC) -> set[int]:
    return {one.number for one in thin(snapshots, policy, NOW, zone).kept}


# --- for whatever is in the log


@given(histories(anything), counting, ZONES)
def test_total_and_deterministic(snapshots: list[Taken], policy: Policy, zone: ZoneInfo) -> None:
    decision = thin(snapshots, policy, NOW, zone)
    live = [one.number for one in snapshots if not one.forgotten]
    assert sorted([*decision.dropped, *(one.number for one in decision.kept)]) == live
    assert all(one.reasons for one in decision.kept)
    assert decision == thin(snapshots, policy, NOW, zone)


@given(histories(anything), counting)
def test_newest_pinned_and_future_ones_stay(snapshots: list[Taken], policy: Policy) -> None:
    live = [one for one in snapshots if not one.forgotten]
    must = {one.number for one in live if PIN in one.tags or one.time_ns > NOW}
    assert must | {one.number for one in live[-1:]} <= kept(snapshots, policy)


@given(histories(anything), counting, counting)
def test_more_rules_keep_more(snapshots: list[Taken], one: Policy, other: Policy) -> None:
    both = Policy(
        last=max(one.last, other.last),
        hourly=max(one.hourly, other.hourly),
        daily=max(one.daily, other.daily),
        thirds=max(one.thirds, other.thirds),
        weekly=max(one.weekly, other.weekly),
        monthly=max(one.monthly, other.monthly),
        yearly=max(one.yearly, other.yearly),
        within=one.within,
        tags=one.tags,
        floor=max(one.floor, other.floor),
    )
    without = replace(other, within=None)
    assert kept(snapshots, one) | kept(snapshots, without) <= kept(snapshots, both)


@given(histories(anything), counting, ZONES)
def test_deciding_again_drops_nothing_more(
    snapshots: list[Taken], policy: Policy, zone: ZoneInfo
) -> None:
    staying = kept(snapshots, policy, zone)
    after = [replace(one, forgotten=one.number not in staying) for one in snapshots]
    assert kept(after, policy, zone) == staying


@given(st.lists(recent, max_size=25).map(sorted), counting, ZONES)
def test_in_order_it_is_idempotent_without_what_was_dropped(
    times: list[int], policy: Policy, zone: ZoneInfo
) -> None:
    snapshots = plain(times)
    staying = kept(snapshots, policy, zone)
    assert kept([one for one in snapshots if one.number in staying], policy, zone) == staying


@given(histories(anything), counting, ZONES)
def test_floor_holds(snapshots: list[Taken], policy: Policy, zone: ZoneInfo) -> None:
    floor = replace(policy, floor=7)
    assert kept(snapshots, Policy(daily=7, floor=0), zone) - _oldest(snapshots) <= kept(
        snapshots, floor, zone
    )


# --- against who forges times


@given(histories(anything, size=15), st.lists(anything, max_size=15), policies, ZONES)
def test_what_is_appended_is_no_worse_than_an_honest_source_that_never_rests(
    history: list[Taken], forged: list[int], policy: Policy, zone: ZoneInfo
) -> None:
    """The rules of time give every snapshot its horizon, whatever is put behind it."""
    attacked = numbered([*history, *(Taken(Commit(0), time) for time in forged)])
    honest = numbered([*history, *(Taken(Commit(0), time) for time in _tireless(history))])
    before = {one.number for one in history}
    newest = {one.number for one in history if not one.forgotten and one.number == len(history)}
    survivors = kept(honest, policy, zone) & before - newest
    assert survivors <= kept(attacked, policy, zone)


@given(
    histories(anything, size=15), st.lists(st.tuples(st.integers(0, 15), anything), max_size=10),
    counting, st.integers(0, 15), ZONES,
)  # fmt: skip
def test_what_was_there_before_does_no_harm(
    history: list[Taken], forged: list[tuple[int, int]], policy: Policy, begin: int, zone: ZoneInfo
) -> None:
    """Forged snapshots, anywhere before some place in the log, drop nothing from there on."""
    mixed: list[Taken] = list(history)
    for place, time in sorted(forged, reverse=True):
        mixed.insert(min(place, begin), Taken(Commit(0), time))
    shift = len(mixed) - len(history)
    later = {one.number for one in history[begin:] if one.number not in _oldest(history)}
    survivors = kept(history, policy, zone) & later
    assert {number + shift for number in survivors} <= kept(numbered(mixed), policy, zone)


@given(
    st.lists(recent, min_size=1, max_size=20).map(sorted), st.lists(anything, max_size=20),
    st.integers(1, 7), ZONES,
)  # fmt: skip
def test_days_of_an_honest_past_survive_everything(
    honest: list[int], forged: list[int], days: int, zone: ZoneInfo
) -> None:
    """Said without a model: the last of a day before the newest, less than N days before now."""
    attacked = plain([*honest, *forged])
    today, newest = _date(NOW, zone), _date(honest[-1], zone)
    last_of_day = {_date(time, zone): number for number, time in enumerate(honest, start=1)}
    safe = {
        number
        for day, number in last_of_day.items()
        if day < newest and (today - day).days < days
    }  # fmt: skip
    assert safe <= kept(attacked, Policy(daily=days, floor=0), zone)


@given(st.lists(recent, max_size=15).map(sorted), st.lists(anything, max_size=15), counting)
def test_forged_pasts_and_futures_change_nothing_at_all(
    honest: list[int], forged: list[int], policy: Policy
) -> None:
    """Appended times that are earlier than the newest, or later than now, push nothing."""
    newest = honest[-1] if honest else -(2**63)
    harmless = [time for time in forged if time < newest or time > NOW]
    before = kept(plain(honest), policy)
    assert before - {len(honest)} <= kept(plain([*honest, *harmless]), policy)


@given(st.lists(recent, min_size=1, max_size=20).map(sorted), st.data())
def test_a_clock_that_jumped_loses_nothing_that_it_took_when_right(
    times: list[int], data: st.DataObject
) -> None:
    """A part of the history gets times years off; each snapshot outside stays as it would."""
    begin = data.draw(st.integers(0, len(times)))
    end = data.draw(st.integers(begin, len(times)))
    offset = data.draw(st.sampled_from([-2, -1, 1, 2])) * 365 * DAY
    jumped = [*times[:begin], *(time + offset for time in times[begin:end]), *times[end:]]
    policy = Policy(daily=3, weekly=2, monthly=2, within=Span(days=2), floor=2)
    right = {*range(1, len(times) + 1)} - {*range(begin + 1, end + 1)} - {1}
    assert kept(plain(times), policy) & right <= kept(plain(jumped), policy)


# --- against a second implementation


@given(st.lists(recent, max_size=25).map(sorted), counting, ZONES)
def test_in_order_it_is_what_the_rules_say(
    times: list[int], policy: Policy, zone: ZoneInfo
) -> None:
    assert kept(plain(times), policy, zone) == _textbook(times, policy, zone)


@given(histories(anything, size=15), counting, ZONES)
def test_any_order_by_the_definition_of_successors(
    snapshots: list[Taken], policy: Policy, zone: ZoneInfo
) -> None:
    assert kept(snapshots, policy, zone) == _by_definition(snapshots, policy, zone)


def _textbook(times: list[int], policy: Policy, zone: ZoneInfo) -> set[int]:
    """One pass from the newest to the oldest for each rule, as backup programs have it."""
    found = {len(times)} if times else set()
    rules = [(count, period, True) for count, period in _rules(policy)]
    for count, period, keeps_oldest in [*rules, (policy.floor, "%Y %j", False)]:
        left, last = count, ""
        for number in range(len(times), 0, -1):
            key = _key(times[number - 1], period, zone) or str(number)
            new = key != last
            if left > 0 and (new or (keeps_oldest and number == 1)):
                found.add(number)
            if new:
                left, last = left - 1, key
    if policy.within is not None and times:
        limit = spans.before(times[-1], policy.within, zone)
        found |= {number for number, time in enumerate(times, start=1) if time > limit}
        found |= {number for number, time in enumerate(times, start=1) if time == times[-1]}
    return found


def _by_definition(snapshots: list[Taken], policy: Policy, zone: ZoneInfo) -> set[int]:
    """Each snapshot with the list of its successors, straight from the text."""
    live = [one for one in snapshots if not one.forgotten]
    found = {one.number for one in live[-1:]}
    oldest = next((one.number for one in live if one.time_ns <= NOW), 0)
    for one in live:
        if one.time_ns > NOW or PIN in one.tags or policy.tags & set(one.tags):
            found.add(one.number)
            continue
        behind = [y.time_ns for y in live if _succeeds(y, one, snapshots)]
        rules = [(count, period, one.number == oldest) for count, period in _rules(policy)]
        for count, period, keeps_oldest in [*rules, (policy.floor, "%Y %j", False)]:
            periods = {
                _key(time, period, zone) or f"{at}" for at, time in enumerate(behind)
            }  # fmt: skip
            is_last = not period or _key(one.time_ns, period, zone) not in periods
            if len(periods) < count and (is_last or keeps_oldest):
                found.add(one.number)
        if policy.within is not None:
            newest = max([*behind, one.time_ns])
            if one.time_ns > spans.before(newest, policy.within, zone) or one.time_ns == newest:
                found.add(one.number)
    return found


def _succeeds(later: Taken, one: Taken, snapshots: list[Taken]) -> bool:
    known = [x for x in snapshots if x.time_ns <= NOW]
    if later.number <= one.number or later.time_ns > NOW:
        return False
    in_order = all(x.time_ns <= later.time_ns for x in known if x.number < later.number)
    between = [x.time_ns for x in known if one.number <= x.number <= later.number]
    return in_order or between == sorted(between)


def _rules(policy: Policy) -> list[tuple[int, str]]:
    return [
        (policy.last, ""),
        (policy.hourly, "%Y %j %H %z"),
        (policy.daily, "%Y %j"),
        (policy.thirds, "%G %V third"),
        (policy.weekly, "%G %V"),
        (policy.monthly, "%Y %m"),
        (policy.yearly, "%Y"),
    ]


def _key(time: int, period: str, zone: ZoneInfo) -> str:
    local = spans.local(time, zone)
    third = {1: "a", 2: "a", 3: "b", 4: "b"}.get(local.isoweekday(), "c")
    return local.strftime(period).replace("third", third)


def _oldest(snapshots: list[Taken]) -> set[int]:
    """The one that is kept as the oldest: that a forger may take this from it is known."""
    return set([one.number for one in snapshots if not one.forgotten and one.time_ns <= NOW][:1])


def _tireless(history: list[Taken]) -> list[int]:
    """Times of a source that goes on from the last one and never rests, until now."""
    known = [one.time_ns for one in history if one.time_ns <= NOW]
    if not known:
        return [NOW]
    begin = known[-1]
    # More of them would fill no rule further: the counts above are small.
    days = range(max(begin, NOW - 3000 * DAY), NOW, DAY)
    hours = range(max(begin, NOW - 3 * DAY), NOW, HOUR)
    newer = {time for time in known if time >= begin}
    return sorted({begin, *days, *hours, *newer, NOW})


def _date(time: int, zone: ZoneInfo) -> date:
    return spans.local(time, zone).date()
