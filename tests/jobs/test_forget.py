"""Forget and recall: through the log, against races, and with prunes in between."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

import pytest

from snapfs.errors import BusyError, DamagedError, UsageError
from snapfs.formats.records import Body, Forget, Recall
from snapfs.jobs.forget import ForgetReport, by_policy, chosen, forget, whole_source
from snapfs.jobs.progress import Progress
from snapfs.jobs.prune.job import prune
from snapfs.jobs.prune.options import DAY_NS, PruneOptions
from snapfs.jobs.recall import last_forgotten, recall
from snapfs.jobs.tag import tag
from snapfs.metadata.snapshots import Filter
from snapfs.model.identity import Attempt, Commit
from snapfs.model.pruning import PrunePolicy
from snapfs.model.retention import PIN, Policy
from snapfs.model.snapshot import Snapshot
from snapfs.repository.repository import Repository
from snapfs.repository.world import World
from snapfs.stores.memory import MemoryStore
from tests.build import FIRST_TIME, Builder, built, file
from tests.manifest import check_sound

DAY = 24 * 3600 * 10**9
EVERYTHING = Filter()
LAST = Policy(last=1, floor=0)
CONDEMN = PruneOptions(
    host="pruner", policy=PrunePolicy(max_unused=0.0), condemned_for_ns=DAY_NS, forgotten_for_ns=0
)
DELETE = replace(CONDEMN, condemned_for_ns=0)


@dataclass(slots=True)
class Place:
    """A repository with the builder of one source, whose days are far enough in the past."""

    store: MemoryStore
    folder: Path
    repository: Repository
    builder: Builder

    async def day(self, number: int, *, builder: Builder | None = None) -> Commit:
        """A snapshot of a day, with a file of its own."""
        content = bytes([number]) * 1000 + os.urandom(50_000)
        things = {"/same": file(b"same"), f"/only/{number}": file(content)}
        return await (builder or self.builder).commit(things, time_ns=FIRST_TIME + number * DAY)

    async def days(self, count: int) -> list[Commit]:
        return [await self.day(number) for number in range(count)]

    def id(self, number: Commit) -> Attempt:
        return Attempt(self.repository.replica.head(number).attempt)

    def shown(self, only: Filter = EVERYTHING) -> list[Commit]:
        return [one.number for one in self.repository.snapshots.stream(only)]

    async def keep(self, policy: Policy, *, dry_run: bool = False) -> ForgetReport:
        decide = by_policy(policy, EVERYTHING, UTC)
        return await forget(self.repository, decide, host="h", reason="rules", dry_run=dry_run)

    async def prune(self, options: PruneOptions) -> int:
        return (await prune(self.repository, options, Progress())).deleted


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = MemoryStore()
    async with built(store, tmp_path / "one") as repository:
        yield Place(store, tmp_path, repository, Builder(repository))
        await check_sound(repository)


def numbers(report: ForgetReport, *, kept: bool) -> list[Commit]:
    return [one.snapshot.number for one in report.verdicts if one.kept is kept]


def beside(
    repository: Repository, act: Callable[[], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let something happen once, after a body was made and before it is put."""
    put = repository.log.put
    done: list[bool] = []

    async def late(number: Commit, data: bytes, attempt: Attempt) -> bool:
        if not done:
            done.append(True)
            await act()
        return await put(number, data, attempt)

    monkeypatch.setattr(repository.log, "put", late)


# --- by rules


async def test_rules_are_applied_and_recorded(place: Place) -> None:
    days = await place.days(5)
    report = await place.keep(Policy(daily=2, floor=0))
    assert numbers(report, kept=True) == days[3:] == place.shown()
    assert numbers(report, kept=False) == days[:3]
    assert [one.reasons for one in report.verdicts][3:] == [("daily",), ("newest", "daily")]
    assert report.record is not None
    body = place.repository.replica.head(report.record).body
    assert body == Forget(tuple(place.id(number) for number in days[:3]), "rules")


