"""Fixtures that tests of several rooms use: one real S3 server per session, stores on it."""

import signal
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from snapfs.stores.bucket import Bucket
from snapfs.stores.threaded import ThreadedStore
from tests.servers import S3Server, rclone, seaweedfs

# An example is not wrong because the machine was busy with something else for a moment.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """See to it that programs which tests start can be interrupted.

    A shell has what it starts in the background ignore SIGINT, and so do all that this starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS with a bucket. It is for `s3_env` to point boto3 at it."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def unconditional_s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """rclone, whose conditional puts always put."""
    with rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
def s3_env(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with this process's environment set so that boto3 finds it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def s3_url(s3_env: S3Server) -> str:
    """A new place in the bucket, as a user writes it."""
    return f"s3://{s3_env.bucket}/{uuid4().hex}"


@pytest.fixture
async def s3_store(s3_env: S3Server) -> AsyncIterator[ThreadedStore]:
    """An empty store on the real server."""
    store = ThreadedStore(Bucket(s3_env.bucket, uuid4().hex))
    yield store
    await store.aclose()
