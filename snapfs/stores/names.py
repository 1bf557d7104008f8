"""The rule for names of objects, which keeps a name from leading out of its store."""

import re

_COMPONENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")


def is_name(text: str) -> bool:
    """Whether an object can be called so. A single component is a name, too."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> str:
    """Return the name unchanged.

    Raises ValueError: names are made by this program, so a wrong one is its own mistake.
    """
    if not is_name(name):
        raise ValueError(f"not a name of an object: {name!r}")
    return name


def check_range(start: int, length: int | None) -> None:
    """Raises ValueError where no object could hold the range."""
    if start < 0 or (length is not None and length < 1):
        raise ValueError(f"not a range: start {start}, length {length}")
