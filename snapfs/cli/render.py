"""Values as text: times, names, tables, findings. Pure."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from snapfs.model.finding import Finding
from snapfs.model.times import EARLIEST_NS, LATEST_NS, NANOSECONDS

_BOLD = "\x1b[1m"
_PLAIN = "\x1b[0m"
_DAY = 86_400 * NANOSECONDS
SHOWN_FINDINGS = 100
"findings that are printed one by one"
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def local_time(time_ns: int, zone: tzinfo | None = None) -> str:
    """A time to the second where the user is (`zone`, or the system's), with its offset."""
    # A day from either end, so that no zone leads out of the years that datetime knows.
    clipped = min(max(time_ns, EARLIEST_NS + _DAY), LATEST_NS - _DAY)
    moment = datetime.fromtimestamp(clipped // NANOSECONDS, UTC).astimezone(zone)
    return moment.strftime("%4Y-%m-%d %H:%M:%S %z")


def exact_time(time_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds; clipped to the years 1 to 9999."""
    clipped = min(max(time_ns, EARLIEST_NS), LATEST_NS)
    moment = datetime.fromtimestamp(clipped // NANOSECONDS, UTC)
    return moment.strftime("%4Y-%m-%dT%H:%M:%S.") + f"{clipped % NANOSECONDS:09d}Z"


def shown(name: bytes) -> str:
    """A name on one line: control characters, backslashes and what is no UTF-8 are escaped."""
    text = name.decode(errors="surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    octets = character.encode(errors="surrogateescape")
    return "".join(f"\\x{octet:02x}" for octet in octets)


def readable(name: bytes) -> str:
    """A name as a JSON string: its text; bytes that are no UTF-8 become U+FFFD."""
    return name.decode(errors="replace")


def exact(name: bytes) -> str | None:
    """The bytes of a name in base64 where `readable` lost some, else None."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return base64.b64encode(name).decode()
    return None


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), bold: bool
) -> Iterator[str]:
    """Lines of aligned columns; those at the positions `right` are aligned to the right."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for position, line in enumerate(lines):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text = "  ".join(cells).rstrip()
        yield f"{_BOLD}{text}{_PLAIN}" if bold and position == 0 else text


def finding(found: Finding) -> str:
    """One finding on one line."""
    return f"{found.trouble}: {shown(found.path)}: {found.detail}"


def rest_of_findings(listed: int, counts: Mapping[str, int]) -> str | None:
    """What is said instead of the findings beyond the first `listed` ones."""
    total = sum(counts.values())
    if total <= listed:
        return None
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    return f"{total - listed:,} more; in all: {kinds}"


def plural(count: int, noun: str) -> str:
    """A count and its noun, such as 1 file, 2,000 files."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
