"""What the newest snapshot no longer has comes back in its last version, and nothing else does."""

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import PathNotFoundError
from snapfs.jobs.restore import Overwrite
from snapfs.model.finding import Trouble
from tests.build import Thing, file, folder, link
from tests.jobs.restoring import Restorer, found, restorer, troubles

Things = dict[str | bytes, Thing]
FIRST: Things = {
    "/keep": file(b"keep"),
    "/gone": file(b"gone 1", mode=0o600),
    "/dir/a": file(b"a"),
    "/dir/b": file(b"b"),
    "/whole": folder(0o700, mtime_ns=5),
    "/whole/deep/c": file(b"c 1"),
}
SECOND: Things = {
    **FIRST,
    "/gone": file(b"gone 2", mode=0o640),
    "/whole/deep/c": file(b"c 2"),
    "/whole/late": link(b"x"),
}
LAST: Things = {"/keep": file(b"keep"), "/dir/b": file(b"b")}


def names(target: Path) -> set[str]:
    return {os.fsdecode(name) for name in found(target) if name}


async def test_names_that_are_gone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    async with restorer(tmp_path, FIRST) as of:
        await of.builder.commit(SECOND)
        await of.builder.commit(LAST)
        planned = await of.run(target, deleted=True, dry_run=True)
        report = await of.run(target, deleted=True)
    assert planned == report
    assert report.is_clean
    assert names(target) == {
        "gone", "dir", "dir/a", "whole", "whole/deep", "whole/deep/c", "whole/late",
    }  # fmt: skip
    assert (target / "gone").read_bytes() == b"gone 2"
    assert (target / "whole" / "deep" / "c").read_bytes() == b"c 2"
    whole = (target / "whole").stat()
    assert (stat.S_IMODE(whole.st_mode), whole.st_mtime_ns) == (0o700, 5)


async def test_below_a_path_that_is_gone_itself(tmp_path: Path) -> None:
    async with restorer(tmp_path, SECOND) as of:
        await of.builder.commit(LAST)
        await of.run(tmp_path / "whole", deleted=True, path=b"/whole")
        await of.run(tmp_path / "file", deleted=True, path=b"/gone")
        await of.run(tmp_path / "dir", deleted=True, path=b"/dir/")
        for path in (b"/keep", b"/nosuch", b"/nosuch/deeper"):
            with pytest.raises(PathNotFoundError):
                await of.run(tmp_path / "none", deleted=True, path=path)
    assert names(tmp_path / "whole") == {"deep", "deep/c", "late"}
    assert names(tmp_path / "file") == {"gone"}
    assert names(tmp_path / "dir") == {"a"}
    assert not (tmp_path / "none").exists()


async def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """Into the place where it was, in which something new has one of the names."""
    target = tmp_path / "target"
    async with restorer(tmp_path, FIRST) as of:
        await of.builder.commit(LAST)
        await of.run(target)
        (target / "gone").write_text("made since")
        (target / "dir").chmod(0o711)
        await of.run(target, deleted=True, overwrite=Overwrite.NEVER)
        assert (target / "gone").read_text() == "made since"
        assert (target / "dir" / "a").read_bytes() == b"a"
        assert stat.S_IMODE((target / "dir").stat().st_mode) == 0o711
        await of.run(target, deleted=True, overwrite=Overwrite.ALWAYS)
        assert stat.S_IMODE((target / "dir").stat().st_mode) == 0o711
    assert (target / "gone").read_bytes() == b"gone 1"


async def test_what_only_forgotten_and_partial_snapshots_have_does_not_come_back(
    tmp_path: Path,
) -> None:
    target = tmp_path / "target"
    async with restorer(tmp_path, FIRST) as of:
        second = await of.builder.commit(SECOND)
        await of.builder.commit({**LAST, "/partial": file(b"x")}, complete=False)
        head = await of.builder.commit(LAST)
        await of.builder.forget(second)
        of.builder.head = head
        await of.run(target, deleted=True)
    assert (target / "gone").read_bytes() == b"gone 1"
    assert names(target) == {"gone", "dir", "dir/a", "whole", "whole/deep", "whole/deep/c"}


async def test_as_of_an_older_snapshot(tmp_path: Path) -> None:
    async with restorer(tmp_path, {"/a": file(b"a"), "/b": file(b"b")}) as of:
        second = await of.builder.commit({"/b": file(b"b")})
        await of.builder.commit({"/a": file(b"a, later"), "/c": file(b"c")})
        of.builder.head = second
        await of.run(tmp_path / "target", deleted=True)
    assert names(tmp_path / "target") == {"a"}
    assert (tmp_path / "target" / "a").read_bytes() == b"a"


