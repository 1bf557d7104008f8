"""Whatever hosts do, in whatever order: each commit keeps its tree, and a replay gives the same."""

import tempfile
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.metadata.compare import differences
from snapfs.stores.memory import MemoryStore
from tests.repository.history import History, Shape, check_intervals, tree_of
from tests.repository.machines import machines, replayed

SOURCES = ("root", "home")
MACHINES = 2

names = st.sampled_from([b"a", b"b", b"\xff", b"d"])
contents = st.sampled_from([0, 1, 2, 70_000, 140_000]).map(lambda length: b"x" * length)
shapes = st.recursive(
    st.dictionaries(names, contents, max_size=3),
    lambda inner: st.dictionaries(names, contents | inner, max_size=3),
    max_leaves=6,
)
machine = st.integers(0, MACHINES - 1)
source = st.sampled_from(SOURCES)
which = st.integers(0, 10)
commits = st.tuples(st.just("commit"), machine, source, shapes, st.booleans())
steps = st.one_of(
    commits,
    commits,
    st.tuples(st.just("forget"), machine, source, which),
    st.tuples(st.just("recall"), machine, source),
    st.tuples(st.just("waste"), machine),
    st.tuples(st.just("repack"), machine, which),
    st.tuples(st.just("delete"), machine),
    st.tuples(st.just("look"), machine, st.lists(source, unique=True)),
)


@settings(max_examples=40, database=None)
@given(story=st.lists(steps, min_size=1, max_size=14))
def test_every_commit_keeps_its_tree_and_a_replay_gives_the_same(
    story: list[tuple[str, int, object]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(_tell, story, Path(directory))


async def _tell(story: list[tuple], directory: Path) -> None:
    store = MemoryStore()
    async with machines(store, directory, MACHINES) as hosts:
        history = History(hosts)
        for verb, at, *rest in story:
            await getattr(history, verb)(at, *rest)
            history.check_numbers(at)
        await _check(history, store, directory)


async def _check(history: History, store: MemoryStore, directory: Path) -> None:
    for at, host in enumerate(history.machines):
        await host.catch_up_all()
        history.check_numbers(at)
        check_intervals(host.db)
        async with host.reading() as reader:
            for commit, expected in history.trees.items():
                assert await tree_of(host, reader, commit) == expected
        shown = {
            number for (number,) in host.db.rows("SELECT number FROM snapshot WHERE forgotten")
        }
        assert shown == history.forgotten
    async with replayed(store, directory / "replay") as fresh:
        for host in history.machines:
            assert differences(host.replica.db, fresh.replica.db) == []


async def test_sources_loaded_late_and_in_another_order_give_the_same(tmp_path: Path) -> None:
    store = MemoryStore()
    async with machines(store, tmp_path, 4) as hosts:
        history = History(hosts)
        one: Shape = {b"a": b"one", b"d": {b"x": b"shared" * 20_000}}
        other: Shape = {b"b": {b"y": b"shared" * 20_000}, b"a": b"two"}
        await history.commit(0, "root", one, True)
        await history.look(2, ["root"])
        await history.commit(1, "home", other, True)
        await history.repack(0, 0)
        await history.look(3, ["home"])
        await history.commit(0, "root", other, True)
        await history.delete(1)
        await history.commit(1, "home", one, False)
        await history.delete(1)
        await history.look(2, ["root"])
        await history.look(2, ["home"])
        await history.look(3, ["root"])
        await _check(history, store, tmp_path)
