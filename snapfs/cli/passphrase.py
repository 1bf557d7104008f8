"""Getting a passphrase: from the environment, a file, a systemd credential, or the terminal."""

import getpass
import os
import signal
import stat
import time
from pathlib import Path

from snapfs.cli.settings import Asked, Given, InFile, SecretSource
from snapfs.errors import UsageError
from snapfs.repository.state import FileState

_SETTLED_NS = 2 * 10**9
"age of a file's last change from which on a further one would leave another time"
_HINT = "set SNAPFS_PASSPHRASE_FILE or SNAPFS_PASSPHRASE, or run it in a terminal"


def obtain(source: SecretSource) -> str:
    """The passphrase that opens a repository. Raises UsageError where there is none."""
    return held(source) or _ask("passphrase of the repository: ")


def held(source: SecretSource) -> str | None:
    """A passphrase for which nobody has to be asked. Raises UsageError where it is unreadable."""
    return held_and_state(source)[0]


def held_and_state(source: SecretSource) -> tuple[str | None, FileState | None]:
    """As `held`, and the state of the file that it was read from, if that is one that lasts."""
    match source:
        case Given(text, name):
            return _check(text, name), None
        case InFile(path):
            text, state = _read(path)
            return _check(text, str(path)), state
        case Asked():
            return None, None


def _lasting(found: os.stat_result) -> FileState | None:
    """Not for a file that changed a moment ago: the clock of a file system is coarse, and a change
    after this might leave the same state behind.
    """
    if not stat.S_ISREG(found.st_mode) or time.time_ns() - found.st_ctime_ns < _SETTLED_NS:
        return None
    return FileState(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )


def obtain_new(source: SecretSource) -> str:
    """A passphrase that is to open a repository from now on; asked for twice.

    Raises UsageError where there is none, or the two differ.
    """
    if known := held(source):
        return known
    first = _ask("new passphrase: ")
    if first != _ask("the same once more: "):
        raise UsageError("the two passphrases differ", hint="nothing was changed; begin again")
    return first


def _read(path: Path) -> tuple[str, FileState | None]:
    """What a file holds, without the newline that editors put at its end, and its state."""
    try:
        with path.open() as file:
            # The state first: it is then no newer than what is read.
            state = _lasting(os.fstat(file.fileno()))
            text = file.read()
    except OSError as error:
        raise UsageError(f"cannot read the passphrase from {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the passphrase in {path} is not UTF-8") from error
    return text.removesuffix("\n").removesuffix("\r"), state


def _check(text: str, where: str) -> str:
    if not text:
        raise UsageError(f"the passphrase in {where} is empty")
    return text


def _ask(prompt: str) -> str:
    """Ask at the terminal, whatever standard input is used for."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise UsageError("no passphrase, and no terminal to ask for it", hint=_HINT) from None
    # An event loop that waits for signals would never see Ctrl-C while this waits for a line.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _check(getpass.getpass(prompt), "the answer")
    except EOFError:
        raise UsageError("no passphrase was given", hint=_HINT) from None
    finally:
        signal.signal(signal.SIGINT, before)
