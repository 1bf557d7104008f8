"""Mounting in the background: the program starts itself once more, and waits until it is ready.

A process that runs an event loop, threads and databases cannot be forked safely, so a second one
is started afresh, in a session of its own. It inherits two pipes: one brings it what unlocks the
repository, by the other it says in one line that it is ready, or why not.

The command does this:

    handover = daemon.inherited()
    if handover is None and not foreground:
        daemon.start([sys.executable, "-m", "snapfs", *sys.argv[1:]], secret=ask, log_file=path)
        return                      # the mount is there
    secret = handover.secret if handover else ask()
    try:
        ... await serve(..., ready=handover.ready if handover else say_so)
    except SnapfsError as error:
        if handover: handover.failed(error)
        raise
"""

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

import msgspec

from snapfs.errors import MountError, SnapfsError
from snapfs.repository.ahead import HANDOVER

log = logging.getLogger(__name__)

VARIABLE = HANDOVER
"of the environment: the descriptors of the two pipes; no secret"
LOG_BYTES = 1024 * 1024
"of a log file; the one before it is kept beside it"
_JOURNAL = "JOURNAL_STREAM"


class _Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The line that the child sends: ready, or an error with its fields."""

    ready: bool = False
    note: str = ""
    error: str = ""
    hint: str = ""
    exit_status: int = 1


@dataclass(slots=True)
class Handover:
    """The child's ends of the pipes. Each outcome is told once."""

    secret: bytes
    _reply: int

    def ready(self, note: str = "") -> None:
        """Tell the one who waits that the mount answers, and what its user should know of it."""
        self._tell(_Outcome(ready=True, note=note))

    def failed(self, error: SnapfsError) -> None:
        """Tell the one who waits why there is no mount."""
        self._tell(_Outcome(error=error.what, hint=error.hint, exit_status=error.exit_status))

    def _tell(self, outcome: _Outcome) -> None:
        if self._reply < 0:
            return
        # Nobody may be waiting any more: the mount goes on all the same.
        with suppress(BrokenPipeError):
            os.write(self._reply, msgspec.json.encode(outcome) + b"\n")
        os.close(self._reply)
        self._reply = -1


def start(command: Sequence[str], *, secret: Callable[[], bytes], log_file: Path) -> str:
    """Start `command` in the background and return once it says that its mount is ready.

    Returns its note, what the user should know of the mount; mostly empty. `secret` is asked for
    once the child is loading, and may take a while.

    What it prints goes to `log_file` (mode 0600, bounded), or to the journal where this process
    writes there already. Raises what the child reports, with its words and exit status, and
    MountError where it ends without a word.
    """
    secret_out, secret_in = os.pipe()
    reply_out, reply_in = os.pipe()
    with _open_log(log_file) as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, pass_fds=(secret_out, reply_in),
            env={**os.environ, VARIABLE: f"{secret_out},{reply_in}"},
        )  # fmt: skip
    os.close(secret_out)
    os.close(reply_in)
    try:
        _send(secret_in, secret())
        with open(reply_out, "rb") as reply:
            line = reply.readline()
    except BaseException:
        # Interrupted: what was to be mounted must not appear later on its own.
        child.send_signal(signal.SIGTERM)
        raise
    return _judge(line, child, log_file)


def inherited() -> Handover | None:
    """What `start` handed to this process; None where it was started otherwise. To be asked once.

    The descriptors are taken out of the environment, so that no program started from here has them.
    """
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    secret_out, reply_in = (int(number) for number in text.split(","))
    os.set_inheritable(reply_in, False)
    with open(secret_out, "rb") as file:
        return Handover(file.read(), reply_in)


def log_to(log_file: Path) -> logging.Handler:
    """Where a background mount logs: a bounded file, or the journal. The caller installs it."""
    handler: logging.Handler
    if _JOURNAL in os.environ:
        handler = logging.StreamHandler()
    else:
        handler = RotatingFileHandler(log_file, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _send(pipe: int, secret: bytes) -> None:
    with suppress(BrokenPipeError), open(pipe, "wb") as file:
        file.write(secret)


def _judge(line: bytes, child: subprocess.Popen[bytes], log_file: Path) -> str:
    """Raise what a reply means, unless it means that the mount is there; then its note."""
    try:
        outcome = msgspec.json.decode(line, type=_Outcome)
    except msgspec.DecodeError:
        raise _died(child, log_file) from None
    if outcome.ready:
        # It is to outlive this process: nobody will wait for it, and Python need not warn of that.
        child.returncode = 0
        return outcome.note
    child.wait()
    error = MountError(outcome.error, hint=outcome.hint)
    error.exit_status = outcome.exit_status
    raise error


def _died(child: subprocess.Popen[bytes], log_file: Path) -> MountError:
    status = child.wait()
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last = _last_line(log_file)
    return MountError(
        f"the program that was to serve the mount {how} before it was ready"
        + (f": {last}" if last else ""),
        hint=f"see {log_file}; --foreground shows all that it says",
    )


def _last_line(log_file: Path) -> str:
    try:
        lines = log_file.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


@contextmanager
def _open_log(path: Path) -> Iterator[int | None]:
    """A descriptor for what the child prints; None, which lets it inherit, under a journal."""
    if _JOURNAL in os.environ:
        yield None
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise MountError(f"{path}: the log cannot be written ({error.strerror})") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
