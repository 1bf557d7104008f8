"""The tools that are compared, each behind the same few verbs."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Taken, run, tree_size

SECRET = "correct horse battery staple"
_READY_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tool keeps its repository and what it has beside it."""

    folder: Path
    "this tool's own, for a repository, a cache and mounts"
    bucket: str | None = None
    "s3 bucket/prefix in place of a directory"
    environment: Mapping[str, str] = field(default_factory=dict)
    "for the bucket"


class Tool:
    """One tool and one repository of it."""

    name = ""
    program = ""

    @classmethod
    def is_there(cls) -> bool:
        """Whether it is installed."""
        return shutil.which(cls.program) is not None

    def __init__(self, place: Place) -> None:
        self.place = place
        self.repository = place.folder / "repository"
        self.mountpoint = place.folder / "mount"

    mount_process: "subprocess.Popen[bytes] | None" = None
    "what serves the mount, while it is mounted"

    @classmethod
    def version_command(cls) -> list[str]:
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """Its name and version."""
        done = subprocess.run(cls.version_command(), capture_output=True, text=True, check=True)
        return " ".join(done.stdout.split()[:2])

    def list_command(self) -> list[str]:
        """Shows the snapshots."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def init(self) -> None:
        raise NotImplementedError

    def backup_command(self, source: Path) -> list[str]:
        raise NotImplementedError

    def restore_command(self, source: Path, target: Path) -> list[str]:
        raise NotImplementedError

    def check_command(self) -> list[str]:
        raise NotImplementedError

    def mount_command(self) -> list[str]:
        raise NotImplementedError

    def mounted_tree(self, source: Path) -> Path:
        """Where the newest snapshot's copy of `source` is in the mount."""
        raise NotImplementedError

    def restored_tree(self, source: Path, target: Path) -> Path:
        return target / str(source).lstrip("/")

    def drop_cache(self) -> None:
        """Forget what was fetched before."""

    def backup(self, source: Path) -> Taken:
        return self.run(self.backup_command(source))

    def restore(self, source: Path, target: Path) -> Taken:
        target.mkdir(parents=True)
        return self.run(self.restore_command(source, target))

    def run(self, command: Sequence[str]) -> Taken:
        return run(command, {**self.environment(), **self.place.environment})

    def size(self) -> int:
        """Bytes of the repository; of a directory only."""
        return tree_size(self.repository)

    @contextmanager
    def mounted(self, source: Path) -> Iterator[Path]:
        """The newest snapshot's copy of `source`, mounted."""
        self.mountpoint.mkdir(exist_ok=True)
        self.mount_process = process = subprocess.Popen(
            self.mount_command(),
            env={**os.environ, **self.environment(), **self.place.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            tree = self._wait_for(source, process)
            yield tree
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(self.mountpoint)], check=False)
            process.wait(timeout=30)

    def _wait_for(self, source: Path, process: "subprocess.Popen[bytes]") -> Path:
        end = time.monotonic() + _READY_WITHIN
        while time.monotonic() < end:
            try:
                tree = self.mounted_tree(source)
                tree.lstat()
            except (OSError, IndexError):
                if process.poll() is not None:
                    raise RuntimeError(f"{self.name}: mount ended early") from None
                time.sleep(0.01)
            else:
                return tree
        raise RuntimeError(f"{self.name}: mount did not come up")


