"""What a start loads: a program that is run often must not begin with what it does not need."""

import subprocess
import sys

import pytest

from tests.cli.running import Snapfs

_LOADED = (
    "import sys; sys.argv[1:] = {words!r}\n"
    "from snapfs.cli.main import main\n"
    "try: main()\n"
    "finally: print(*sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
)
_HEAVY = {"boto3", "botocore", "rich", "pyfuse3", "pathspec"}


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["--version"], _HEAVY | {"trio", "apsw", "msgspec", "cryptography"}),
        (["--help"], _HEAVY | {"trio", "apsw", "msgspec", "cryptography"}),
        (["snapshots"], _HEAVY),
        (["key", "list"], _HEAVY),
    ],
)
def test_only_what_is_needed_is_loaded(
    snapfs: Snapfs, words: list[str], unwanted: set[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(words=words)], env=snapfs.environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stderr.split())
    assert "click" in loaded
    assert not loaded & unwanted


def test_the_derivation_begins_before_the_libraries_are_loaded() -> None:
    code = "import sys, snapfs.cli.early; print({'trio', 'apsw', 'boto3'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_nothing_is_looked_through_at_the_end() -> None:
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "sys.argv[1:] = ['--version']\n"
        "from snapfs.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True\n")
