"""Writing results to standard output and findings to standard error."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from snapfs.cli import render
from snapfs.cli.ending import UnreadError
from snapfs.cli.options import Globals
from snapfs.model.finding import Finding


class FindingJson(msgspec.Struct, omit_defaults=True):
    """A finding on standard error under --json."""

    finding: str
    path: str
    detail: str
    path_base64: str | None = None


def say(text: str) -> None:
    """A line of text on standard output."""
    _write(text.encode(errors="backslashreplace").decode())


def say_json(value: object) -> None:
    """A value as one line of JSON on standard output."""
    _write(msgspec.json.encode(value, enc_hook=_encode).decode())


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def report_findings(found: Sequence[Finding], counts: Mapping[str, int], given: Globals) -> None:
    """The first findings, one on each line of standard error; the rest by kind."""
    sys.stdout.flush()
    listed = found[: render.SHOWN_FINDINGS]
    for finding in listed:
        print(_finding_json(finding) if given.json else render.finding(finding), file=sys.stderr)
    rest = render.rest_of_findings(len(listed), counts)
    if rest and not given.json:
        print(rest, file=sys.stderr)


def _finding_json(found: Finding) -> str:
    value = FindingJson(
        found.trouble, render.readable(found.path), found.detail, render.exact(found.path)
    )
    return msgspec.json.encode(value).decode()


def _write(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
    except BrokenPipeError as error:
        raise UnreadError from error


def _encode(value: object) -> Any:  # the type that msgspec asks for
    raise TypeError(f"{type(value).__name__} has no form in JSON")
