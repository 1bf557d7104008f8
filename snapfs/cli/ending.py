"""How a run ends: what is said on standard error, and the exit status.

0 done · 1 failed · 2 usage · 3 done with findings · 10 no repository · 11 store failed ·
12 wrong passphrase · 130 interrupted · 141 nobody reads the output any more
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType

import click

from snapfs.cli.options import Globals
from snapfs.errors import SnapfsError, StoreUnavailableError

WITH_FINDINGS = 3
INTERRUPTED = 130
UNREAD = 141
"what a shell shows of a program that a closed pipe has ended"

_UNREACHABLE = "check the network and AWS_ENDPOINT_URL; -v shows each try"

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]


class UnreadError(Exception):
    """Nobody reads standard output any more. click would make a failure of a BrokenPipeError."""


def failed(error: SnapfsError, given: Globals) -> int:
    """Say what failed and what to do next."""
    if given.verbosity:
        traceback.print_exception(error)
    hint = error.hint or (_UNREACHABLE if isinstance(error, StoreUnavailableError) else "")
    _say(error.what, hint, error.exit_status, given)
    return error.exit_status


def refused(error: click.ClickException, given: Globals) -> int:
    """Say what is wrong with the command line."""
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see '{error.ctx.command_path} --help'"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
    else:
        _say(error.format_message(), hint, error.exit_code, given)
    return error.exit_code


def interrupted(given: Globals) -> int:
    """Say that the run was ended from outside."""
    _say("interrupted", "", INTERRUPTED, given)
    return INTERRUPTED


def unread() -> int:
    """End quietly: whoever read our output has left."""
    # Python flushes once more when it exits, and must not find the broken pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD


def grouped(group: BaseExceptionGroup[BaseException], given: Globals) -> int:
    """End for what several tasks raised, if all of it is for the user; else raise it again."""
    leaves = list(_leaves(group))
    if any(isinstance(leaf, KeyboardInterrupt | click.Abort) for leaf in leaves):
        return interrupted(given)
    if all(isinstance(leaf, BrokenPipeError | UnreadError) for leaf in leaves):
        return unread()
    error = known(group)
    if error is None:
        raise group
    return failed(error, given)


def known(error: BaseException) -> SnapfsError | None:
    """The first error that is for the user, if nothing else was raised."""
    leaves = list(_leaves(error))
    ours = [leaf for leaf in leaves if isinstance(leaf, SnapfsError)]
    return ours[0] if len(ours) == len(leaves) else None


def excepthook(given: Globals) -> Hook:
    """For what nobody foresaw: one line, and the traceback for those who ask for it."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if given.verbosity:
            traceback.print_exception(kind, error, trace)
        first = next(_leaves(error))
        _say(
            f"unexpected {type(first).__name__}: {first}",
            "this is a fault in snapfs; run it again with -v to see where, and report it",
            1,
            given,
        )

    return hook


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for within in error.exceptions:
            yield from _leaves(within)
    else:
        yield error


def _say(what: str, hint: str, status: int, given: Globals) -> None:
    if given.json:
        text = json.dumps({"error": what, "hint": hint, "exit_status": status})
    else:
        text = f"snapfs: {what}" + (f"\n  {hint}" if hint else "")
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)
