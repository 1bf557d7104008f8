"""Retention: which snapshots of one source are kept, why, and which are dropped. Pure.

The rules are the usual ones. "Daily 7" keeps, of the 7 newest days that have a snapshot, the last
snapshot of each; hours, weeks (ISO), months and years likewise, where the clocks show the zone that
is given. "Last 5" keeps the 5 newest. "Within 7d" keeps what is less than 7 days older than the
newest. What any rule keeps is kept. While a rule has room left, the oldest snapshot is kept, too.

WHO IS NEWER. A snapshot's time is what its host said. A clock may jump, and a thief with a host's
keys may write any time. The log's order is the one thing that nobody can forge. So a snapshot is
pushed out (counted against, replaced in its period, made older than a span) by its successors
alone. A successor comes behind it in the log and is not from the future, and one of these holds:

- it is *in order*: no snapshot before it in the log has a later time; or
- from the one to the other no time in the log steps back: they are of one *run*.

(Snapshots from the future are passed over in both; forgotten ones are not.) Either way its time is
not earlier. Where all times are in order this is plain "newer". Where they are not:

- A snapshot that is put behind others with an earlier time than theirs is not their successor.
  Forging a better last snapshot for each day of the past replaces none of them.
- Whatever is put behind a snapshot is no worse for it than an honest source which goes on from the
  last one and takes snapshots without end until now. It has the horizon of each rule of time.
- Whatever is put *before* a snapshot does it no harm at all (but that it may cease to be the
  oldest): it can only stop others from being its successors.
- Snapshots from the future are kept until their time comes, and push nothing. When it comes, those
  that were taken meanwhile have stepped back behind it: they are a run of their own, and push each
  other as always. A clock that had jumped back begins a run likewise.

So doubtful times make retention keep more, never less. What they keep beyond measure goes once
snapshots that are in order have filled each rule's horizon. Rules that count snapshots ("last")
give no protection: who can write can write many. The floor is a rule of days for this reason.

Whatever the policy says, these are kept: the newest by the log's order; each with the tag "pin";
those from the future; and, unless the policy has no floor, the last of each of the newest days that
have a snapshot. Days with a snapshot, not days before now: the clock of the machine that decides
may be wrong as well.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from snapfs.model import spans
from snapfs.model.identity import Commit
from snapfs.model.spans import Span
from snapfs.model.taken import Taken

PIN = "pin"
"snapshots with this tag are not dropped"
FLOOR = 7
"days"
UNLIMITED = 2**62
"a count that is never reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is to be kept. Each count is of periods that have a snapshot; 0 means no such rule."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    thirds: int = 0
    "thirds of a week: Monday and Tuesday, Wednesday and Thursday, Friday to Sunday"
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Span | None = None
    tags: frozenset[str] = frozenset()
    "snapshots with any of them are kept"
    floor: int = FLOOR
    "days that keep their last snapshot whatever the rules say"

    @property
    def has_rules(self) -> bool:
        """Whether it says anything beyond the floor."""
        return bool(self.within or self.tags) or any(rule.count for rule in _rules(self))


PRESETS = {"standard": Policy(within=Span(days=7), thirds=9, weekly=8, monthly=12)}
"""`standard`: all of 7 days, 3 a week for 3 weeks, 1 a week for 8 weeks, 1 a month for 12 months"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that stays."""

    number: Commit
    reasons: tuple[str, ...]
    "at least one, in words"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the snapshots of one source; each part in order of the log."""

    kept: tuple[Kept, ...]
    dropped: tuple[Commit, ...]
    future: frozenset[Commit]
    "those whose time has not come"
    stepped_back: frozenset[Commit]
    "those whose time is earlier than that of one before them in the log"


def thin(
    snapshots: Sequence[Taken], policy: Policy, now_ns: int, zone: tzinfo | None = None
) -> Decision:
    """Decide about all complete snapshots of one source, given in order of the log.

    Forgotten ones belong among them: without them a forged time would in the end seem to be in
    order. They are neither kept nor dropped, and push nothing. `zone` says where days begin and
    end; None is the system's.
    """
    runs = _runs(snapshots, now_ns, zone)
    reasons: dict[Commit, list[str]] = {one.number: [] for one in snapshots if not one.forgotten}
    for number, reason in _unconditional(snapshots, policy, now_ns):
        reasons[number].append(reason)
    for number, reason in _by_rules(runs, policy, zone):
        reasons[number].append(reason)
    for number, _ in _periodic(runs, _Rule("floor", policy.floor, _day), oldest=None):
        if not reasons[number]:
            reasons[number].append("floor")
    return Decision(
        kept=tuple(Kept(number, tuple(found)) for number, found in reasons.items() if found),
        dropped=tuple(number for number, found in reasons.items() if not found),
        future=frozenset(
            one.number for one in snapshots if one.time_ns > now_ns and not one.forgotten
        ),
        stepped_back=frozenset(
            placed.taken.number
            for run in runs
            for placed in run
            if not placed.in_order and not placed.taken.forgotten
        ),
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A snapshot, not from the future, with what its place in the log says of its time."""

    taken: Taken
    local: datetime
    in_order: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    """Keep the last snapshot of each of the newest `count` periods."""

    name: str
    count: int
    period: Callable[[_Placed], Hashable]


