"""What `find` looks for: patterns of names and paths, sizes, types. Pure."""

import re
import stat
from dataclasses import dataclass
from itertools import takewhile

from snapfs.errors import UsageError
from snapfs.model.sizes import parse_size

TYPES = {
    "f": stat.S_IFREG,
    "d": stat.S_IFDIR,
    "l": stat.S_IFLNK,
    "c": stat.S_IFCHR,
    "b": stat.S_IFBLK,
    "p": stat.S_IFIFO,
    "s": stat.S_IFSOCK,
}
"as find(1) calls them"
_SPECIAL = re.compile(rb"[*?\[]")
_LETTER = re.compile(rb"[A-Za-z]")
_CLASS = re.compile(rb"\[[!^]?\]?[^\]]*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which entries are wanted; None means any."""

    pattern: bytes | None = None
    "of the name, or of the whole path if there is a slash in it"
    ignore_case: bool = False
    "of the letters A to Z"
    types: tuple[int, ...] = ()
    "S_IFREG and so on"
    smallest: int | None = None
    "bytes; what is no file has no size"
    largest: int | None = None
    newer_ns: int | None = None
    "modified after this moment"
    older_ns: int | None = None
    "modified before it"
    owner: str | None = None
    "a user's number, or name as the source's host knew it"
    deleted: bool = False
    "only what the newest snapshot of its source no longer has"
    any_version: bool = False
    "each state that a name ever had, not only its last"

    @property
    def name_pattern(self) -> bytes | None:
        """The pattern of the last name alone, if it says anything about it."""
        last = (self.pattern or b"**").rpartition(b"/")[2]
        return None if last in (b"*", b"**") else last

    @property
    def top(self) -> bytes | None:
        """The directory that everything looked for lies below; None if the pattern names none."""
        if self.pattern is None or not self.pattern.startswith(b"/") or self.ignore_case:
            return None
        steps = self.pattern.split(b"/")[1:-1]
        fixed = list(takewhile(lambda step: not _SPECIAL.search(step), steps))
        return b"/" + b"/".join(fixed) if fixed else None

    @property
    def path_pattern(self) -> re.Pattern[bytes] | None:
        """The pattern of whole paths."""
        if self.pattern is None or b"/" not in self.pattern:
            return None
        return path_pattern(self.pattern, ignore_case=self.ignore_case)


def path_pattern(pattern: bytes, *, ignore_case: bool = False) -> re.Pattern[bytes]:
    """An expression for the paths that a pattern matches from their beginning to their end.

    `*`, `?` and `[…]` stay within one name; `**` as a whole name stands for any number of them. A
    pattern that does not begin with a slash may begin behind any slash.
    """
    text = pattern.removeprefix(b"/") if pattern.startswith(b"/") else b"**/" + pattern
    steps = text.split(b"/")
    parts = [
        rb"(?:/[^/]+)*" if step == b"**" else b"/" + _name_expression(step) for step in steps[:-1]
    ]
    last = steps[-1]
    parts.append(rb"(?:/[^/]+)+" if last == b"**" else b"/" + _name_expression(last))
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else re.NOFLAG)
    return re.compile(b"".join(parts), flags)


def is_open(pattern: str) -> bool:
    """Whether a class in it is not closed: SQLite's GLOB matches nothing then."""
    closed = re.sub(r"\[[!^]?+\]?+[^]]*\]", "", pattern)
    return "[" in closed


def in_any_case(pattern: bytes) -> bytes:
    """A pattern without classes that matches the letters A to Z and a to z alike."""
    return _LETTER.sub(lambda found: b"[" + found[0].lower() + found[0].upper() + b"]", pattern)


def size_bounds(text: str) -> tuple[int | None, int | None]:
    """Smallest and largest size that `+10M` (more than), `-1K` (less than) or `5K` (just) mean.

    Raises UsageError.
    """
    size = parse_size(text[1:] if text[:1] in ("+", "-") else text)
    if text.startswith("+"):
        return size + 1, None
    if text.startswith("-"):
        return None, size - 1
    return size, size


def types_of(letters: str) -> tuple[int, ...]:
    """The types that letters such as `f` or `f,l` stand for. Raises UsageError."""
    wanted = [letter for letter in letters.split(",") if letter]
    unknown = sorted(set(wanted) - set(TYPES))
    if unknown or not wanted:
        raise UsageError(
            f"not a type: '{letters}'", hint=f"types are {', '.join(TYPES)}, with commas between"
        )
    return tuple(TYPES[letter] for letter in wanted)


def _name_expression(step: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < len(step):
        found = _CLASS.match(step, at)
        if found:
            parts.append(_class_expression(found[0]))
            at = found.end()
            continue
        letter = step[at : at + 1]
        # One character of UTF-8, or one byte of what is none.
        one = rb"(?:[\xc2-\xf4][\x80-\xbf]+|[^/])"
        parts.append({b"*": rb"[^/]*", b"?": one}.get(letter, re.escape(letter)))
        at += 1
    return b"".join(parts)


def _class_expression(text: bytes) -> bytes:
    inner = text[1:-1]
    negated = inner[:1] in (b"!", b"^")
    letters = (inner[1:] if negated else inner).replace(b"\\", b"\\\\").replace(b"[", b"\\[")
    letters = letters.replace(b"]", b"\\]").replace(b"&&", b"&\\&").replace(b"||", b"|\\|")
    letters = letters.replace(b"~~", b"~\\~").replace(b"--", b"-\\-").replace(b"^", b"\\^")
    return b"(?!/)[" + (b"^" if negated else b"") + letters + b"]"
