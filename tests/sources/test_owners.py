"""Names of owners, asked once."""

import pwd

import pytest

from snapfs.sources.owners import Owners

UNKNOWN = 3_999_999_999


def test_both_ways() -> None:
    owners = Owners()
    assert (owners.user(0), owners.group(0)) == (b"root", b"root")
    assert (owners.uid(b"root"), owners.gid(b"root")) == (0, 0)


def test_what_has_no_name_or_number() -> None:
    owners = Owners()
    assert (owners.user(UNKNOWN), owners.group(UNKNOWN)) == (b"", b"")
    assert owners.user(2**64) == b""
    assert (owners.uid(b"no such \xff"), owners.gid(b"no such")) == (None, None)
    assert owners.uid(b"a\0b") is None


def test_the_system_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def unknown(what: object) -> pwd.struct_passwd:
        asked.append(what)
        raise KeyError(what)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    owners = Owners()
    for _ in range(3):
        assert owners.user(5) == b""
        assert owners.uid(b"x") is None
    assert asked == [5, "x"]
