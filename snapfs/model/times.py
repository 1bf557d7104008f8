"""Points in time as text: directory names in the mount, and what people type."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

NANOSECONDS = 1_000_000_000
EARLIEST_NS = -62_135_596_800 * NANOSECONDS
"the year 1"
LATEST_NS = 253_402_300_799 * NANOSECONDS
"the end of 9999"
_STAMP = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
)


def directory_name(time_ns: int) -> str:
    """A snapshot's directory name: its time in UTC to the second, such as 2026-11-20T041303Z."""
    return _utc(time_ns).strftime("%4Y-%m-%dT%H%M%SZ")


def iso(time_ns: int) -> str:
    """RFC 3339 in UTC to the second, for JSON and messages."""
    return _utc(time_ns).strftime("%4Y-%m-%dT%H:%M:%SZ")


def parse(text: str, now_ns: int, zone: tzinfo | None = None, *, begin: bool = False) -> int | None:
    """The moment that a user means, in nanoseconds since 1970, or None where it is no time.

    `2026-11-03`, `2026-11-03T14:30`, `2026-11-03 14:30:05`, with `Z` or `+01:00` behind; also a
    directory name of the mount; `now`. What is left open is filled up to its end: a day means its
    last moment, a minute its last; with `begin` its first. Without a zone it is local time (`zone`,
    or the system's).
    """
    if text == "now":
        return now_ns
    match = _STAMP.fullmatch(text)
    if not match:
        return None
    try:
        first = _local(match, zone)
        # The first and the last day may lie outside of what can be told in another zone.
        meant = first if begin else first + _open_span(match)
        seconds = int(meant.timestamp())
    except (ValueError, OverflowError):
        return None
    fraction = (match["fraction"] or "").ljust(9, "0") if match["second"] else "0"
    whole = seconds * NANOSECONDS + int(fraction)
    return whole if match["fraction"] or begin else whole + NANOSECONDS - 1


def _local(match: re.Match[str], zone: tzinfo | None) -> datetime:
    year, month, day, hour, minute, second = (
        int(match[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    # Without any zone it stays naive: only then is its end reckoned by the system's own rules,
    # on days too on which the clocks change.
    return datetime(year, month, day, hour, minute, second, tzinfo=_zone(match["zone"]) or zone)


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def _open_span(match: re.Match[str]) -> timedelta:
    """Whole seconds from the moment that was written to the last one that it can mean."""
    if match["second"]:
        return timedelta(0)
    if match["minute"]:
        return timedelta(seconds=59)
    return timedelta(hours=23, minutes=59, seconds=59)


def _utc(time_ns: int) -> datetime:
    clipped = min(max(time_ns, EARLIEST_NS), LATEST_NS)
    return datetime.fromtimestamp(clipped // NANOSECONDS, UTC)
