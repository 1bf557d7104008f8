"""Hosts that are real processes, before a real server, all at once.

SNAPFS_TRUST_ROUNDS is what each of them does; the default takes some seconds.
"""

import os
import subprocess
import sys
from pathlib import Path

import trio

from snapfs.stores.bucket import Bucket
from snapfs.stores.threaded import ThreadedStore
from tests.servers import S3Server
from tests.trust.conftest import Tally
from tests.trust.worker import begin, verify

_ROOT = Path(__file__).parents[2]
_HOSTS = 3
_ROUNDS = int(os.environ.get("SNAPFS_TRUST_ROUNDS") or 8)
_WITHIN = 120 + 5 * _ROUNDS
"seconds"


def test_processes_at_once(s3_env: S3Server, s3_url: str, tmp_path: Path, tally: Tally) -> None:
    store = ThreadedStore(Bucket(s3_env.bucket, s3_url.rpartition("/")[2]))
    trio.run(begin, store, tmp_path)
    command = [sys.executable, "-m", "tests.trust.worker", str(tmp_path), s3_url, str(_ROUNDS)]
    running = [
        subprocess.Popen([*command, str(number)], cwd=_ROOT, stderr=subprocess.PIPE)
        for number in range(_HOSTS)
    ]
    for process in running:
        _, errors = process.communicate(timeout=_WITHIN)
        assert process.returncode == 0, errors.decode()
    tally.snapshots += trio.run(verify, store, tmp_path)
    trio.run(store.aclose)
