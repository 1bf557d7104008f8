"""Tags: added and removed, on every machine the same."""

from pathlib import Path

import pytest

from snapfs.errors import UsageError
from snapfs.jobs.tag import LONGEST, check_tags, tag
from snapfs.metadata.compare import differences
from snapfs.model.snapshot import Snapshot
from snapfs.repository.repository import Repository
from snapfs.stores.memory import MemoryStore
from tests.build import Builder, built, file
from tests.repository.machines import machines


async def snapshot(repository: Repository, number: int) -> Snapshot:
    await repository.catch_up_all()
    found = repository.snapshots.by_number(number)  # type: ignore[arg-type]
    assert found is not None
    return found


async def test_tags_come_and_go_on_every_machine(tmp_path: Path) -> None:
    async with machines(MemoryStore(), tmp_path, 2) as (one, other):
        number = await Builder(one).commit({"/a": file(b"a")})
        await tag(one, [await snapshot(one, number)], ["b", "a", "b"], [], "web")
        await tag(other, [await snapshot(other, number)], ["c"], ["a", "never"], "web")
        for machine in (one, other):
            assert (await snapshot(machine, number)).tags == ("b", "c")
        assert differences(one.replica.db, other.replica.db) == []


async def test_several_snapshots_are_tagged_by_one_record(tmp_path: Path) -> None:
    async with built(MemoryStore(), tmp_path) as repository:
        builder = Builder(repository)
        numbers = [await builder.commit({"/a": file(b"%d" % at)}) for at in range(3)]
        chosen = [await snapshot(repository, number) for number in numbers[:2]]
        await tag(repository, chosen, ["t"], [], "web")
        assert repository.replica.tip().number == numbers[-1] + 1
        tags = [(await snapshot(repository, number)).tags for number in numbers]
        assert tags == [("t",), ("t",), ()]


@pytest.mark.parametrize(
    "bad", ["", ".hidden", "@name", "a/b", "a,b", "a\nb", "a\0b", "x" * (LONGEST + 1)]
)
async def test_what_cannot_be_a_tag_is_refused_and_writes_nothing(tmp_path: Path, bad: str) -> None:
    store = MemoryStore()
    async with built(store, tmp_path) as repository:
        before = dict(store.objects)
        for add, remove in (([bad], []), ([], [bad])):
            with pytest.raises(UsageError, match="not a tag"):
                await tag(repository, [], add, remove, "web")
        assert store.objects == before


def test_tags_are_text() -> None:
    assert check_tags(["monthly", "naïve tag", "x" * LONGEST, "monthly"]) == (
        "monthly",
        "naïve tag",
        "x" * LONGEST,
    )
