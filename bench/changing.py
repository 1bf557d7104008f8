"""A tree of files that changes a little every day, and remembers what it was on each of them."""

import os
import random
import shutil
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

DIGEST = 16
"bytes of the digest of a content"
_IN_FOLDER = 50
_LARGE = 4 * 1024 * 1024
_PER_LARGE = 1000
"small files for each large one"
_REGION = 16 * 1024
"bytes of a large file that are written anew at once"
_WORDS = tuple(f"word{number:x}".encode() for number in range(4096))


@dataclass(frozen=True, slots=True)
class State:
    """A file as it was."""

    digest: bytes
    size: int
    mtime_ns: int
    mode: int


Changes = dict[bytes, State | None]
"what has changed by path; None for what is gone"


@dataclass(slots=True)
class ChangingTree:
    """Files below `root`. Paths are relative to it."""

    root: Path
    chance: random.Random
    files: dict[bytes, State] = field(default_factory=dict)
    days: list[Changes] = field(default_factory=list)
    _large: list[bytes] = field(default_factory=list)
    _made: int = 0
    _changes: Changes = field(default_factory=dict)

    def populate(self, count: int) -> None:
        """The first day: so many small files, and some large ones."""
        for _ in range(count):
            self._add()
        for number in range(max(1, count // _PER_LARGE)):
            path = b"large/%d" % number
            self._large.append(path)
            self._write(path, self.chance.randbytes(_LARGE))
        self._end_day()

    def live(self) -> None:
        """Another day: of 1,000 files 10 change, 3 come and 2 to 3 go; each week a folder moves."""
        names = list(self.files.keys() - set(self._large))
        few = max(1, len(names) // 1000)
        picked = self.chance.sample(names, min(len(names), 13 * few))
        for path in picked[: 3 * few]:
            self._write(path, self._bytes(path) + self._text(200))
        for path in picked[3 * few : 10 * few]:
            self._write(path, self._content())
        for path in picked[10 * few : 12 * few + few * (len(self.days) % 2)]:
            self._remove(path)
        for _ in range(3 * few):
            self._add()
        for path in self.chance.sample(self._large, max(1, len(self._large) // 4)):
            self._overwrite(path)
        if len(self.days) % 7 == 3:
            self._move_folder()
        self._end_day()

    def as_on(self, day: int) -> dict[bytes, State]:
        """All files as they were at the end of a day."""
        found: dict[bytes, State] = {}
        for changes in self.days[: day + 1]:
            for path, state in changes.items():
                if state is None:
                    found.pop(path, None)
                else:
                    found[path] = state
        return found

    def _end_day(self) -> None:
        self.days.append(self._changes)
        self._changes = {}

    def _add(self) -> None:
        self._made += 1
        number = self._made
        self._write(
            b"d%d/e%d/f%d" % (number // 2500, number // _IN_FOLDER, number), self._content()
        )

    def _write(self, path: bytes, data: bytes) -> None:
        full = self._full(path)
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)
        self._note(path, data)

    def _overwrite(self, path: bytes) -> None:
        data = bytearray(self._bytes(path))
        at = self.chance.randrange(len(data) - _REGION)
        data[at : at + _REGION] = self.chance.randbytes(_REGION)
        self._write(path, bytes(data))

    def _remove(self, path: bytes) -> None:
        self._full(path).unlink()
        del self.files[path]
        self._changes[path] = None

    def _move_folder(self) -> None:
        folder = self.chance.choice([path for path in self.files if path[:1] == b"d"])
        old = folder.rpartition(b"/")[0]
        new = b"moved/%d" % self._made
        self._full(new).parent.mkdir(exist_ok=True)
        shutil.move(self._full(old), self._full(new))
        for path in [path for path in self.files if path.startswith(old + b"/")]:
            moved = new + path[len(old) :]
            self.files[moved] = self._changes[moved] = self.files.pop(path)
            self._changes[path] = None

    def _note(self, path: bytes, data: bytes) -> None:
        status = self._full(path).lstat()
        digest = blake2b(data, digest_size=DIGEST).digest()
        state = State(digest, len(data), status.st_mtime_ns, status.st_mode)
        self.files[path] = self._changes[path] = state

    def _bytes(self, path: bytes) -> bytes:
        return self._full(path).read_bytes()

    def _full(self, path: bytes) -> Path:
        return self.root / os.fsdecode(path)

    def _content(self) -> bytes:
        """Some kilobytes, of text or of what does not compress."""
        size = min(200_000, int(self.chance.lognormvariate(8, 1.2)))
        return self._text(size) if self.chance.random() < 0.6 else self.chance.randbytes(size)

    def _text(self, size: int) -> bytes:
        return b" ".join(self.chance.choices(_WORDS, k=size // 8 + 1))[:size]
