"""What a command begins with before it is even loaded: the derivation of the repository's key.

Only a guess, and harmless if it is wrong: what a command then does goes by its own options.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from snapfs.cli import settings
from snapfs.cli.passphrase import held_and_state
from snapfs.errors import SnapfsError
from snapfs.repository.ahead import HANDOVER, Ahead
from snapfs.repository.state import known_place

_REPOSITORY = ("--repository", "-r")


def begin_derivation(
    repository: str | None, words: Sequence[str], *, question: bool = False
) -> Ahead | None:
    """Derive the key that opened this repository last, if nobody has to be asked for the secret.

    `repository` is what was named before the command, `words` are what follows it. A `question`
    may do without the key, where the secret comes from a file that has opened the repository: then
    the derivation waits until it is wanted.
    """
    if "--help" in words or HANDOVER in os.environ:
        return None
    machine = settings.Machine(os.environ, os.getuid(), Path.home(), Path.cwd())
    try:
        location = settings.location(_named(words) or repository, machine)
        known = known_place(settings.directories(machine), location.store_url)
        if known is None or known.recipe is None:
            return None
        # From here on the passphrase is this one: what it is read from may be a pipe.
        secret, file = held_and_state(settings.passphrase(machine))
    except SnapfsError:
        return None  # the command comes to it in its turn, and says what is wrong
    if secret is None:
        return None
    ahead = Ahead(secret, known.recipe, file=file)
    if not (question and known.opens_with(file)):
        ahead.begin()
    return ahead


def _named(words: Sequence[str]) -> str | None:
    for position, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in _REPOSITORY:
            return value if equals else next(iter(words[position + 1 :]), None)
    return None
