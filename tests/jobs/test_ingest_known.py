"""What is known through the filter is what the index says, and new blocks cost no look-up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from snapfs.formats import packs
from snapfs.jobs.ingest import known
from snapfs.jobs.ingest.known import KnownBlocks
from snapfs.metadata.blockindex import BlockIndex, KnownBlock
from snapfs.model.identity import BlockKey
from snapfs.stores.memory import MemoryStore
from tests.build import KEYS
from tests.jobs.ingesting import TINY, Machine, machine


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Machine]:
    tree = tmp_path / "tree"
    tree.mkdir()
    async with machine(MemoryStore(), tmp_path / "m", tree, chunker=TINY) as host:
        yield host


async def _store(host: Machine, *numbers: int) -> None:
    for number in numbers:
        (host.tree / str(number)).write_bytes(_content(number))
    await host.capture()


def _content(number: int) -> bytes:
    return b"content %d" % number


def _key(number: int) -> BlockKey:
    return packs.block_key(_content(number), KEYS.block_id)


class Counted(BlockIndex):
    """An index that counts what is looked up."""

    looked_up = 0

    def find(self, key: BlockKey) -> KnownBlock | None:
        self.looked_up += 1
        return super().find(key)


async def test_the_first_ingest_looks_nothing_up(host: Machine) -> None:
    index = Counted(host.repository.db)
    blocks = KnownBlocks(index)
    assert blocks.find(_key(1)) is None
    assert index.looked_up == 0
    await _store(host, 1, 2)
    assert blocks.find(_key(1)) is None  # not yet
    blocks.look_again()
    assert blocks.find(_key(1)) == BlockIndex(host.repository.db).find(_key(1)) is not None
    assert blocks.find(_key(3)) is None
    assert index.looked_up == 1
    await _store(host, 3)
    blocks.look_again()
    assert blocks.find(_key(3)) is not None
    assert blocks.find(_key(2)) is not None


async def test_the_index_is_read_where_much_is_looked_up(host: Machine) -> None:
    await _store(host, *range(100))
    index = Counted(host.repository.db)
    blocks = KnownBlocks(index)
    for number in range(90, 290):
        assert (blocks.find(_key(number)) is not None) == (number < 100)
    assert 10 <= index.looked_up <= 100 // known._FOR_ONE + 2
    assert all(blocks.find(_key(number)) for number in range(100))


async def test_page_by_page(host: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_PAGE", 7)
    blocks = KnownBlocks(BlockIndex(host.repository.db))
    await _store(host, *range(50))
    blocks.look_again()
    assert all(blocks.find(_key(number)) for number in range(50))


async def test_a_large_index_is_asked_itself(
    host: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_MOST", 60)
    index = Counted(host.repository.db)
    blocks = KnownBlocks(index)
    await _store(host, *range(50))
    blocks.look_again()
    assert blocks.find(_key(99)) is None
    assert index.looked_up == 0
    await _store(host, *range(50, 80))
    blocks.look_again()
    assert all(blocks.find(_key(number)) for number in range(80))
    assert blocks.find(_key(99)) is None
    assert index.looked_up == 81


async def test_an_index_that_was_large_is_read_anew(
    host: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _store(host, *range(50))
    index = BlockIndex(host.repository.db)
    blocks = KnownBlocks(index)
    assert blocks.find(_key(1)) is not None
    assert all(blocks.find(_key(99)) is None for _ in range(10))  # by the filter, by now
    for most in (10, known._MOST):
        monkeypatch.setattr(known, "_MOST", most)
        blocks.look_again()
        assert all(blocks.find(_key(number)) for number in range(50))
        assert all(blocks.find(_key(99)) is None for _ in range(10))
    assert all(blocks.find(_key(number)) for number in range(50))
