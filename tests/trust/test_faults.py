"""The real client before a real server, with everything between them that networks do.

SNAPFS_TRUST_STEP=1 tries more requests of each kind, and each with hosts that try again by
themselves and with hosts that don't.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from snapfs.errors import StoreError
from snapfs.stores.base import Store
from snapfs.stores.bucket import Bucket
from snapfs.stores.policy import RetryPolicy
from snapfs.stores.retrying import Retrying
from snapfs.stores.s3_client import S3Settings
from snapfs.stores.threaded import ThreadedStore
from tests.jobs.checking import assert_sound, put_keys
from tests.jobs.ingesting import Machine, machine
from tests.proxy import Failure, Kind, Proxy, proxy
from tests.servers import S3Server
from tests.trust.conftest import Tally
from tests.trust.place import populate

_ALL = os.environ.get("SNAPFS_TRUST_STEP") == "1"
_SETTINGS = S3Settings(connections=8, connect_timeout=2.0, read_timeout=1.2)
_POLICY = RetryPolicy(deadline=30.0, first_pause=0.01, longest_pause=0.1)
_PUTS = (("PUT", "/packs/"), ("PUT", "/meta/"), ("PUT", "/log/"))
_GETS = (("GET", "/log/"), ("GET", "list-type"), ("GET", "/meta/"), ("GET", "/packs/"))
_TARGETS = {
    Kind.RESET_BEFORE: _PUTS + _GETS,
    Kind.RESET_AFTER: _PUTS,
    Kind.STALL_BEFORE: _PUTS + _GETS,
    Kind.STALL_AFTER: _PUTS,
    Kind.SLOW_DOWN: _PUTS + _GETS,
    Kind.ERROR_AFTER: _PUTS,
    Kind.CUT_BODY: _GETS,
    Kind.END_BODY: _GETS,
    Kind.EMPTY_UPLOAD: _PUTS,
    Kind.DELAYED: _PUTS,
}


@dataclass(slots=True)
class Pair:
    """A host that captures, and one that looks on; both reach the server through the proxy."""

    between: Proxy
    stores: tuple[Store, Store]
    folder: Path

    async def capture(self) -> None:
        """A snapshot of a tree that has changed."""
        (self.folder / "tree" / "a" / "small1").write_bytes(os.urandom(1000))
        async with self._machine(0) as host:
            await host.ingest()

    async def look(self) -> None:
        """Read the newest snapshot as the other host sees it."""
        async with self._machine(1) as host:
            await host.repository.catch_up_all()
            *_, snapshot = host.repository.snapshots.stream()
            await host.stored(snapshot)

    async def check(self) -> None:
        """One more snapshot is what the tree is, and everything is sound."""
        async with self._machine(0) as host:
            await host.capture()
            await assert_sound(host.repository)

    def _machine(self, number: int) -> AbstractAsyncContextManager[Machine]:
        folder = self.folder / f"host{number}"
        return machine(self.stores[number], folder, self.folder / "tree")


@asynccontextmanager
async def pair(folder: Path, between: Proxy, bucket: str, *, patient: bool) -> AsyncIterator[Pair]:
    """Two hosts with an empty repository; one of them tries again by itself."""
    prefix = uuid4().hex
    plain = [ThreadedStore(Bucket(bucket, prefix, settings=_SETTINGS)) for _ in range(2)]
    patience = [Retrying(store, policy=_POLICY) for store in plain]
    one, other = (patience[0], plain[1]) if patient else (plain[0], patience[1])
    populate(folder / "tree")
    await put_keys(one)
    yield Pair(between, (one, other), folder)
    for store in plain:
        await store.aclose()


@pytest.fixture
def between(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The proxy, which boto3 takes for the server."""
    with proxy(s3_server.endpoint) as running:
        for name, value in running.server(s3_server).environment.items():
            monkeypatch.setenv(name, value)
        yield running


async def _again(action: Callable[[], Awaitable[None]], *, patient: bool) -> None:
    """Do it; where nobody tries again for us it may fail, and then works the second time."""
    try:
        await action()
    except StoreError:
        assert not patient
        await action()


@pytest.mark.parametrize("patient", [True, False] if _ALL else [True])
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
async def test_a_fault(
    kind: Kind, patient: bool, between: Proxy, s3_server: S3Server, tmp_path: Path, tally: Tally
) -> None:
    async with pair(tmp_path, between, s3_server.bucket, patient=patient) as hosts:
        await hosts.capture()
        for method, path in _TARGETS[kind]:
            for skip in (0, 1) if _ALL and path in ("/log/", "list-type") else (0,):
                between.queue(Failure(kind=kind, method=method, path=path, skip=skip))
                await _again(hosts.capture, patient=patient)
                await _again(hosts.look, patient=not patient)
        between.send_delayed(all_of_them=True)
        await hosts.check()
    between.assert_all_hit()
    tally.fault_cases += between.hits
