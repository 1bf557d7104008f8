"""Patterns, sizes and types as people write them for `find`."""

import pytest

from snapfs.errors import UsageError
from snapfs.model.criteria import (
    Criteria,
    in_any_case,
    is_open,
    path_pattern,
    size_bounds,
    types_of,
)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (b"/etc/*", [b"/etc/hosts"], [b"/etc", b"/etc/ssh/x", b"/a/etc/hosts"]),
        (b"etc/*", [b"/etc/hosts", b"/a/etc/hosts"], [b"/aetc/hosts", b"/etc/a/b"]),
        (b"/**/x", [b"/x", b"/a/x", b"/a/b/x"], [b"/ax", b"/x/a"]),
        (b"/a/**", [b"/a/b", b"/a/b/c"], [b"/a", b"/ab"]),
        (b"/a/**/b", [b"/a/b", b"/a/x/y/b"], [b"/a/xb", b"/b"]),
        (b"/a/b?", [b"/a/bc", b"/a/b\xff", "/a/bé".encode()], [b"/a/b", b"/a/b/", b"/a/bcd"]),
        (b"/[a-c]/[!x]", [b"/a/y", b"/c/z"], [b"/d/y", b"/a/x", b"/a//"]),
        (b"/[]x]/a", [b"/]/a", b"/x/a"], [b"/y/a"]),
        (b"/a.b/(c)+", [b"/a.b/(c)+"], [b"/axb/(c)+", b"/a.b/cc"]),
        (b"/a/[", [b"/a/["], [b"/a/x"]),
        (b"/\xff*/a", [b"/\xff\n/a"], [b"/\xfe/a"]),
        (b"/a/[^b]", [b"/a/c"], [b"/a/b"]),
        (b"/a/[\\]", [b"/a/\\"], [b"/a/]"]),
    ],
)
def test_paths(pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    expression = path_pattern(pattern)
    assert [path for path in matching if not expression.fullmatch(path)] == []
    assert [path for path in others if expression.fullmatch(path)] == []


def test_letters_of_either_case() -> None:
    assert path_pattern(b"/A/*.PDF", ignore_case=True).fullmatch(b"/a/x.pdf")
    assert not path_pattern(b"/A/*.PDF").fullmatch(b"/a/x.pdf")


def test_only_a_slash_makes_it_a_pattern_of_paths() -> None:
    assert Criteria(pattern=b"*.txt").path_pattern is None
    assert Criteria(pattern=b"*.txt").name_pattern == b"*.txt"
    assert Criteria(pattern=b"/a/*.txt").name_pattern == b"*.txt"
    assert Criteria(pattern=b"/a/**").name_pattern is None
    assert Criteria().name_pattern is None


def test_what_a_pattern_says_about_the_directory() -> None:
    def top(pattern: bytes) -> bytes | None:
        return Criteria(pattern=pattern).top

    assert top(b"/srv/data/*.txt") == b"/srv/data"
    assert top(b"/srv/**/data/x") == b"/srv"
    assert top(b"/srv/[a]/x") == b"/srv"
    assert top(b"/*.txt") is top(b"/x") is top(b"srv/x") is top(b"*.txt") is None
    assert Criteria(pattern=b"/srv/x", ignore_case=True).top is None


def test_sizes() -> None:
    assert size_bounds("+10M") == (10 * 1024**2 + 1, None)
    assert size_bounds("-1K") == (None, 1023)
    assert size_bounds("5") == (5, 5)
    for wrong in ("", "+", "++5", "-", "big"):
        with pytest.raises(UsageError):
            size_bounds(wrong)


def test_types() -> None:
    assert types_of("f") == (0o100000,)
    assert types_of("d,l") == (0o040000, 0o120000)
    for wrong in ("", "x", "f,x", "fd"):
        with pytest.raises(UsageError, match="not a type"):
            types_of(wrong)


def test_a_pattern_in_any_case() -> None:
    assert in_any_case("*-0?.Ää".encode()) == "*-0?.Ää".encode()
    assert in_any_case(b"a*Z.") == b"[aA]*[zZ]."


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a*", False), ("[abc", True), ("[abc]", False), ("[]]", False), ("[]", True),
        ("[!]]x", False), ("[!]", True), ("a]", False), ("[[]", False), ("[a]/[b", True),
    ],
)  # fmt: skip
def test_a_bracket_that_is_not_closed(pattern: str, expected: bool) -> None:
    assert is_open(pattern) is expected