async def test_names_that_changed_their_kind(tmp_path: Path) -> None:
    before: Things = {"/now-file/x": file(b"x"), "/last-file/y": file(b"y")}
    between: Things = {"/now-file": file(b"file"), "/last-file": file(b"file, then gone")}
    async with restorer(tmp_path, before) as of:
        await of.builder.commit(between)
        await of.builder.commit({"/now-file": file(b"file")})
        report = await of.run(tmp_path / "target", deleted=True)
    assert names(tmp_path / "target") == {"now-file", "now-file/x", "last-file"}
    (finding,) = report.findings
    assert finding.path == os.fsencode(tmp_path / "target" / "last-file")
    assert troubles(report) == {Trouble.REFUSED: 1}


async def test_a_source_that_began_anew(tmp_path: Path) -> None:
    async with restorer(tmp_path, FIRST) as of:
        first = of.builder.head
        forgot = await of.builder.forget(first)
        of.builder.head, of.builder.tree, of.builder.known_directories = forgot, {}, set()
        last = await of.builder.commit(LAST)
        await of.builder.recall(first)
        await of.repository.catch_up_all()
        of.builder.head = last
        anchors = of.repository.db.rows("SELECT DISTINCT anchor FROM snapshot")
        await of.run(tmp_path / "target", deleted=True)
    assert len(anchors) == 2
    assert names(tmp_path / "target") == {
        "gone", "dir", "dir/a", "whole", "whole/deep", "whole/deep/c",
    }  # fmt: skip


async def test_more_names_than_a_page(tmp_path: Path) -> None:
    many: Things = {f"/dir/{at:04}": file(b"%d" % at) for at in range(1100)}
    left: Things = {name: many[name] for name in list(many)[::3]}
    async with restorer(tmp_path, many) as of:
        await of.builder.commit(left)
        report = await of.run(tmp_path / "target", deleted=True)
    assert names(tmp_path / "target") == {"dir", *(str(name)[1:] for name in many.keys() - left)}
    assert report.files == 1100 - len(left)


# --- any history, against what its snapshots say


def expected(snapshots: Sequence[Mapping[str | bytes, Thing]]) -> dict[str, bytes | None]:
    """Paths that come back, with their contents; of directories None."""
    trees = [_with_parents(each) for each in snapshots]
    newest = trees[-1]
    last: dict[str, Thing] = {}
    for tree in trees:
        last |= tree
    lost = {path for path in last if path not in newest}
    files = {path for path in lost if not stat.S_ISDIR(last[path].mode)}
    hidden = {path for path in lost if not files.isdisjoint(_above(path))}
    back = lost - hidden
    contents: dict[str, bytes | None] = {}
    for path in back:
        is_directory = stat.S_ISDIR(last[path].mode)
        contents[path] = None if is_directory else last[path].content[0]  # type: ignore[assignment]
        contents |= dict.fromkeys(_above(path))
    return contents


def _with_parents(things: Mapping[str | bytes, Thing]) -> dict[str, Thing]:
    named = {str(path)[1:]: thing for path, thing in things.items()}
    return named | {above: folder() for path in named for above in _above(path)}


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def snapshots() -> st.SearchStrategy[Things]:
    name = st.sampled_from("ab")
    path = st.lists(name, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
    content = st.integers(0, 9).map(lambda number: file(b"%d" % number))
    return st.dictionaries(path, content, max_size=4).map(_without_conflicts)


def _without_conflicts(things: dict[str, Thing]) -> Things:
    return {
        path: thing for path, thing in things.items()
        if not any(other.startswith(path + "/") for other in things)
    }  # fmt: skip


async def _come_back(history: list[Things], forgotten: set[int], directory: Path) -> set[str]:
    target = directory / "target"
    async with restorer(directory, history[0]) as of:
        numbers = [of.builder.head, *[await of.builder.commit(each) for each in history[1:]]]
        head = of.builder.head
        for at in forgotten:
            await of.builder.forget(numbers[at])
        of.builder.head = head
        await _run(of, target)
    return {
        f"{os.fsdecode(path)}={it.content!r}" if stat.S_ISREG(it.mode) else os.fsdecode(path)
        for path, it in found(target).items() if path
    }  # fmt: skip


async def _run(of: Restorer, target: Path) -> None:
    os.mkdir(target)
    try:
        await of.run(target, deleted=True)
    except PathNotFoundError:
        return


@settings(max_examples=40)
@given(st.lists(snapshots(), min_size=1, max_size=5), st.sets(st.integers(0, 3), max_size=2))
def test_any_history(history: list[Things], forgotten: set[int]) -> None:
    forgotten = {at for at in forgotten if at < len(history) - 1}
    wanted = [each for at, each in enumerate(history) if at not in forgotten]
    with tempfile.TemporaryDirectory() as made:
        back = trio.run(_come_back, history, forgotten, Path(made))
    assert back == {
        path if content is None else f"{path}={content!r}"
        for path, content in expected(wanted).items()
    }
