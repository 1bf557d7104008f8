"""gitignore patterns against absolute paths, in bytes, as git itself decides.

pathspec translates each pattern into a regular expression. Which pattern decides is done here: the
last one that matches the path itself, directories being asked before what is in them. (pathspec's
own way of deciding knows no walk and guesses about parents: `a/**`, `!a/keep` loses a/keep.)

Paths are matched from the file system's root: `/etc/*.bak` and `etc/*.bak` mean the same place,
and a pattern without a slash before its end matches at any depth.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from snapfs.errors import UsageError

_EVERYTHING = re.compile(rb"\.")
"pathspec's short form for every path"
_ANY_DIRECTORY = re.compile(rb"(?:\(\?:)?/\)?")
"and for every directory"
# Within an expression (brackets as pathspec leaves them), and within a pattern.
_CLASS = re.compile(rb"(\\.|\[\^/\])|(\[\^?\]?[^]]*\])", re.DOTALL)
_BRACKET = re.compile(rb"\\.|(\[[!^]?\]?[^]]*\])", re.DOTALL)
_STRIPPED = b"\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0"
"bytes that pathspec takes for white space at a pattern's end; UTF-8 has two of them within letters"


@dataclass(frozen=True, slots=True)
class _Pattern:
    excludes: bool
    by_name: bool
    "matched against the last component alone"
    regex: bytes


class _Group:
    """Neighbouring patterns that decide alike, as one expression for names and one for paths."""

    __slots__ = ("excludes", "match_name", "match_path")

    def __init__(self, excludes: bool, patterns: Sequence[_Pattern]) -> None:
        self.excludes = excludes
        self.match_name = _union(p.regex for p in patterns if p.by_name)
        self.match_path = _union(p.regex for p in patterns if not p.by_name)


class Patterns:
    """A list of patterns, ready to be asked."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Raises UsageError for a pattern that cannot match anything or is not understood."""
        parsed = [pattern for line in lines if (pattern := _parse(line)) is not None]
        self._groups = [
            _Group(excludes, list(group))
            for excludes, group in groupby(parsed, key=lambda pattern: pattern.excludes)
        ]
        self._groups.reverse()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def excludes(self, path: bytes, is_directory: bool) -> bool:
        """Whether the last pattern that matches this absolute path excludes it.

        The path's parents are taken to be included: whoever walks does not enter excluded ones.
        """
        subject = path[1:] + b"/" if is_directory else path[1:]
        name = subject[path.rfind(b"/") :]
        for group in self._groups:
            if group.match_name is not None and group.match_name.fullmatch(name):
                return group.excludes
            if group.match_path is not None and group.match_path.fullmatch(subject):
                return group.excludes
        return False


def read_patterns(data: bytes) -> list[bytes]:
    """The lines of a file of patterns, as git takes it: a byte order mark and CRs are dropped."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines]


def _union(regexes: Iterable[bytes]) -> re.Pattern[bytes] | None:
    joined = b"|".join(regexes)
    return _compile(joined) if joined else None


def _compile(regex: bytes) -> re.Pattern[bytes]:
    with warnings.catch_warnings():
        # Python plans set operations within brackets; as of now they are plain characters.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(regex, re.DOTALL)


def _parse(line: bytes) -> _Pattern | None:
    body = _trim(line)
    if not body or body.startswith(b"#") or body == b"/":
        return None
    excludes = not body.startswith(b"!")
    if not excludes:
        body = body[1:]
    by_name = b"/" not in body[:-1]
    _refuse_odd_classes(line, body)
    return _Pattern(excludes, by_name, _translate(line, _spell(body, by_name)))


def _trim(line: bytes) -> bytes:
    """The line without the spaces at its end; a backslash before one keeps it."""
    bare = line.rstrip(b" ")
    escaped = (len(bare) - len(bare.rstrip(b"\\"))) % 2 == 1
    return bare + b" " if escaped and len(bare) < len(line) else bare


def _spell(body: bytes, by_name: bool) -> bytes:
    """The same pattern in words that pathspec takes as git does."""
    if body[-1:] in _STRIPPED:
        head = body[:-1]
        if (len(head) - len(head.rstrip(b"\\"))) % 2 == 1:
            head = head[:-1]
        body = head + b"[" + body[-1:] + b"]"
    if by_name:
        return b"/" + body
    # `a/**` is all that is in a, but not a itself.
    if body.endswith(b"/**"):
        return body + b"/*"
    if body.endswith(b"/**/"):
        return body + b"*/"
    return body if body.startswith(b"/") else b"/" + body


def _refuse_odd_classes(line: bytes, body: bytes) -> None:
    for bracket in _BRACKET.findall(body):
        if b"[:" in bracket or b"\\" in bracket:
            raise _bad(line, "give the characters in brackets one by one, without \\ and [:name:]")


def _translate(line: bytes, pattern: bytes) -> bytes:
    try:
        regex, include = GitIgnoreSpecPattern.pattern_to_regex(pattern)
        if regex is None or include is None:
            raise _bad(line, "it can match nothing: is a bracket not closed?")
        regex = regex.replace(b"(?P<ps_d>", b"(?:")
        if _EVERYTHING.fullmatch(regex):
            return b".+"
        if _ANY_DIRECTORY.fullmatch(regex):
            return b".+/"
        regex = _CLASS.sub(_no_slash, regex)
        _compile(regex)
    except (ValueError, re.error) as error:
        raise _bad(line, str(error)) from error
    return regex


def _no_slash(match: re.Match[bytes]) -> bytes:
    """A bracket never matches a slash in git; a negated one would in a regular expression."""
    return match[1] or b"(?!/)" + match[2]


def _bad(line: bytes, why: str) -> UsageError:
    text = line.decode(errors="backslashreplace")
    return UsageError(f"cannot use the pattern {text!r}", hint=why)