class Snapfs(Tool):
    """This program."""

    name = "snapfs"
    program = str(Path(sys.executable).parent / "snapfs")

    @classmethod
    def version_command(cls) -> list[str]:
        return [cls.program, "--version"]

    def list_command(self) -> list[str]:
        return [self.program, "snapshots"]

    def environment(self) -> dict[str, str]:
        folder = self.place.folder
        where = f"s3://{self.place.bucket}" if self.place.bucket else str(self.repository)
        return {
            "SNAPFS_REPOSITORY": where,
            "SNAPFS_PASSPHRASE_FILE": str(self._passphrase),
            "SNAPFS_STATE_DIR": str(folder / "state"),
            "SNAPFS_CACHE_DIR": str(folder / "cache"),
        }

    @property
    def _passphrase(self) -> Path:
        return self.place.folder / "passphrase"

    def init(self) -> None:
        # In a file, as services have it: short questions derive no key then.
        self._passphrase.parent.mkdir(parents=True, exist_ok=True)
        self._passphrase.write_text(SECRET)
        self.run([self.program, "init"])

    def backup_command(self, source: Path) -> list[str]:
        return [self.program, "ingest", "--name", "bench", "--host", "bench", str(source)]

    def restore_command(self, source: Path, target: Path) -> list[str]:
        return [self.program, "restore", f"latest:{source}", "--target", str(target)]

    def restored_tree(self, source: Path, target: Path) -> Path:
        return target

    def check_command(self) -> list[str]:
        return [self.program, "check"]

    def mount_command(self) -> list[str]:
        return [self.program, "mount", "--foreground", str(self.mountpoint)]

    def mounted_tree(self, source: Path) -> Path:
        latest = self.mountpoint / "bench" / "bench" / "latest"
        return latest.resolve(strict=True) / str(source).lstrip("/")

    def drop_cache(self) -> None:
        shutil.rmtree(self.place.folder / "cache", ignore_errors=True)


class Restic(Tool):
    """restic, as Debian has it."""

    name = "restic"
    program = "restic"

    @classmethod
    def version_command(cls) -> list[str]:
        return [cls.program, "version"]

    def list_command(self) -> list[str]:
        return [self.program, "snapshots"]

    def environment(self) -> dict[str, str]:
        folder = self.place.folder
        where = str(self.repository)
        if self.place.bucket:
            where = f"s3:{self.place.environment['AWS_ENDPOINT_URL']}/{self.place.bucket}"
        return {
            "RESTIC_REPOSITORY": where,
            "RESTIC_PASSWORD": SECRET,
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }

    def init(self) -> None:
        self.run([self.program, "init", "--repository-version", "2"])

    def backup_command(self, source: Path) -> list[str]:
        return [self.program, "backup", "--quiet", "--host", "bench", str(source)]

    def restore_command(self, source: Path, target: Path) -> list[str]:
        return [self.program, "restore", "latest", "--target", str(target)]

    def check_command(self) -> list[str]:
        return [self.program, "check"]

    def mount_command(self) -> list[str]:
        return [self.program, "mount", str(self.mountpoint)]

    def mounted_tree(self, source: Path) -> Path:
        snapshots = sorted((self.mountpoint / "snapshots").iterdir())
        newest = [path for path in snapshots if path.name != "latest"][-1]
        return newest / str(source).lstrip("/")

    def drop_cache(self) -> None:
        # Packs of data are not cached by restic; its cache of metadata is part of how it works.
        return


class Borg(Tool):
    """borg, as Debian has it."""

    name = "borg"
    program = "borg"

    @classmethod
    def version_command(cls) -> list[str]:
        return [cls.program, "--version"]

    def list_command(self) -> list[str]:
        return [self.program, "list"]

    def environment(self) -> dict[str, str]:
        return {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": SECRET,
            "BORG_BASE_DIR": str(self.place.folder / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }

    def init(self) -> None:
        (self.place.folder / "base").mkdir()
        self.run([self.program, "init", "--encryption", "repokey-blake2"])

    def backup_command(self, source: Path) -> list[str]:
        name = f"::bench-{time.time_ns()}"
        return [self.program, "create", "--compression", "zstd,3", name, str(source)]

    def restore_command(self, source: Path, target: Path) -> list[str]:
        script = 'cd "$1" && exec "$2" extract "::$("$2" list --last 1 --short)"'
        return ["sh", "-c", script, "sh", str(target), self.program]

    def check_command(self) -> list[str]:
        return [self.program, "check"]

    def mount_command(self) -> list[str]:
        return [self.program, "mount", "--foreground", "::", str(self.mountpoint)]

    def mounted_tree(self, source: Path) -> Path:
        newest = sorted(self.mountpoint.iterdir())[-1]
        return newest / str(source).lstrip("/")


class NewestBorg(Borg):
    """borg's newest version, where `contrib/newest-borg.sh` could build it."""

    name = "newest borg"
    program = str(Path(sys.prefix) / "newest-borg" / "bin" / "borg")


PEERS = (Restic, Borg, NewestBorg)
