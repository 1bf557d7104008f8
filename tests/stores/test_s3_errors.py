"""What a server can answer, and what it means: against a server that answers as it is told."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from hashlib import md5

import pytest
import trio

from snapfs.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooShortError,
    PutConflictError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from snapfs.stores.bucket import Bucket
from snapfs.stores.s3_client import S3Settings
from snapfs.stores.threaded import ThreadedStore
from tests.servers import Canned, CannedServer, S3Server, canned_server, free_ports, s3_error


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CannedServer]:
    with canned_server() as server:
        for name, value in S3Server(server.endpoint).environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def store(server: CannedServer) -> AsyncIterator[ThreadedStore]:
    store = ThreadedStore(Bucket("bucket", "pre/fix"))
    yield store
    await store.aclose()


VERBS: dict[str, Callable[[ThreadedStore], object]] = {
    "get": lambda store: store.get("a"),
    "put": lambda store: store.put("a", b"x"),
    "put if absent": lambda store: store.put("a", b"x", if_absent=True),
    "delete": lambda store: store.delete("a"),
    "list": lambda store: anext(store.list("log/")),
}

ANSWERS = [
    (403, "AccessDenied", StoreError, "s3:ListBucket"),
    (403, "InvalidAccessKeyId", StoreError, "credentials"),
    (403, "RequestTimeTooSkewed", StoreError, "clock"),
    (400, "ExpiredToken", StoreError, "AWS_ACCESS_KEY_ID"),
    (404, "NoSuchBucket", StoreError, "AWS_ENDPOINT_URL"),
    (400, "RequestTimeout", StoreUnavailableError, ""),
    (429, "TooManyRequests", StoreUnavailableError, ""),
    (500, "InternalError", StoreUnavailableError, ""),
    (502, "BadGateway", StoreUnavailableError, ""),
    (503, "SlowDown", StoreUnavailableError, ""),
    (501, "NotImplemented", StoreError, ""),
    (507, "XMinioStorageFull", StoreFullError, ""),
]


async def test_a_put_says_what_the_body_is(store: ThreadedStore, server: CannedServer) -> None:
    """By which a server refuses one that was damaged, or cut off, on its way up."""
    await store.put("a", b"content")
    await store.put("b", b"", if_absent=True)
    bodies = (b"content", b"")
    assert server.digests == [b64encode(md5(body).digest()).decode() for body in bodies]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("status", "code", "expected", "hint"), ANSWERS)
async def test_each_refusal_is_translated_and_nothing_is_tried_twice(
    store: ThreadedStore,
    server: CannedServer,
    verb: str,
    status: int,
    code: str,
    expected: type[StoreError],
    hint: str,
) -> None:
    server.answer = s3_error(status, code)
    with pytest.raises(StoreError) as caught:
        await VERBS[verb](store)  # type: ignore[misc]
    assert type(caught.value) is expected
    assert hint in caught.value.hint
    assert "bucket" in caught.value.what
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("verb", "status", "code", "expected"),
    [
        ("get", 404, "NoSuchKey", ObjectNotFoundError),
        ("get", 416, "InvalidRange", ObjectTooShortError),
        ("get", 404, "NotFound", StoreError),
        ("put if absent", 412, "PreconditionFailed", ObjectExistsError),
        ("put if absent", 409, "ConditionalRequestConflict", PutConflictError),
        ("put", 409, "OperationAborted", StoreUnavailableError),
        ("put", 412, "PreconditionFailed", StoreError),
    ],
)
async def test_what_means_something_to_one_verb(
    store: ThreadedStore,
    server: CannedServer,
    verb: str,
    status: int,
    code: str,
    expected: type[StoreError],
) -> None:
    server.answer = s3_error(status, code)
    with pytest.raises(StoreError) as caught:
        await VERBS[verb](store)  # type: ignore[misc]
    assert type(caught.value) is expected


async def test_a_web_server_that_is_no_store_is_not_an_empty_store(
    store: ThreadedStore, server: CannedServer
) -> None:
    server.answer = Canned(404, b"<html>nothing here</html>", {"Content-Type": "text/html"})
    with pytest.raises(StoreError) as caught:
        await store.get("log/1")
    assert not isinstance(caught.value, ObjectNotFoundError)
    assert "AWS_ENDPOINT_URL" in caught.value.hint


@pytest.mark.parametrize("length", [0, 40])
async def test_a_refusal_that_is_cut_is_worth_another_try(
    store: ThreadedStore, server: CannedServer, length: int
) -> None:
    whole = s3_error(404, "NoSuchKey")
    server.answer = replace(whole, body=whole.body[:length], claims=len(whole.body))
    with pytest.raises(StoreUnavailableError):
        await store.get("log/1")


async def test_deleting_what_is_absent_is_no_error_wherever_the_server_minds(
    store: ThreadedStore, server: CannedServer
) -> None:
    server.answer = s3_error(404, "NoSuchKey")
    await store.delete("a")


async def test_keys_have_the_bucket_in_the_path_and_the_prefix_in_front(
    store: ThreadedStore, server: CannedServer
) -> None:
    await store.put("packs/3f/a", b"x")
    assert server.requests == [("PUT", "/bucket/pre/fix/packs/3f/a")]
    assert store.url == "s3://bucket/pre/fix"


@pytest.mark.parametrize("length", [None, 10])
async def test_a_body_that_is_cut_is_worth_another_try(
    store: ThreadedStore, server: CannedServer, length: int | None
) -> None:
    headers = {} if length is None else {"Content-Range": "bytes 0-9/10"}
    server.answer = Canned(206 if length else 200, b"12345", headers, claims=10)
    with pytest.raises(StoreUnavailableError):
        await store.get("a", length=length)


async def test_a_range_that_is_shorter_than_asked_is_the_objects_fault(
    store: ThreadedStore, server: CannedServer
) -> None:
    server.answer = Canned(206, b"12345", {"Content-Range": "bytes 0-4/5"})
    with pytest.raises(ObjectTooShortError):
        await store.get("a", length=10)


async def test_a_server_that_ignores_ranges_is_found_out(
    store: ThreadedStore, server: CannedServer
) -> None:
    server.answer = Canned(200, b"0123456789")
    with pytest.raises(StoreError, match="does not give ranges"):
        await store.get("a", start=3, length=10)
    assert await store.get("a", start=0, length=10) == b"0123456789"


async def test_a_connection_that_stalls_ends_by_the_time_out(server: CannedServer) -> None:
    server.answer = Canned(200, b"1234", claims=10, stalls=True)
    store = ThreadedStore(Bucket("bucket", settings=S3Settings(read_timeout=0.2)))
    with trio.fail_after(10), pytest.raises(StoreUnavailableError):
        await store.get("a")
    await store.aclose()


async def test_a_listing_that_breaks_off_is_worth_another_try(
    store: ThreadedStore, server: CannedServer
) -> None:
    server.answer = Canned(200, b"<ListBucketResult><Contents><Key>pre/fi", claims=39)
    with pytest.raises(StoreUnavailableError):
        await anext(store.list(""))


async def test_a_listing_out_of_order_is_refused(
    store: ThreadedStore, server: CannedServer
) -> None:
    item = "<Contents><Key>pre/fix/{}</Key><Size>1</Size></Contents>"
    body = f"<ListBucketResult>{item.format('b')}{item.format('a')}</ListBucketResult>"
    server.answer = Canned(200, body.encode())
    with pytest.raises(StoreError, match="in order"):
        await anext(store.list(""))


async def test_no_server_is_worth_another_try(
    server: CannedServer, store: ThreadedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(StoreUnavailableError):
        await store.get("a")


async def test_missing_credentials_say_what_to_set(
    server: CannedServer, store: ThreadedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreError) as caught:
        await store.get("a")
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    assert not isinstance(caught.value, StoreUnavailableError)


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_ENDPOINT_URL", "nonsense"), ("AWS_PROFILE", "no-such-profile")]
)
async def test_a_wrong_setting_is_an_error_of_the_store(
    server: CannedServer,
    store: ThreadedStore,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError) as caught:
        await store.get("a")
    assert caught.value.hint


async def test_a_missing_bucket_of_a_real_server(s3_env: S3Server) -> None:
    store = ThreadedStore(Bucket("no-such-bucket-here"))
    with pytest.raises(StoreError, match="no-such-bucket-here does not exist"):
        await store.get("a")
    await store.aclose()


async def test_wrong_keys_at_a_real_server(
    s3_env: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    store = ThreadedStore(Bucket(s3_env.bucket))
    with pytest.raises(StoreError) as caught:
        await store.put("a", b"x")
    assert "credentials" in caught.value.hint
    await store.aclose()
