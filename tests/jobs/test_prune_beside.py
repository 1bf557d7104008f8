"""Prune beside everybody else: what comes between a look and the record that it leads to."""

import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest
import trio

from snapfs.errors import DeltaVoidError, StoreError
from snapfs.formats.records import Body, Condemn, Delete, Mend, New, Recall, Tag
from snapfs.jobs.ingest.commit import Committer
from snapfs.jobs.prune import survey
from snapfs.jobs.prune.options import DAY_NS
from snapfs.metadata.database import Database
from snapfs.model.identity import Attempt, Commit
from snapfs.repository.log import Author
from snapfs.repository.world import World
from tests.build import publish
from tests.jobs.checking import assert_sound
from tests.jobs.ingesting import Machine, machine
from tests.jobs.test_prune import GENTLE, NOW, TIGHT, doubt, forget, packs_in, run, snapshots
from tests.jobs.twohosts import two_hosts

AT_ONCE = replace(TIGHT, orphaned_for_ns=30 * DAY_NS)
PATIENT = replace(GENTLE, orphaned_for_ns=30 * DAY_NS)
"what is under way is not taken for left over"

Step = Callable[[], Awaitable[object]]


async def sound(*hosts: Machine) -> None:
    """Every snapshot that is wanted is as it was taken, on each host; a check finds nothing."""
    for host in hosts:
        await host.repository.catch_up_all()
        await host.check()
    await assert_sound(hosts[0].repository)


def before_each_record(
    host: Machine, steps: Iterator[Step | None], monkeypatch: pytest.MonkeyPatch,
    kind: type | None = None,
) -> None:  # fmt: skip
    """Take the next step before each body of this kind that the host makes for the log.

    The step is taken as if its records had come just before: the body is made anew after it.
    """
    publish = host.repository.log.publish

    async def late(attempt: Attempt, make: Callable[[], Body], author: Author) -> Commit:
        await host.repository.log.catch_up()
        if (kind is None or isinstance(make(), kind)) and (step := next(steps)):
            await step()
        return await publish(attempt, make, author)

    monkeypatch.setattr(host.repository.log, "publish", late)


def once(step: Step) -> Iterator[Step | None]:
    return chain([step], repeat(None))


def days_later(host: Machine) -> None:
    now, random = host.repository.world.now_ns, host.repository.world.random
    host.repository.world = World(now_ns=lambda: now() + 2 * DAY_NS, random=random)


async def half_used(host: Machine, content: bytes) -> None:
    """A pack of which a half is needed: that with this content."""
    (host.tree / "content").write_bytes(content)
    (host.tree / "rest").write_bytes(os.urandom(len(content)))
    await host.capture()
    (host.tree / "rest").unlink()
    await host.capture()
    await forget(host, (await snapshots(host))[0])


async def without(host: Machine, *names: str) -> None:
    """The host has no snapshot any more that has these files."""
    for name in names:
        (host.tree / name).unlink()
    old = [one for one in await snapshots(host) if one.source.host == host.host]
    await host.capture()
    await forget(host, *old)


async def test_a_long_file_follows_its_blocks_through_a_repack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is read, what it refers to is moved, and the place that it was moved to is deleted.

    Its lists are closed by then: none of their blocks is looked up again.
    """
    content = os.urandom(1_200_000)
    async with two_hosts(tmp_path) as (host, other, _):
        await half_used(host, content)
        (other.tree / "long").write_bytes(content + os.urandom(400_000))

        async def move() -> None:
            assert (await run(host.repository, PATIENT)).copied_bytes > 0

        async def condemn_what_was_moved() -> None:
            await without(host, "content")
            assert (await run(host.repository, PATIENT)).condemned > 0

        async def delete() -> None:
            days_later(host)
            await run(host.repository, PATIENT)

        steps: list[Step] = [move, condemn_what_was_moved, delete]
        before_each_record(other, chain(steps, repeat(None)), monkeypatch)
        await other.capture(progress_blocks=300)
        await sound(host, other)


async def test_a_list_that_holds_other_copies_is_relied_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copies are another host's than those that a look-up finds, and go before the commit."""
    content = os.urandom(1_200_000)
    async with two_hosts(tmp_path) as (host, other, _):
        for each in (host, other):
            (each.tree / "content").write_bytes(content)
        with monkeypatch.context() as patched:
            before_each_record(other, once(host.capture), patched)
            await other.capture()
        await without(other, "content")
        (other.tree / "content").write_bytes(content)

        async def take_away() -> None:
            assert (await run(host.repository, AT_ONCE)).deleted > 0

        before_each_record(other, once(take_away), monkeypatch)
        await other.capture()
        await sound(host, other)


