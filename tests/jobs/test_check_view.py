"""Check compares this machine's view with the log, and what was recorded with itself."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from snapfs.formats import objects, records
from snapfs.jobs.check import CheckReport
from snapfs.metadata.compare import TABLES
from snapfs.model.identity import Attempt
from snapfs.repository.state import REPLICA, State
from tests.build import Builder, file, publish
from tests.jobs.checking import (
    Scene,
    assert_sound,
    big,
    checked,
    found,
    noise,
    other_machine,
    paths,
    scene,
)

COLUMNS = [
    ("fact", "value"), ("counter", "next"), ("log", "hash"), ("log", "head"), ("log", "nodes"),
    ("source", "head"), ("snapshot", "time"), ("snapshot", "forgotten"), ("tag", "name"),
    ("directory", "name"), ("entry", "last"), ("entry", "node"), ("node", "size"),
    ("node", "data"), ("list", "items"), ("block", "offset"), ("block", "key"),
    ("segment", "stored"), ("pack", "header"), ("fate", "state"),
]  # fmt: skip
TOO_MANY = {
    "owner": "INSERT INTO owner VALUES (1, 0, 7, x'61')",
    "mended": "INSERT INTO mended VALUES (2, 0, x'00')",
    "suspect": "INSERT INTO suspect VALUES (1, 2, 3)",
    "base": "INSERT INTO base VALUES (3, 2)",
    "lapsed": "INSERT INTO lapsed VALUES (2)",
    "lost": "INSERT INTO lost VALUES (2, 3)",
}
"of tables that have no row to lose here"


async def _fill(made: Scene) -> None:
    """Let no table be empty: a tag, a condemned pack, owners, a list."""
    repository = made.repository
    await made.web.forget(made.commits[0])
    tag = records.Tag((made.id(6),), ("kept",), ())
    await publish(repository, tag, "web")
    lists = Builder(repository, host="lists", block_size=1024)
    await lists.commit({"/huge": file(noise(8, 1500 * 1024))})
    condemn = records.Condemn(made.head(6).packs, records.New(), (), ())
    await publish(repository, condemn, "web")
    await repository.catch_up_all()


def _change(made: Scene, sql: str) -> None:
    """Change the view behind the program's back."""
    _damage(made.repository.state.replica, sql)


def _damage(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    assert connection.changes() == 1, f"the damage was not done: {sql}"
    connection.close()


@asynccontextmanager
async def damaged(
    made: Scene, directory: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], Awaitable[CheckReport]]]:
    """A check of a copy of the view to which a statement has been applied."""
    copies = 0

    async def check_with(sql: str) -> CheckReport:
        nonlocal copies
        copies += 1
        copy = directory / f"{copies}" / REPLICA
        copy.parent.mkdir()
        made.repository.db.execute("VACUUM INTO ?", (str(copy),))
        _damage(copy, sql)
        with patch.context() as patched:
            patched.setattr(State, "replica", property(lambda _: copy))
            return await checked(made.repository, read=None)

    await _fill(made)
    await assert_sound(made.repository)
    yield check_with


def _of(table: str) -> tuple[str, str]:
    return ("database", f"{REPLICA}: {table}")


