"""Patterns decide as git does: `git check-ignore` is asked about the same tree."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import UsageError
from snapfs.sources.patterns import Patterns, read_patterns

FILES = [
    b"top",
    b"a/b/c",
    b"a/bb/c.log",
    b"a/x.log/f",
    b"a/keep",
    b"b/a/b/a/c",
    b"b/c",
    b"ab/c",
    b"abc",
    b"aXc",
    b"a-c",
    b"a]c",
    b"c.log",
    b"c.log~",
    b"#c",
    b"!c",
    b"foo ",
    b"foo",
    b"tab\t",
    b"sp ace/b",
    b"new\nline/c",
    b"new\nline/a/b",
    b"\xff\xfe/a",
    b"voil\xc3\xa0",
    b"voil\xc3",
    b"\xc3\xa0c",
    b"back\\slash",
    b"st*r",
    b"q?",
    b"deep/1/2/3/4/a",
]


class Tree:
    """A tree on the disk that git and we are asked about."""

    def __init__(self, base: Path) -> None:
        self._base = os.fsencode(base)
        self._directories: set[bytes] = set()
        for file in FILES:
            self._make(file)
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(base)}
        self._environment = environment | {"GIT_CONFIG_GLOBAL": os.devnull}
        self._git("init", "-q", stdin=b"")

    def _make(self, file: bytes) -> None:
        path = os.path.join(self._base, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).touch()
        while file := os.path.dirname(file):
            self._directories.add(file)

    def _git(self, *words: str, stdin: bytes) -> bytes:
        done = subprocess.run(
            ["git", *words],
            cwd=self._base,
            input=stdin,
            env=self._environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def by_git(self, lines: list[bytes]) -> set[bytes]:
        """What git ignores with these patterns."""
        with open(os.path.join(self._base, b".git/info/exclude"), "wb") as file:
            file.write(b"\n".join(lines) + b"\n")
        paths = b"\0".join([*FILES, *self._directories])
        ignored = self._git("check-ignore", "--no-index", "-z", "--stdin", stdin=paths)
        return set(ignored.split(b"\0")) - {b""}

    def by_us(self, lines: list[bytes]) -> set[bytes]:
        """What a walk leaves out with these patterns."""
        patterns = Patterns(lines)
        excluded = set()
        for path in sorted([*FILES, *self._directories]):
            above = os.path.dirname(path) in excluded
            if above or patterns.excludes(b"/" + path, path in self._directories):
                excluded.add(path)
        return excluded


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    if shutil.which("git") is None:
        pytest.skip("no git")
    yield Tree(tmp_path_factory.mktemp("tree"))


TABLE = [
    [b"*"],
    [b"**"],
    [b"**/"],
    [b"*/"],
    [b"/"],
    [b"/*", b"!/a", b"/a/*", b"!/a/keep"],
    [b"a/**", b"!a/keep"],
    [b"a/**/"],
    [b"**/a/**", b"!/a/b/"],
    [b"a/**/c"],
    [b"**/b/c"],
    [b"b"],
    [b"b/"],
    [b"/b"],
    [b"a/b"],
    [b"/a/b/"],
    [b"*.log", b"!a/"],
    [b"!a/", b"*.log"],
    [b"*.log", b"!c.log"],
    [b"c.log/"],
    [b"\\#c"],
    [b"#c"],
    [b"\\!c"],
    [b"!!c", b"c"],
    [b"foo "],
    [b"foo\\ "],
    [b"foo  "],
    [b"tab\t"],
    [b"sp ace"],
    [b"a?c"],
    [b"a[!b]c"],
    [b"a[^b]c"],
    [b"a[!b]"],
    [b"b/a[!b]b"],
    [b"a[X-]c"],
    [b"a[]]c"],
    [b"a[+-9]b"],
    [b"a[[X]c"],
    [b"a[&&X]c"],
    [b"a*c"],
    [b"a**c"],
    [b"deep/**/a"],
    [b"deep/*/a"],
    [b"deep/**/2/**/a"],
    [b"**/2/"],
    [b"/**"],
    [b"/**/c"],
    [b"new*"],
    [b"**/line/c"],
    [b"new?line/**/b"],
    [b"\xff*"],
    [b"voil\xc3\xa0"],
    [b"voil\xc3?"],
    [b"?c"],
    [b"back\\\\slash"],
    [b"st\\*r"],
    [b"q\\?"],
    [b"", b"  ", b"top"],
    [b"*", b"!*/", b"!c"],
    [b"a//b"],
    [b"./a"],
    [b"x/../a"],
]


@pytest.mark.parametrize("lines", TABLE, ids=lambda lines: b" , ".join(lines).decode("latin1"))
def test_git_says_the_same(tree: Tree, lines: list[bytes]) -> None:
    assert tree.by_us(lines) == tree.by_git(lines)


components = st.sampled_from(
    [b"a", b"b", b"c", b"ab", b"*", b"**", b"?", b"*.log", b"a*", b"[ab]", b"[!a]*", b"deep", b"2"]
)
lines_of_patterns = st.lists(
    st.builds(
        lambda negated, rooted, parts, closed: negated + rooted + b"/".join(parts) + closed,
        st.sampled_from([b"", b"", b"!"]),
        st.sampled_from([b"", b"/"]),
        st.lists(components, min_size=1, max_size=4),
        st.sampled_from([b"", b"/"]),
    ),
    min_size=1,
    max_size=5,
)


@given(lines_of_patterns)
@settings(max_examples=150)
def test_git_says_the_same_of_any_list(tree: Tree, lines: list[bytes]) -> None:
    assert tree.by_us(lines) == tree.by_git(lines)


@pytest.mark.parametrize(
    "pattern",
    [b"a[b", b"a[[:alpha:]]", b"a[\\]]", b"a\\", b"!", b"a[z-a]", b"a[b/c]d"],
)
def test_what_would_silently_match_otherwise_is_refused(pattern: bytes) -> None:
    with pytest.raises(UsageError, match="pattern"):
        Patterns([b"fine", pattern])


def test_no_pattern_is_nothing() -> None:
    assert not Patterns([])
    assert not Patterns([b"", b"# only words", b"/"])
    assert not Patterns([]).excludes(b"/a", False)


def test_a_file_of_patterns_may_come_from_another_world() -> None:
    assert read_patterns(b"\xef\xbb\xbf*.o\r\n!keep.o\r\n\xff") == [b"*.o", b"!keep.o", b"\xff"]
