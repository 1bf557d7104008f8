"""`python -m bench.history`: how long questions about a long past take.

A repository of rows alone is made (see `past`), a million files and thirty snapshots unless told
otherwise; then each question is asked as a user asks it (see `asking`).
"""

import argparse
import functools
import tempfile
from contextlib import ExitStack
from pathlib import Path

import trio

from bench import past
from bench.asking import BEFORE, FILE, FIRST, Asker
from bench.measure import say
from snapfs.repository.state import Directories

_FOLDER = "/data/0000/00"
QUESTIONS = (
    ("snapshots",),
    ("ls", f"latest:{_FOLDER}"),
    ("history", FILE),
    ("history", _FOLDER),
    ("find", "document-00000*"),
    ("find", "--ignore-case", "*-0000?0.PDF"),
    ("find", f"{_FOLDER}/**/*.pdf"),
    ("find", "--size", "+50K"),
    ("find", "--size", "+1G"),
    ("find", "--newer", BEFORE),
    ("find", "--type", "d", "--owner", "root"),
    ("find", "--deleted", "*-0000*"),
    ("find", "--any-version", "document-00001*"),
    ("diff", BEFORE, "latest"),
    ("diff", FIRST, "latest", "/data/0000"),
    ("diff", FIRST, "latest"),
    ("du", "latest"),
    ("du", "latest:/data/0000"),
    ("stats",),
    ("stats", "--growth"),
    ("stats", "--each"),
    ("sql", "SELECT path, size FROM files WHERE NOT gone ORDER BY size DESC LIMIT 10"),
    ("sql", "SELECT first, count(*), sum(size) FROM files GROUP BY first"),
)


def main() -> None:
    given = _arguments()
    with ExitStack() as stack:
        folder = given.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="snapfs-history-"))
        )
        place, directories = folder / "repository", Directories(folder / "state", folder / "cache")
        if not place.exists():
            say(f"making {given.files:,} files in {given.snapshots} snapshots")
            place.mkdir(parents=True, mode=0o700)
            (folder / "passphrase").write_text(past.PASSPHRASE)
            make = functools.partial(past.make, files=given.files, snapshots=given.snapshots)
            trio.run(make, place, directories)
        title = f"{given.files:,} files, {given.snapshots} snapshots"
        asker = Asker(place, directories, folder / "passphrase")
        asker.table(QUESTIONS, _FOLDER, given.runs, title)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--snapshots", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3, help="of each question")
    parser.add_argument("--folder", type=Path, help="keep the repository here, or take that one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