async def test_lost_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of each table, in turn: the table is named, and nothing else."""
    async with scene(tmp_path) as made, damaged(made, tmp_path, monkeypatch) as check_with:
        for table in TABLES:
            lost = f"DELETE FROM {table} WHERE {_last(made, table)}"
            report = await check_with(TOO_MANY.get(table, lost))
            assert found(report) == [_of(table)]
            assert paths(report) == {}
            assert report.compared
            assert "snapfs repair" in report.problems[0].hint


async def test_changed_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path) as made, damaged(made, tmp_path, monkeypatch) as check_with:
        for table, column in COLUMNS:
            value = (
                f"CASE typeof({column}) WHEN 'blob' THEN CAST(x'01' || {column} AS BLOB)"
                f" WHEN 'text' THEN {column} || '!' WHEN 'null' THEN 1 ELSE {column} + 1 END"
            )
            report = await check_with(
                f"UPDATE {table} SET {column} = {value} WHERE {_last(made, table)}"
            )
            assert (column, found(report)) == (column, [_of(table)])


@pytest.mark.parametrize("change", ["record = record + 1", "piece = 9", "record = 99"])
async def test_a_position_that_cannot_be(change: str, tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        _change(made, f"UPDATE cursor SET {change} WHERE stream = 0")
        assert found(await checked(made.repository)) == [_of("cursor")]


async def test_a_position_before_the_rows(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        _change(made, "UPDATE cursor SET record = 3 WHERE stream = 0")
        report = await checked(made.repository)
        # And the rows of entries that could not be there before their blocks.
    assert {_of("block"), _of("segment"), _of("pack"), _of("entry")} <= set(found(report))


async def test_a_view_that_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path) as made:
        broken = tmp_path / "broken.db"
        broken.write_bytes(b"no database, but long enough" * 200)
        monkeypatch.setattr(State, "replica", property(lambda state: broken))
        report = await checked(made.repository)
        assert found(report) == [("database", "broken.db")]
        assert not report.compared


async def test_the_view_is_not_changed(tmp_path: Path) -> None:
    """Not even by catching up."""
    async with scene(tmp_path) as made, other_machine(made, tmp_path / "2") as other:
        for repository in (made.repository, other):
            before = repository.db.row("PRAGMA data_version")
            await checked(repository)
            assert repository.db.row("PRAGMA data_version") == before


async def test_packs_that_are_condemned_or_gone(tmp_path: Path) -> None:
    """A pack may go when nobody needs it; check says so when somebody does."""
    async with scene(tmp_path) as made:
        pack = made.pack(6)
        gone = made.head(6).packs
        bodies: list[records.Body] = [
            records.Condemn(gone, records.New(), (), ()), records.Delete(gone), records.Gone(gone)
        ]  # fmt: skip
        await _publish(made, bodies[0])
        await assert_sound(made.repository)
        await _publish(made, bodies[1])
        report = await checked(made.repository)
        assert found(report) == [("pack", pack)]
        assert paths(report) == {"web/root:/d": 1}
        await made.store.delete(pack)
        await _publish(made, bodies[2])
        assert found(await checked(made.repository)) == [("pack", pack)]
        # While the source's head has it, its next delta may build on it.
        await made.web.forget(made.commits[4])
        assert found(await checked(made.repository)) == [("pack", pack)]
        await made.web.commit({"/z": file(b"z")})
        report = await assert_sound(made.repository)
        assert (
            report.checked.packs
            == report.checked.packs_read
            == len([name for name in made.store.objects if name.startswith("packs/")])
        )


async def test_a_pack_that_a_prune_takes_meanwhile(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.web.forget(made.commits[4])
        await made.web.commit({"/z": big(9)})
        gone = made.head(6).packs
        await _publish(made, records.Condemn(gone, records.New(), (), ()))
        made.repository.store = _Pruning(made, records.Delete(gone))  # type: ignore[assignment]
        report = await checked(made.repository)
        assert report.sound


async def _publish(made: Scene, body: records.Body) -> None:
    await publish(made.repository, body, "web")
    await made.repository.catch_up_all()


def _last(made: Scene, table: str) -> str:
    """The condition that is true of the last row of a table."""
    columns = made.repository.db.rows(f"PRAGMA table_info({table})")
    names = [str(row[1]) for row in sorted(columns, key=lambda row: row[5]) if row[5]]
    key, order = ", ".join(names), ", ".join(f"{name} DESC" for name in names)
    return f"({key}) = (SELECT {key} FROM {table} ORDER BY {order} LIMIT 1)"


class _Pruning:
    """The store, in which a prune comes to its end as soon as packs are listed."""

    def __init__(self, made: Scene, body: records.Body) -> None:
        self._made = made
        self._body = body

    def __getattr__(self, name: str) -> object:
        return getattr(self._made.store, name)

    async def list(self, prefix: str, *, after: str = ""):
        if prefix == objects.PACKS:
            await self._made.repository.publish(
                Attempt(os.urandom(16)), lambda: self._body, "prune"
            )
            for name in self._body.deleting:  # type: ignore[union-attr]
                await self._made.store.delete(objects.pack(name))
        async for item in self._made.store.list(prefix, after=after):
            yield item