@dataclass(frozen=True, slots=True)
class _Successors:
    """The successors of a snapshot, as far as a rule wants to know: their periods."""

    periods: int = 0
    earliest: Hashable = None


def _runs(snapshots: Sequence[Taken], now_ns: int, zone: tzinfo | None) -> list[list[_Placed]]:
    """The snapshots that are not from the future, in runs whose times do not step back."""
    runs: list[list[_Placed]] = []
    latest = previous = None
    for taken in snapshots:
        if taken.time_ns > now_ns:
            continue
        if previous is None or taken.time_ns < previous:
            runs.append([])
        previous = taken.time_ns
        latest = previous if latest is None else max(latest, previous)
        runs[-1].append(_Placed(taken, spans.local(previous, zone), previous == latest))
    return runs


def _unconditional(
    snapshots: Sequence[Taken], policy: Policy, now_ns: int
) -> Iterator[tuple[Commit, str]]:
    live = [one for one in snapshots if not one.forgotten]
    for one in live:
        if one is live[-1]:
            yield one.number, "newest"
        if PIN in one.tags:
            yield one.number, "pinned"
        if one.time_ns > now_ns:
            yield one.number, "its time is in the future"
        for tag in sorted(policy.tags.intersection(one.tags)):
            yield one.number, f"tag {tag}"


def _by_rules(
    runs: Sequence[Sequence[_Placed]], policy: Policy, zone: tzinfo | None
) -> Iterator[tuple[Commit, str]]:
    live = (placed.taken for run in runs for placed in run if not placed.taken.forgotten)
    first = next(live, None)
    oldest = first.number if first else None
    if policy.within is not None:
        for number in _within(runs, policy.within, zone):
            yield number, f"within {policy.within}"
    for rule in _rules(policy):
        for number, is_last in _periodic(runs, rule, oldest=oldest):
            yield number, rule.name if is_last else f"oldest while {rule.name} has room"


def _rules(policy: Policy) -> tuple[_Rule, ...]:
    return (
        _Rule("last", policy.last, _itself),
        _Rule("hourly", policy.hourly, _hour),
        _Rule("daily", policy.daily, _day),
        _Rule("third of a week", policy.thirds, _third),
        _Rule("weekly", policy.weekly, _week),
        _Rule("monthly", policy.monthly, _month),
        _Rule("yearly", policy.yearly, _year),
    )


def _periodic(
    runs: Iterable[Sequence[_Placed]], rule: _Rule, *, oldest: Commit | None
) -> Iterator[tuple[Commit, bool]]:
    """What a rule keeps, and whether as the last of its period, not only as the oldest of all.

    It goes backwards, so that the successors of a snapshot are known when it is looked at.
    """
    in_order = _Successors()
    for run in reversed(list(runs)):
        within_run = in_order
        for placed in reversed(run):
            if placed.taken.forgotten:
                continue
            period = rule.period(placed)
            is_last = within_run.periods == 0 or period != within_run.earliest
            if within_run.periods < rule.count and (is_last or placed.taken.number == oldest):
                yield placed.taken.number, is_last
            if is_last:
                within_run = _Successors(within_run.periods + 1, period)
            if placed.in_order:
                in_order = within_run  # those in order are a run's end: no other is in it yet


def _within(runs: Iterable[Sequence[_Placed]], span: Span, zone: tzinfo | None) -> Iterator[Commit]:
    """What is younger than `span`, seen from its newest successor; what has none is."""
    newest_in_order: int | None = None
    for run in reversed(list(runs)):
        newest = newest_in_order
        for placed in reversed(run):
            taken = placed.taken
            if taken.forgotten:
                continue
            newest = taken.time_ns if newest is None else newest
            if taken.time_ns > spans.before(newest, span, zone) or taken.time_ns == newest:
                yield taken.number
            if placed.in_order:
                newest_in_order = newest


def _itself(placed: _Placed) -> Hashable:
    return placed.taken.number


def _hour(placed: _Placed) -> Hashable:
    # With the offset: where clocks are set back the same hour comes twice, and is two.
    local = placed.local
    return (local.date(), local.hour, local.utcoffset())


def _day(placed: _Placed) -> Hashable:
    return placed.local.date()


def _third(placed: _Placed) -> Hashable:
    year, week, weekday = placed.local.isocalendar()
    return (year, week, min((weekday - 1) // 2, 2))


def _week(placed: _Placed) -> Hashable:
    return placed.local.isocalendar()[:2]


def _month(placed: _Placed) -> Hashable:
    return (placed.local.year, placed.local.month)


def _year(placed: _Placed) -> Hashable:
    return placed.local.year
