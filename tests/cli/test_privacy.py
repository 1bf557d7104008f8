"""What others must not see: secrets in output and logs, and files that anybody may read."""

import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PASSPHRASE, Snapfs
from tests.servers import SECRET_KEY, S3Server, free_ports


@pytest.mark.parametrize("repository", ["s3://bucket/x", None])
def test_no_secret_is_ever_printed(
    snapfs: Snapfs, s3_server: S3Server, tree: Path, repository: str | None
) -> None:
    nobody = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}
    snapfs.environment |= s3_server.environment | nobody | {"SNAPFS_RETRY_SECONDS": "0.5"}
    where = ["-r", repository] if repository else []
    done = snapfs("-vv", *where, "ingest", tree, status=11 if repository else 0)
    for secret in (PASSPHRASE, SECRET_KEY):
        assert secret not in done.stderr + done.text


def test_the_machines_own_files_are_private(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree)
    own = [path for name in ("state", "repository") for path in (snapfs.home / name).rglob("*")]
    made = [path for path in own if path.name != "repository"]
    assert made
    for path in [snapfs.home / "state", *made]:
        wanted = 0o700 if path.is_dir() else 0o600
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & ~wanted == 0, f"{path} has {mode:o}"


def test_nothing_secret_is_left_in_the_state(snapfs: Snapfs, tree: Path) -> None:
    snapfs("ingest", tree)
    for path in (snapfs.home / "state").rglob("*"):
        if path.is_file():
            assert PASSPHRASE.encode() not in path.read_bytes()


def test_no_core_is_dumped(snapfs: Snapfs) -> None:
    shown = "import os, sys; print(*open('/proc/self/limits'))"
    ran = f"try: main(['key', 'list'])\nfinally: {shown}"
    done = subprocess.run(
        [sys.executable, "-c", f"from snapfs.cli.main import main\n{ran}"],
        env=snapfs.environment, capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (2**20, 2**20)),
    )  # fmt: skip
    (limit,) = (line for line in done.stdout.splitlines() if "core file" in line)
    assert limit.split()[4:6] == ["0", "0"]