async def test_a_rehearsal_tells_the_same_and_does_nothing(place: Place) -> None:
    days = await place.days(4)
    before = place.repository.replica.tip()
    rehearsed = await place.keep(LAST, dry_run=True)
    assert place.repository.replica.tip() == before
    assert rehearsed.record is None
    assert place.shown() == days
    assert (await place.keep(LAST)).verdicts == rehearsed.verdicts


async def test_nothing_to_forget_writes_no_record(place: Place) -> None:
    await place.days(3)
    before = place.repository.replica.tip()
    assert (await place.keep(Policy(last=3))).record is None
    assert place.repository.replica.tip() == before


async def test_floor_holds_unless_told(place: Place) -> None:
    days = await place.days(9)
    assert numbers(await place.keep(Policy(last=1)), kept=True) == days[2:]
    assert numbers(await place.keep(LAST), kept=True) == days[8:]


async def test_each_source_by_itself(place: Place) -> None:
    other = Builder(place.repository, source="other")
    mine = await place.days(2)
    theirs = [await place.day(number, builder=other) for number in (0, 1)]
    report = await forget(
        place.repository, by_policy(LAST, Filter(name="other"), UTC), host="h"
    )  # fmt: skip
    assert numbers(report, kept=False) == theirs[:1]
    assert place.shown() == [*mine, theirs[1]]
    assert numbers(await place.keep(LAST), kept=True) == [theirs[1], mine[1]]


async def test_pinned_and_tagged_stay(place: Place) -> None:
    days = await place.days(4)
    snapshots = list(place.repository.snapshots.stream())
    await tag(place.repository, [snapshots[0]], [PIN], [], "h")
    await tag(place.repository, [snapshots[1]], ["release"], [], "h")
    policy = replace(LAST, tags=frozenset({"release"}))
    assert numbers(await place.keep(policy), kept=True) == [*days[:2], days[3]]


async def test_progress_counts_for_nothing(place: Place) -> None:
    days = await place.days(2)
    await place.builder.commit({"/part": file(b"x")}, time_ns=FIRST_TIME + 5 * DAY, complete=False)
    report = await place.keep(LAST)
    assert [one.snapshot.number for one in report.verdicts] == days
    assert numbers(report, kept=True) == [days[1]]


async def test_now_is_the_worlds(place: Place) -> None:
    days = await place.days(3)
    place.repository.world = World(now_ns=lambda: FIRST_TIME + DAY)
    report = await place.keep(LAST)
    assert [one.future for one in report.verdicts] == [False, False, True]
    assert numbers(report, kept=False) == [days[0]]


async def test_a_forged_time_is_not_in_order_once_others_are_forgotten(place: Place) -> None:
    """It claims to be the last of November; what shows it to be false is in December, and goes."""
    november, december = 17, 18
    good = await place.day(november)
    false = await place.day(december)
    forged = await place.builder.commit(
        {"/bad": file(b"")}, time_ns=FIRST_TIME + november * DAY + 1
    )
    for number in range(december + 1, december + 9):
        await place.day(number)
        await place.keep(Policy(daily=2, monthly=2, floor=0))
    assert false not in place.shown()
    assert {good, forged} <= set(place.shown())


async def test_no_rules_are_refused() -> None:
    with pytest.raises(UsageError):
        by_policy(Policy(), EVERYTHING)


