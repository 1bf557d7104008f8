"""Names that mean a snapshot by its time or tag: @yesterday, @-3d, @2026-11-03. Pure.

They are resolved in a source's directory of the mount, and listed nowhere:

    @latest                       the newest snapshot, by the order of the log
    @yesterday                    as of the end of yesterday
    @-3d                          as of three days ago at this time of day; h d w m y, also 1y6m
    @2026-11-03                   as of the end of that day
    @2026-11-03T14:30             as of the end of that minute; with seconds, of that second
    @2026-11-03T14:30+01:00       in that zone, else in the mount's; Z is UTC
    @2026-11-03T143000Z           a directory's name with @ means that snapshot or one before
    @now                          not later than now
    @GMT-2026.11.03-14.30.00      as Windows and Samba write it, in UTC
    @tag:NAME                     the newest with this tag, by the order of the log

"As of" means the newest snapshot whose time is not later; of equal times the later in the log.
Where times and log disagree the times decide, because a time was asked for: a snapshot from the
future is found by @latest, @tag and a time that is as late, and by no other name.
"""

import re
from collections.abc import Sequence
from datetime import timedelta, tzinfo

from snapfs.model import spans, times
from snapfs.model.identity import Commit
from snapfs.model.taken import Taken

_TAG = "tag:"
_SAMBA = re.compile(r"GMT-(\d{4})\.(\d\d)\.(\d\d)-(\d\d)\.(\d\d)\.(\d\d)", re.ASCII)


def tag(name: str) -> str | None:
    """The tag that a name asks for; None where it asks for a time."""
    text = name.removeprefix("@")
    return text.removeprefix(_TAG) if text != name and text.startswith(_TAG) else None


def resolve(
    name: str, now_ns: int, snapshots: Sequence[Taken], zone: tzinfo | None = None
) -> Commit | None:
    """The snapshot that a name means, or None where it is no such name or there is none.

    `snapshots` are complete ones of one source in order of the log; forgotten ones do not count.
    Without a zone, times are the system's.
    """
    live = [snapshot for snapshot in snapshots if not snapshot.forgotten]
    text = name.removeprefix("@")
    if text == name:
        return None
    if text == "latest":
        return live[-1].number if live else None
    if text.startswith(_TAG):
        tag = text.removeprefix(_TAG)
        return max((one.number for one in live if tag in one.tags), default=None)
    until = moment(text, now_ns, zone)
    if until is None:
        return None
    found = [(one.time_ns, one.number) for one in live if one.time_ns <= until]
    return max(found)[1] if found else None


def moment(
    text: str, now_ns: int, zone: tzinfo | None = None, *, begin: bool = False
) -> int | None:
    """The last moment that a name without its @ means, in nanoseconds, or with `begin` the first.

    None if it is no time.
    """
    if text == "yesterday":
        day = spans.local(now_ns, zone).date() - timedelta(days=1)
        return times.parse(day.isoformat(), now_ns, zone, begin=begin)
    if text.startswith("-"):
        span = spans.parse_span(text[1:])
        return None if span is None else spans.before(now_ns, span, zone)
    if match := _SAMBA.fullmatch(text):
        year, month, day_of_month, hour, minute, second = match.groups()
        text = f"{year}-{month}-{day_of_month}T{hour}:{minute}:{second}Z"
    return times.parse(text, now_ns, zone, begin=begin)
