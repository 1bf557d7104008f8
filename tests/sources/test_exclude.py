"""What is left out besides patterns: sizes, marks in directories, other file systems."""

import os
from pathlib import Path

import pytest

from snapfs.sources.exclude import CACHE_SIGNATURE, Excluder, Exclusions, Only

KEEP_TAG = Only(frozenset({b"CACHEDIR.TAG"}))


def _cache_rule(folder: Path) -> Only | None:
    return Excluder(Exclusions(caches=True)).directory_rule(os.fsencode(folder))


def test_nothing_asked_for_is_not_active(tmp_path: Path) -> None:
    excluder = Excluder(Exclusions(caches=True, if_present=(b"x",), one_file_system=True))
    assert not excluder.active
    assert Excluder(Exclusions()).directory_rule(os.fsencode(tmp_path)) is None


def test_patterns_and_sizes_are_active() -> None:
    assert Excluder(Exclusions(patterns=(b"*.o",))).active
    assert Excluder(Exclusions(larger_than=0)).active
    assert not Excluder(Exclusions(patterns=(b"# nothing",))).active


def test_patterns() -> None:
    excluder = Excluder(Exclusions(patterns=(b"*.o", b"/var/cache/")))
    assert excluder.excludes(b"/home/x/a.o", False, 10)
    assert excluder.excludes(b"/var/cache", True)
    assert not excluder.excludes(b"/var/cache", False)
    assert not excluder.excludes(b"/srv/var/cache", True)


def test_files_above_a_size() -> None:
    excluder = Excluder(Exclusions(larger_than=100))
    assert [excluder.excludes(b"/a", False, size) for size in (0, 100, 101)] == [False, False, True]
    assert not excluder.excludes(b"/a", True, 4096)


def test_a_cache_keeps_its_tag(tmp_path: Path) -> None:
    (tmp_path / "CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE + b"\n# made by a program")
    assert _cache_rule(tmp_path) == KEEP_TAG
    assert Excluder(Exclusions()).directory_rule(os.fsencode(tmp_path)) is None


@pytest.mark.parametrize(
    "content", [b"", CACHE_SIGNATURE[:-1], b" " + CACHE_SIGNATURE, CACHE_SIGNATURE.lower()]
)
def test_a_tag_without_the_signature_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "CACHEDIR.TAG").write_bytes(content)
    assert _cache_rule(tmp_path) is None


def test_a_tag_must_be_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(CACHE_SIGNATURE)
    tag = tmp_path / "CACHEDIR.TAG"
    tag.symlink_to("real")
    assert _cache_rule(tmp_path) is None
    tag.unlink()
    os.mkfifo(tag)
    assert _cache_rule(tmp_path) is None
    writer = os.open(tag, os.O_RDWR)
    os.write(writer, CACHE_SIGNATURE)
    assert _cache_rule(tmp_path) is None
    os.close(writer)
    tag.unlink()
    tag.mkdir()
    assert _cache_rule(tmp_path) is None


def test_marks_that_the_user_chose(tmp_path: Path) -> None:
    excluder = Excluder(Exclusions(caches=True, if_present=(b".nobackup", b".skip")))
    assert excluder.directory_rule(os.fsencode(tmp_path)) is None
    (tmp_path / ".skip").symlink_to("nowhere")
    assert excluder.directory_rule(os.fsencode(tmp_path)) == Only(frozenset({b".skip"}))
    (tmp_path / "CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE)
    assert excluder.directory_rule(os.fsencode(tmp_path)) == Only(
        frozenset({b".skip", b"CACHEDIR.TAG"})
    )


def test_other_file_systems() -> None:
    assert Excluder(Exclusions(one_file_system=True)).leaves(2, 1)
    assert not Excluder(Exclusions(one_file_system=True)).leaves(1, 1)
    assert not Excluder(Exclusions()).leaves(2, 1)