async def test_a_snapshot_that_comes_meanwhile_is_decided_about(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that was made before would keep the one that is the newest no more."""
    days = await place.days(3)
    async with built(place.store, place.folder / "two") as other:
        builder = replace(place.builder, repository=other)
        beside(place.repository, lambda: place.day(3, builder=builder), monkeypatch)
        report = await place.keep(LAST)
    assert report.record == days[2] + 2
    assert numbers(report, kept=False) == days
    assert place.shown() == [days[2] + 1]


async def test_two_that_forget_at_once_leave_the_newest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = await place.days(3)
    async with built(place.store, place.folder / "two") as other:
        await other.catch_up_all()

        async def whoever() -> None:
            await forget(other, chosen([place.id(days[2])], even_newest=True), host="other")

        beside(place.repository, whoever, monkeypatch)
        report = await place.keep(LAST)
    assert place.shown() == [days[1]]
    assert numbers(report, kept=True) == [days[1]]


async def test_what_another_has_forgotten_meanwhile_is_not_forgotten_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = await place.days(3)
    async with built(place.store, place.folder / "two") as other:
        await other.catch_up_all()

        async def same() -> None:
            await forget(other, by_policy(LAST, EVERYTHING, UTC), host="other")

        beside(place.repository, same, monkeypatch)
        report = await place.keep(LAST)
    assert report.record is None
    assert place.repository.replica.tip().number == days[2] + 1


# --- by name


async def test_named_ones_go_and_no_others(place: Place) -> None:
    days = await place.days(3)
    report = await forget(place.repository, chosen([place.id(days[1])]), host="h")
    assert numbers(report, kept=False) == [days[1]]
    assert place.shown() == [days[0], days[2]]
    again = await forget(place.repository, chosen([place.id(days[1])]), host="h")
    assert again == ForgetReport((), None)


async def test_the_newest_of_a_source_only_when_told(place: Place) -> None:
    days = await place.days(2)
    newest = [place.id(days[1])]
    with pytest.raises(UsageError, match="newest"):
        await forget(place.repository, chosen(newest), host="h")
    assert place.shown() == days
    await forget(place.repository, chosen(newest, even_newest=True), host="h")
    assert place.shown() == [days[0]]


async def test_one_that_becomes_the_newest_meanwhile_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = await place.days(2)
    async with built(place.store, place.folder / "two") as other:
        await other.catch_up_all()

        async def newest() -> None:
            await forget(other, chosen([place.id(days[1])], even_newest=True), host="other")

        beside(place.repository, newest, monkeypatch)
        with pytest.raises(UsageError, match="newest"):
            await forget(place.repository, chosen([place.id(days[0])]), host="h")
    assert place.shown() == [days[0]]


async def test_pinned_ones_are_refused_by_name(place: Place) -> None:
    days = await place.days(2)
    await tag(place.repository, list(place.repository.snapshots.stream())[:1], [PIN], [], "h")
    for decide in (chosen([place.id(days[0])]), whole_source("web", "root")):
        with pytest.raises(UsageError, match="pinned"):
            await forget(place.repository, decide, host="h")
    assert place.shown() == days


async def test_a_whole_source_goes_and_begins_anew(place: Place) -> None:
    other = Builder(place.repository, source="other")
    mine = await place.day(0)
    theirs = [await place.day(number, builder=other) for number in (0, 1)]
    report = await forget(place.repository, whole_source("web", "other"), host="h")
    assert numbers(report, kept=False) == theirs
    assert place.shown() == [mine]
    source = place.repository.snapshots.source("web", "other")
    assert source is not None
    assert source.head == report.record


# --- bringing back


def ids(snapshots: list[Snapshot]) -> list[Attempt]:
    return [one.id for one in snapshots]


async def test_the_last_forgotten_come_back(place: Place) -> None:
    days = await place.days(5)
    await forget(place.repository, chosen([place.id(days[0])]), host="h")
    await forget(place.repository, chosen([place.id(n) for n in days[1:3]]), host="h")
    await place.day(5)
    last = last_forgotten(place.repository, EVERYTHING)
    assert [one.number for one in last] == days[1:3]
    report = await recall(place.repository, ids(last), host="h")
    assert [one.number for one in report.snapshots] == days[1:3]
    assert place.shown()[:4] == days[1:]
    assert [one.number for one in place.repository.snapshots.forgotten(EVERYTHING)] == [days[0]]
    assert ids(last_forgotten(place.repository, EVERYTHING)) == [place.id(days[0])]
    assert last_forgotten(place.repository, Filter(name="none")) == []


async def test_recalling_what_is_there_does_nothing(place: Place) -> None:
    days = await place.days(2)
    before = place.repository.replica.tip()
    assert (await recall(place.repository, [place.id(days[0])], host="h")).record is None
    assert place.repository.replica.tip() == before


async def test_a_rehearsed_recall_does_nothing(place: Place) -> None:
    days = await place.days(2)
    await place.keep(LAST)
    report = await recall(place.repository, [place.id(days[0])], host="h", dry_run=True)
    assert [one.number for one in report.snapshots] == days[:1]
    assert place.shown() == days[1:]


async def test_a_whole_source_comes_back(place: Place) -> None:
    days = await place.days(3)
    report = await forget(place.repository, whole_source("web", "root"), host="h")
    assert report.record is not None
    place.builder = Builder(place.repository, head=report.record)
    await recall(place.repository, [place.id(number) for number in days], host="h")
    assert place.shown() == days
    days.append(await place.day(3))
    assert place.shown() == days
    await _read_all(place, days)


async def test_condemned_packs_are_rescued(place: Place) -> None:
    days = await place.days(4)
    await place.keep(LAST)
    assert await place.prune(CONDEMN) == 0
    report = await recall(place.repository, [place.id(days[1])], host="h")
    assert report.record is not None
    body = place.repository.replica.head(report.record).body
    assert isinstance(body, Recall)
    assert len(body.rescued) == 1
    assert await place.prune(DELETE) > 0
    await _read_all(place, [days[1], days[3]])


async def test_what_is_being_deleted_does_not_come_back(place: Place) -> None:
    days = await place.days(3)
    await place.keep(LAST)
    assert await place.prune(DELETE) > 0
    before = place.repository.replica.tip()
    with pytest.raises(DamagedError, match="begun to delete"):
        await recall(place.repository, [place.id(days[0])], host="h")
    assert place.repository.replica.tip() == before
    assert place.shown() == days[2:]


async def test_a_prune_that_deletes_meanwhile_wins(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recall was about to rescue; what it needs is known to be going before it is put again."""
    days = await place.days(3)
    await place.keep(LAST)
    await place.prune(CONDEMN)
    async with built(place.store, place.folder / "two") as other:
        beside(
            place.repository, lambda: prune(other, DELETE, Progress()), monkeypatch
        )  # fmt: skip
        with pytest.raises(DamagedError, match="begun to delete"):
            await recall(place.repository, [place.id(days[0])], host="h")
    assert place.shown() == days[2:]


async def test_a_prune_that_condemns_meanwhile_is_taken_into_account(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = await place.days(4)
    await forget(place.repository, chosen([place.id(days[0])]), host="h")
    await place.prune(CONDEMN)
    await forget(place.repository, chosen([place.id(days[1])]), host="h")
    async with built(place.store, place.folder / "two") as other:
        beside(
            place.repository, lambda: prune(other, CONDEMN, Progress()), monkeypatch
        )  # fmt: skip
        await recall(place.repository, [place.id(days[1])], host="h")
    await place.prune(DELETE)
    await _read_all(place, days[1:])


async def test_prunes_without_end_are_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    days = await place.days(2)
    await place.keep(LAST)
    publish = place.repository.log.publish
    states = iter(range(1, 100))

    async def moved(attempt: Attempt, make_body: Callable[[], Body], author: object) -> Commit:
        fates = {b"x" * 16: (1, next(states))}
        monkeypatch.setattr("snapfs.jobs.recall.need.fates", lambda db: fates)
        return await publish(attempt, make_body, author)  # type: ignore[arg-type]

    monkeypatch.setattr(place.repository.log, "publish", moved)
    with pytest.raises(BusyError):
        await recall(place.repository, [place.id(days[0])], host="h")
    monkeypatch.undo()
    assert place.shown() == days[1:]


async def _read_all(place: Place, days: list[Commit]) -> None:
    """Every file of these snapshots can be read to its end."""
    repository = place.repository
    async with repository.reading() as reader:
        for number in days:
            root = repository.tree.root(number)
            assert root is not None
            folder = repository.tree.lookup(root.child or 0, number, b"only")
            assert folder is not None
            files = list(repository.tree.entries(folder.child or 0, number))
            assert files
            for entry in files:
                content = reader.open(entry.node.content())
                assert len(await content.read(0, 1 << 20)) == entry.node.attributes.size
