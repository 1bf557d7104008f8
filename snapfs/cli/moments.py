"""Points in time as options take them, in the words of the mount's names."""

from snapfs.errors import UsageError
from snapfs.model import timenames

_HINT = "write 2026-11-03, 2026-11-03T14:30, 2026-11-03T14:30:00+01:00, yesterday, -3d or now"


def last_moment(text: str, now_ns: int) -> int:
    """The last moment that is meant, in nanoseconds: a day's end. Raises UsageError."""
    return _known(timenames.moment(text.removeprefix("@"), now_ns), text)


def first_moment(text: str, now_ns: int) -> int:
    """The first moment that is meant, in nanoseconds: a day's begin. Raises UsageError."""
    return _known(timenames.moment(text.removeprefix("@"), now_ns, begin=True), text)


def _known(moment: int | None, text: str) -> int:
    if moment is None:
        raise UsageError(f"not a time: '{text}'", hint=_HINT)
    return moment
