"""From named paths to roots that do not overlap."""

import os
from pathlib import Path

import pytest

from snapfs.errors import SnapfsError, UsageError
from snapfs.sources import roots
from snapfs.sources.roots import absolute, ancestors, plan_roots, read_names


@pytest.fixture
def base(tmp_path: Path) -> bytes:
    """A directory with a, a/x, a/y, a-b, a link to a, and a fifo."""
    for name in ("a/x", "a/y", "a-b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/x")
    (tmp_path / "a" / "inner").symlink_to("../a-b")
    os.mkfifo(tmp_path / "fifo")
    return os.fsencode(tmp_path)


def _plan(base: bytes, *names: bytes) -> list[bytes]:
    return [os.path.relpath(root, base) for root in plan_roots(names, base)]


def test_names_are_taken_from_the_working_directory(base: bytes) -> None:
    assert plan_roots([b"a"], base) == (base + b"/a",)
    assert plan_roots([b"."], base) == (base,)
    assert plan_roots([base + b"//a/./x/"], b"/") == (base + b"/a/x",)


def test_twice_named_and_nested_paths_are_dropped(base: bytes) -> None:
    assert _plan(base, b"a/x", b"a-b", b"a", b"a/", b"a/y") == [b"a", b"a-b"]


def test_everything_lies_in_the_root(base: bytes) -> None:
    assert plan_roots([base, b"/"], b"/") == (b"/",)


def test_links_fifos_and_devices_are_roots_themselves(base: bytes) -> None:
    assert _plan(base, b"link", b"fifo") == [b"fifo", b"link"]
    assert plan_roots([b"/dev/null"], base) == (b"/dev/null",)


def test_the_way_to_a_root_may_lead_through_a_link(base: bytes) -> None:
    assert _plan(base, b"a/inner/.", b"a-b") == [b"a-b", b"a/inner"]


def test_all_missing_paths_are_named_at_once(base: bytes) -> None:
    with pytest.raises(SnapfsError) as caught:
        plan_roots([b"gone", b"a", b"a/nothing", b"fifo/below"], base)
    assert caught.value.exit_status == 1
    assert all(name in str(caught.value) for name in ("gone", "a/nothing", "fifo/below"))


def test_no_path_is_a_usage_error(base: bytes) -> None:
    with pytest.raises(UsageError):
        plan_roots([], base)


def test_dots_that_lead_through_a_link_are_refused(base: bytes) -> None:
    os.mkdir(base + b"/y")
    with pytest.raises(UsageError, match=r"without '\.\.'"):
        plan_roots([b"link/../y"], base)
    assert _plan(base, b"a/x/../y") == [b"a/y"]
    assert _plan(base, b"a/x/..") == [b"a"]


@pytest.mark.parametrize("outer", [b"link", b""])
def test_what_lies_behind_a_captured_link_is_not_dropped_in_silence(
    base: bytes, outer: bytes
) -> None:
    os.mkdir(base + b"/a/x/deep")
    with pytest.raises(UsageError, match="symbolic link"):
        plan_roots([base + b"/" + outer, base + b"/link/deep"], b"/")


def test_absolute_is_about_letters_alone() -> None:
    assert absolute(b"../x", b"/a/b") == b"/a/x"
    assert absolute(b"//x", b"/a") == b"/x"
    assert absolute(b"..", b"/") == b"/"


def test_ancestors_go_down_from_the_top() -> None:
    assert ancestors(b"/") == []
    assert ancestors(b"/a") == [b"/"]
    assert ancestors(b"/a/b/c") == [b"/", b"/a", b"/a/b"]


def test_lists_of_names() -> None:
    assert read_names(b"a\n\n# b\n\xff \n") == [b"a", b"# b", b"\xff "]
    assert read_names(b"a\nb\0c\0") == [b"a\nb", b"c"]
    assert read_names(b"") == []


def test_names_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"one\ntwo\n")
    assert roots.names_from([os.fsencode(tmp_path / "list")]) == [b"one", b"two"]
    with pytest.raises(UsageError, match="No such file"):
        roots.names_from([os.fsencode(tmp_path / "gone")])
