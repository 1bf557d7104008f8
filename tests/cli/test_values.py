"""The pure parts: what the environment means, and how values are written."""

from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.cli import render, settings
from snapfs.cli.selecting import Selection, parse_selection
from snapfs.cli.settings import Asked, Given, InFile, Machine
from snapfs.errors import UsageError
from snapfs.stores.locate import DirectoryLocation, S3Location

HOME, CWD = Path("/home/ada"), Path("/work")


def machine(uid: int = 1000, **environment: str) -> Machine:
    return Machine(environment, uid, HOME, CWD)


def test_directories() -> None:
    found = settings.directories(machine())
    assert (found.state, found.cache) == (HOME / ".local/state/snapfs", HOME / ".cache/snapfs")
    found = settings.directories(machine(0))
    assert (found.state, found.cache) == (Path("/var/lib/snapfs"), Path("/var/cache/snapfs"))
    found = settings.directories(machine(XDG_STATE_HOME="/s", XDG_CACHE_HOME="relative"))
    assert (found.state, found.cache) == (Path("/s/snapfs"), HOME / ".cache/snapfs")
    found = settings.directories(machine(0, SNAPFS_STATE_DIR="/a", SNAPFS_CACHE_DIR="b"))
    assert (found.state, found.cache) == (Path("/a"), CWD / "b")


@pytest.mark.parametrize(
    ("option", "found", "expected"),
    [
        (None, machine(), DirectoryLocation(HOME / ".local/share/snapfs/repository")),
        (None, machine(0), DirectoryLocation(Path("/var/lib/snapfs/repository"))),
        (None, machine(XDG_DATA_HOME="/d"), DirectoryLocation(Path("/d/snapfs/repository"))),
        (None, machine(SNAPFS_REPOSITORY="s3://b/p"), S3Location("b", "p")),
        ("../x", machine(SNAPFS_REPOSITORY="s3://b/p"), DirectoryLocation(Path("/x"))),
        ("file:///a%20b", machine(), DirectoryLocation(Path("/a b"))),
    ],
)
def test_location(option: str | None, found: Machine, expected: object) -> None:
    assert settings.location(option, found) == expected


def test_passphrases() -> None:
    assert settings.passphrase(machine()) == Asked()
    credential = {"CREDENTIALS_DIRECTORY": "/run/c"}
    assert settings.passphrase(machine(**credential)) == InFile(Path("/run/c/snapfs-passphrase"))
    file = {**credential, "SNAPFS_PASSPHRASE_FILE": "/f"}
    assert settings.passphrase(machine(**file)) == InFile(Path("/f"))
    both = {**file, "SNAPFS_PASSPHRASE": "x"}
    assert settings.passphrase(machine(**both)) == Given("x", "SNAPFS_PASSPHRASE")
    assert settings.new_passphrase(machine(**both)) == Asked()


@pytest.mark.parametrize(
    ("text", "snapshot", "path"),
    [
        ("latest", "latest", b"/"),
        ("latest:", "latest", b"/"),
        ("latest:/etc/hosts", "latest", b"/etc/hosts"),
        ("1f3a:etc//hosts/", "1f3a", b"/etc/hosts"),
        ("2026-11-03", "2026-11-03", b"/"),
        ("2026-11-03T14:30", "2026-11-03T14:30", b"/"),
        ("2026-11-03T14:30:/etc", "2026-11-03T14:30", b"/etc"),
        ("2026-11-03 14:30:05+01:00:/a:b", "2026-11-03 14:30:05+01:00", b"/a:b"),
        ("latest:/a:/b", "latest", b"/a:/b"),
        ("latest:/\udcff", "latest", b"/\xff"),
        ("@-3d:/etc", "@-3d", b"/etc"),
        ("@tag:before:/etc", "@tag:before", b"/etc"),
    ],
)
def test_selections(text: str, snapshot: str, path: bytes) -> None:
    assert parse_selection(text) == Selection(snapshot, path)


def test_a_selection_without_a_snapshot() -> None:
    with pytest.raises(UsageError):
        parse_selection(":/etc")


def test_times() -> None:
    zone = timezone(timedelta(hours=1))
    assert render.local_time(0, zone) == "1970-01-01 01:00:00 +0100"
    assert render.exact_time(-1) == "1969-12-31T23:59:59.999999999Z"
    assert render.local_time(2**80, UTC).startswith("9999-12-30")
    assert render.exact_time(-(2**80)).startswith("0001-01-01")


@given(st.binary())
def test_shown_names_are_one_printable_line(name: bytes) -> None:
    shown = render.shown(name)
    assert shown.isprintable()
    shown.encode()


@given(st.lists(st.binary(), min_size=2, max_size=2, unique=True))
def test_shown_names_stay_apart(names: list[bytes]) -> None:
    assert render.shown(names[0]) != render.shown(names[1])


def test_a_table() -> None:
    lines = list(render.table(["A", "LONG"], [["xyz", "1"]], right=[1], bold=False))
    assert lines == ["A    LONG", "xyz     1"]


def test_the_rest_of_the_findings() -> None:
    assert render.rest_of_findings(2, {"unreadable": 2}) is None
    rest = render.rest_of_findings(100, {"unreadable": 1000, "changed": 7})
    assert rest == "907 more; in all: 7 changed, 1,000 unreadable"
