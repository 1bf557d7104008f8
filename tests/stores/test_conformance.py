"""What every store does, said once, and run against each of them."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from snapfs.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectTooShortError,
    PutConflictError,
)
from snapfs.stores.base import Store
from snapfs.stores.bucket import Bucket
from snapfs.stores.files import Files
from snapfs.stores.memory import MemoryStore
from snapfs.stores.probe import honours_put_if_absent
from snapfs.stores.retrying import Retrying
from snapfs.stores.threaded import ThreadedStore
from tests.servers import S3Server

BINARY = bytes(range(256)) * 3 + b"\r\n\0"


@pytest.fixture(params=["memory", "directory", "s3", "retrying"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    match request.param:
        case "memory":
            yield MemoryStore()
        case "directory":
            yield ThreadedStore(Files.create(tmp_path / "repository"))
        case "retrying":
            yield Retrying(MemoryStore())
        case "s3":
            # Only this one starts the server; async fixtures cannot be had by name.
            server: S3Server = request.getfixturevalue("s3_env")
            on_server = ThreadedStore(Bucket(server.bucket, uuid4().hex))
            yield on_server
            await on_server.aclose()


async def names(store: Store, prefix: str, after: str = "") -> list[str]:
    return [item.name async for item in store.list(prefix, after=after)]


async def put_all(store: Store, wanted: list[str]) -> None:
    """Put empty objects, several at a time."""
    async with trio.open_nursery() as nursery:
        for part in range(8):
            nursery.start_soon(_put_each, store, wanted[part::8])


async def _put_each(store: Store, wanted: list[str]) -> None:
    for name in wanted:
        await store.put(name, b"")


async def test_it_gives_back_what_was_put(store: Store) -> None:
    await store.put("packs/3f/3fa0", BINARY)
    assert await store.get("packs/3f/3fa0") == BINARY


async def test_an_empty_object_is_an_object(store: Store) -> None:
    await store.put("log/0000", b"")
    assert await store.get("log/0000") == b""
    assert [(item.name, item.size) async for item in store.list("log/")] == [("log/0000", 0)]


async def test_a_large_object_comes_back_whole(store: Store) -> None:
    data = os.urandom(1 << 20) * 16
    await store.put("packs/00/large", data)
    assert await store.get("packs/00/large") == data
    assert (
        await store.get("packs/00/large", start=(9 << 20) + 5, length=70_001)
        == (data[(9 << 20) + 5 :][:70_001])
    )


@pytest.mark.parametrize(("start", "length"), [(0, 10), (0, 3), (4, 5), (9, 1), (3, None)])
async def test_a_range_is_exactly_what_was_asked_for(
    store: Store, start: int, length: int | None
) -> None:
    await store.put("a", b"0123456789")
    end = None if length is None else start + length
    assert await store.get("a", start=start, length=length) == b"0123456789"[start:end]


@pytest.mark.parametrize(
    ("start", "length"), [(0, 11), (8, 3), (10, 1), (10, None), (50, 5), (50, None)]
)
async def test_a_range_not_wholly_inside_is_an_error(
    store: Store, start: int, length: int | None
) -> None:
    await store.put("a", b"0123456789")
    with pytest.raises(ObjectTooShortError):
        await store.get("a", start=start, length=length)


async def test_an_empty_object_has_no_ranges(store: Store) -> None:
    await store.put("a", b"")
    with pytest.raises(ObjectTooShortError):
        await store.get("a", start=0, length=1)


@pytest.mark.parametrize(("start", "length"), [(-1, None), (0, 0), (3, -1)])
async def test_what_is_no_range_is_refused(store: Store, start: int, length: int | None) -> None:
    with pytest.raises(ValueError, match="not a range"):
        await store.get("a", start=start, length=length)


@pytest.mark.parametrize("name", ["nothing", "folder/nothing", "packs", "packs/3f", "packs/3f/a/b"])
async def test_what_was_never_put_is_not_found(store: Store, name: str) -> None:
    await store.put("packs/3f/a", b"x")
    with pytest.raises(ObjectNotFoundError):
        await store.get(name)
    with pytest.raises(ObjectNotFoundError):
        await store.get(name, start=2, length=3)


async def test_put_replaces(store: Store) -> None:
    await store.put("keys/a", b"long content")
    await store.put("keys/a", b"short")
    assert await store.get("keys/a") == b"short"


async def test_put_if_absent_creates_once(store: Store) -> None:
    await store.put("log/1", b"first", if_absent=True)
    with pytest.raises(ObjectExistsError):
        await store.put("log/1", b"second", if_absent=True)
    assert await store.get("log/1") == b"first"


async def test_put_if_absent_creates_again_after_delete(store: Store) -> None:
    await store.put("keys/a", b"first", if_absent=True)
    await store.delete("keys/a")
    await store.put("keys/a", b"second", if_absent=True)
    assert await store.get("keys/a") == b"second"


async def test_one_of_eight_racing_writers_wins(store: Store) -> None:
    # Once only: SeaweedFS lets each loser of a race wait for whole seconds.
    outcomes: dict[bytes, str] = {}
    async with trio.open_nursery() as nursery:
        for writer in range(8):
            nursery.start_soon(_race, store, "log/1", b"%d" % writer * 1000, outcomes)
    assert len(outcomes) == 8
    winners = [data for data, outcome in outcomes.items() if outcome == "won"]
    assert len(winners) == 1
    assert await store.get("log/1") == winners[0]


async def _race(store: Store, name: str, data: bytes, outcomes: dict[bytes, str]) -> None:
    try:
        await store.put(name, data, if_absent=True)
    except ObjectExistsError:
        outcomes[data] = "lost"
    except PutConflictError:
        outcomes[data] = "unknown"
    else:
        outcomes[data] = "won"


async def test_deleting_twice_is_no_error(store: Store) -> None:
    await store.put("a/b", b"x")
    await store.put("a/c", b"x")
    await store.delete("a/b")
    await store.delete("a/b")
    await store.delete("never/was")
    assert await names(store, "") == ["a/c"]


async def test_a_listing_is_in_order_of_bytes_across_folders(store: Store) -> None:
    wanted = ["A", "a/-", "a/0.b", "a/b/c", "a/b0", "a0", "aA", "a_", "aa/a", "b"]
    await put_all(store, wanted[::-1])
    assert await names(store, "") == wanted == sorted(wanted)


async def test_in_bytes_a_slash_comes_after_minus_and_dot(tmp_path: Path) -> None:
    wanted = ["a-b", "a.b", "a/-", "a/b-", "a/b/c", "a/b0", "a0"]
    for store in (MemoryStore(), ThreadedStore(Files.create(tmp_path))):
        await put_all(store, wanted[::-1])
        assert await names(store, "") == wanted == sorted(wanted)
        assert await names(store, "", "a-b") == wanted[1:]


@pytest.mark.parametrize("prefix", ["", "log/", "log/00", "packs/", "packs/3", "pa", "log", "x/"])
@pytest.mark.parametrize("after", ["", "log/001", "log/0015", "packs/3f/a", "packs/3f", "zz"])
async def test_prefix_and_after_choose(prefix: str, after: str, tmp_path: Path) -> None:
    wanted = [
        "log/000",
        "log/001",
        "log/002",
        "packs/3e/z",
        "packs/3f/a",
        "packs/3f/b",
        "packs/4/a",
    ]
    chosen = [name for name in wanted if name.startswith(prefix) and name > after]
    for store in (MemoryStore(), ThreadedStore(Files.create(tmp_path))):
        await put_all(store, wanted)
        assert await names(store, prefix, after) == chosen


async def test_prefix_and_after_together(store: Store) -> None:
    await put_all(
        store, ["log/000", "log/001", "log/002", "packs/3e/z", "packs/3f/a", "packs/3f/b"]
    )
    assert await names(store, "log/") == ["log/000", "log/001", "log/002"]
    assert await names(store, "log/", "log/000") == ["log/001", "log/002"]
    assert await names(store, "packs/3", "packs/3f/") == ["packs/3f/a", "packs/3f/b"]
    assert await names(store, "packs/", "log/002") == ["packs/3e/z", "packs/3f/a", "packs/3f/b"]
    assert await names(store, "log/", "log/002") == []
    assert await names(store, "nothing/") == []


async def test_a_listing_says_size_and_time(store: Store) -> None:
    await store.put("before", b"x")
    await store.put("then", b"xyz")
    before, then = [item async for item in store.list("")]
    assert (before.size, then.size) == (1, 3)
    # The store's own clock, so no nearer to ours than an hour.
    assert abs(then.modified - before.modified) < 3600


async def test_more_objects_than_a_page(store: Store) -> None:
    wanted = [f"packs/{n % 3}/{n:05}" for n in range(1205)]
    await put_all(store, wanted)
    wanted.sort()
    assert await names(store, "packs/") == wanted
    assert await names(store, "packs/", wanted[150]) == wanted[151:]


async def test_a_listing_can_be_left(store: Store) -> None:
    await put_all(store, ["a", "b", "c"])
    async for item in store.list(""):
        assert item.name == "a"
        break
    assert await names(store, "") == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["A-b_c.d/0.x", "z" * 200, "log/ffffffffffffffff", "-", "a/b/c/d"])
async def test_names(store: Store, name: str) -> None:
    await store.put(name, b"x", if_absent=True)
    assert await store.get(name) == b"x"
    assert await names(store, "") == [name]


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "..", "a/../b", ".a", "a/.b", "a b", "é"])
async def test_what_is_no_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        await store.put(name, b"")
    with pytest.raises(ValueError, match="not a name"):
        await store.get(name)
    with pytest.raises(ValueError, match="not a name"):
        await store.delete(name)


async def test_the_probe_says_yes_and_leaves_nothing(store: Store) -> None:
    assert await honours_put_if_absent(store, "token")
    assert await names(store, "") == []


async def test_its_url_has_a_scheme(store: Store) -> None:
    assert ":" in store.url