async def test_need_that_comes_before_the_delete_holds_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where who needs it has not rescued it."""
    content = os.urandom(100_000)
    async with two_hosts(tmp_path) as (host, other, store):
        (host.tree / "content").write_bytes(content)
        (host.tree / "kept").write_bytes(b"kept")
        await host.capture()
        await without(host, "content")
        assert (await run(host.repository, PATIENT)).condemned > 0
        days_later(host)
        (other.tree / "content").write_bytes(content)
        with monkeypatch.context() as patched:
            patched.setattr(Committer, "_rescued", lambda *_: ())
            before = packs_in(store)
            before_each_record(host, once(other.capture), patched, Delete)
            report = await run(host.repository, PATIENT)
        assert (report.due, report.deleted, report.rescued) == (1, 0, 1)
        assert packs_in(store) >= before
        await sound(host, other)


async def test_a_recall_that_comes_before_the_delete_holds_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_hosts(tmp_path) as (host, other, _):
        (host.tree / "content").write_bytes(os.urandom(100_000))
        await host.capture()
        first = (await snapshots(host))[0]
        manifest = host.kept.manifests[first.number]
        await without(host, "content")
        assert (await run(host.repository, PATIENT)).condemned > 0
        days_later(host)

        async def recall_without_rescue() -> None:
            await other.repository.catch_up()
            body = Recall((first.id,))
            await publish(other.repository, body, "other")

        before_each_record(host, once(recall_without_rescue), monkeypatch, Delete)
        assert (await run(host.repository, PATIENT)).deleted == 0
        host.kept.manifests[first.number] = manifest
        await sound(host)


async def test_what_a_sleeping_prune_has_copied_may_be_condemned_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing may be moved there."""
    async with two_hosts(tmp_path) as (host, other, _):
        await half_used(host, os.urandom(300_000))
        await other.repository.catch_up_all()

        async def take_for_left_over() -> None:
            # It has seen the repository before, so that it does not repack as well.
            report = await run(other.repository, replace(GENTLE, policy=NOW.policy))
            assert report.orphans > 0

        with monkeypatch.context() as patched:
            before_each_record(host, once(take_for_left_over), patched, Condemn)
            with pytest.raises(DeltaVoidError):
                await run(host.repository, AT_ONCE)
        await sound(host)
        await run(host.repository, AT_ONCE)
        await sound(host)


@pytest.mark.parametrize("kind", [Condemn, Mend])
async def test_no_record_adds_a_pack_that_is_on_its_way_out(tmp_path: Path, kind: type) -> None:
    async with two_hosts(tmp_path) as (host, _, _):
        pack = os.urandom(16)
        condemn = Condemn((), New(), (), (), (pack,))
        await publish(host.repository, condemn, "host")
        added = Condemn((), New(), (), (pack,)) if kind is Condemn else Mend(New(), (), (pack,))
        with pytest.raises(DeltaVoidError, match=pack.hex()):
            await publish(host.repository, added, "host")


async def test_a_repair_that_comes_between_lets_an_ingest_look_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(100_000)
    async with two_hosts(tmp_path) as (host, other, _):
        (host.tree / "content").write_bytes(content)
        await host.capture()
        (other.tree / "content").write_bytes(content)

        async def find_damage() -> None:
            await doubt(host, 1)

        before_each_record(other, once(find_damage), monkeypatch)
        report = await other.capture()
        assert report.healed > 0
        await sound(host, other)


async def test_another_process_may_catch_up_while_the_view_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the same database, which then is ahead of the replay that it is compared with."""
    async with (
        two_hosts(tmp_path) as (host, _, store),
        machine(store, tmp_path / "a", host.tree) as process,
    ):
        (host.tree / "file").write_bytes(b"content")
        await host.capture()
        differences = survey.differences

        async def go_on() -> None:
            body = Tag((), (), ())
            await publish(process.repository, body, "host")

        def beside(one: Database, two: Database) -> list[str]:
            trio.from_thread.run(go_on)
            return differences(one, two)

        monkeypatch.setattr(survey, "differences", beside)
        await run(host.repository, AT_ONCE)


async def test_progress_of_a_source_that_began_anew_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_hosts(tmp_path) as (host, other, store):
        (other.tree / "other").write_bytes(b"other")
        await other.capture()
        (host.tree / "a").write_bytes(b"a")
        await host.capture()
        (host.tree / "b").write_bytes(os.urandom(100_000))

        async def end() -> None:
            raise StoreError("the machine is gone")

        with monkeypatch.context() as patched:
            before_each_record(host, chain([None], repeat(end)), patched)
            with pytest.raises(StoreError, match="gone"):
                await host.ingest(progress_blocks=100)
        await forget(host, next(one for one in await snapshots(host) if one.source.host == "host"))
        await run(host.repository, TIGHT)
        assert len(packs_in(store)) == 1
        await sound(other)
