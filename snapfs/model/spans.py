"""Spans of time as people write them, such as 3d or 1y6m, and going back by one."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from snapfs.model.times import EARLIEST_NS, LATEST_NS, NANOSECONDS

_WRITTEN = re.compile(
    r"(?:(?P<years>\d{1,6})y)?(?:(?P<months>\d{1,6})m)?(?:(?P<weeks>\d{1,6})w)?"
    r"(?:(?P<days>\d{1,6})d)?(?:(?P<hours>\d{1,6})h)?"
)
_DAY_NS = 86_400 * NANOSECONDS
_HOUR_NS = 3600 * NANOSECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of the calendar, and hours beyond it. Nothing in it is negative."""

    months: int = 0
    days: int = 0
    hours: int = 0

    def __str__(self) -> str:
        years, months = divmod(self.months, 12)
        parts = ((years, "y"), (months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{count}{unit}" for count, unit in parts if count) or "0h"


def parse_span(text: str) -> Span | None:
    """The span that is written as years, months, weeks, days and hours in this order: 1y2m3w4d5h.

    At least one of them; None for everything else.
    """
    match = _WRITTEN.fullmatch(text) if text.isascii() else None
    if not match or not text:
        return None
    years, months, weeks, days, hours = (int(match[unit] or 0) for unit in _WRITTEN.groupindex)
    return Span(months=12 * years + months, days=7 * weeks + days, hours=hours)


def before(time_ns: int, span: Span, zone: tzinfo | None) -> int:
    """The moment that lies a span before another, in nanoseconds since 1970.

    Months and days go back in the calendar of `zone` (None is the system's) at the same time of
    day: a day is 23 or 25 hours long where clocks are changed. Months first; the 31st becomes the
    last day of a shorter month. A time of day that was skipped then counts on from before the
    change, one that came twice means its first. Hours are hours. Nothing is before the year 1.
    """
    moment = time_ns
    if span.months or span.days:
        whole, rest = divmod(time_ns, NANOSECONDS)
        moment = _calendar_before(whole, span, zone) * NANOSECONDS + rest
    return max(moment - span.hours * _HOUR_NS, EARLIEST_NS)


def local(time_ns: int, zone: tzinfo | None) -> datetime:
    """A moment where the clocks show `zone` (None is the system's); clipped to years 1 to 9999."""
    # A day from either end, so that no zone leads out of the years that datetime knows.
    clipped = min(max(time_ns, EARLIEST_NS + _DAY_NS), LATEST_NS - _DAY_NS)
    return datetime.fromtimestamp(clipped // NANOSECONDS, UTC).astimezone(zone)


def _calendar_before(seconds: int, span: Span, zone: tzinfo | None) -> int:
    here = local(seconds * NANOSECONDS, zone)
    months = 12 * here.year + here.month - 1 - span.months
    year, month = months // 12, months % 12 + 1
    try:
        day = min(here.day, calendar.monthrange(year, month)[1])
        # Naive where the zone is the system's: its offset then may have been another.
        wall = here.replace(year=year, month=month, day=day, tzinfo=zone)
        return int((wall - timedelta(days=span.days)).timestamp())
    except (ValueError, OverflowError):
        return EARLIEST_NS // NANOSECONDS
