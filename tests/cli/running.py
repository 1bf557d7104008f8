"""Running the real program, with an environment that holds nothing of this machine's."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
PASSPHRASE = "a passphrase with a ü and spaces"
WITHIN = 30.0
"seconds that a program may take to do what a test waits for"


@dataclass(frozen=True, slots=True)
class Done:
    """What a run left."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def json(self) -> Any:
        """The one JSON value that standard output holds."""
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


@dataclass(slots=True)
class Snapfs:
    """The program on one machine: a home, a repository, a passphrase."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    "a command that runs it, such as one that makes it another user's"

    def __post_init__(self) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONPATH": str(PROJECT),
            "SNAPFS_STATE_DIR": str(self.home / "state"),
            "SNAPFS_CACHE_DIR": str(self.home / "cache"),
            "SNAPFS_REPOSITORY": str(self.home / "repository"),
            "SNAPFS_PASSPHRASE": PASSPHRASE,
            **self.environment,
        }

    @property
    def repository(self) -> Path:
        return Path(self.environment["SNAPFS_REPOSITORY"])

    def __call__(
        self, *words: str | bytes | Path, status: int = 0, stdin: bytes = b"", **changes: str | None
    ) -> Done:
        """Run to the end, and see it end with this status. `changes` are of the environment."""
        done = subprocess.run(
            self._command(words), env=self._changed(changes), cwd=self.home, input=stdin,
            capture_output=True, check=False, timeout=60, start_new_session=True,
        )  # fmt: skip
        stderr = done.stderr.decode(errors="surrogateescape")
        assert done.returncode == status, f"status {done.returncode}: {stderr}"
        return Done(done.returncode, done.stdout, stderr)

    @contextmanager
    def start(self, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run it beside the test, with pipes; it is gone when the block ends."""
        with subprocess.Popen(
            self._command(words), env=self.environment, cwd=self.home, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as running:  # fmt: skip
            try:
                yield running
            finally:
                running.kill()

    def at_terminal(self, *words: str, answers: Sequence[str] = (), **changes: str | None) -> Done:
        """Run with a terminal for everything, and type an answer, newline included, per prompt."""
        pid, terminal = pty.fork()
        if pid == 0:  # pragma: no cover
            os.chdir(self.home)
            os.execvpe(sys.executable, self._command(words), self._changed(changes))
        output = _converse(terminal, list(answers))
        os.close(terminal)
        _, waited = os.waitpid(pid, 0)
        return Done(os.waitstatus_to_exitcode(waited), output, "")

    def with_repository(self, made: Path) -> "Snapfs":
        """Give it a copy of a repository."""
        shutil.copytree(made, self.repository)
        return self

    def _command(self, words: Sequence[str | bytes | Path]) -> list[str | bytes | Path]:
        return [*self.prefix, sys.executable, "-m", "snapfs.cli.main", *words]

    def _changed(self, changes: dict[str, str | None]) -> dict[str, str]:
        together = {**self.environment, **changes}
        return {name: value for name, value in together.items() if value is not None}


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another process brings about."""
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def damage_pack(repository: Path) -> None:
    """Change a byte in the middle of the repository's only pack."""
    (pack,) = (repository / "packs").rglob("*/*")
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)


def _converse(terminal: int, answers: list[str]) -> bytes:
    output = b""
    while True:
        assert select.select([terminal], [], [], WITHIN)[0], f"nothing more after {output!r}"
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # what Linux says when the other end is closed
            return output
        if not piece:
            return output
        output += piece
        if piece.endswith(b": ") and answers:
            os.write(terminal, answers.pop(0).encode())
